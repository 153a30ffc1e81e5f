"""``replay``: recorded charges and flight records through the protection, to try limits."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gateway.commands.failure import Exit
from gateway.commands.flight_file import is_flight_file
from gateway.commands.params import DURATION, Amount
from gateway.commands.recording import read_recording, recordings
from gateway.commands.replay_flights import GOES_ON, FlightTrial, flight_json, flight_line
from gateway.commands.settings import Settings, global_options, pass_settings
from gateway.commands.trial import Trial
from gateway.core.errors import CorrectFiles, CorrectInput, Problem
from gateway.core.units import format_duration

if TYPE_CHECKING:
    from gateway.guard.limits import Limits
    from gateway.guard.replay import Happening, Replayed


SHORTEST_POLL_S = 0.05
LONGEST_POLL_S = 3_600.0


@click.command()
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path, readable=False))
@click.option("--outlet", metavar="ID", help="Take the limits of this outlet of the site file.")
@click.option(
    "--set",
    "changes",
    multiple=True,
    metavar="RULE.FIELD=VALUE",
    help="Try another limit, like overpower.above_w=1000 or full=null; may be repeated.",
)
@click.option(
    "--poll", "poll_s", type=DURATION, default="1s", show_default=True, help="One sample so often."
)
@click.option(
    "--longest-gap",
    "longest_gap_s",
    type=DURATION,
    help="In a CSV file: no answers come after a row for longer; without it a row holds.",
)
@click.option(
    "--voltage",
    "voltage_v",
    type=Amount(1, 500),
    default=230.0,
    show_default=True,
    help="In V, where none was recorded.",
)
@click.option(
    "--power-factor",
    type=Amount(0.05, 1),
    default=1.0,
    show_default=True,
    help="Turns power into current where none was recorded.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@global_options()
@pass_settings
def replay(
    settings: Settings,
    *,
    paths: tuple[Path, ...],
    outlet: str | None,
    changes: tuple[str, ...],
    poll_s: float,
    longest_gap_s: float | None,
    voltage_v: float,
    power_factor: float,
    as_json: bool,
) -> int:
    """Replay FILEs or FOLDERs of recordings, to try limits before they are set.

    A flight record (.jsonl, from `pilegate flights --export`) is replayed at its own times, with
    the limits it was recorded under; with --site, with today's limits of its outlet. Exit status 1
    says that some record comes out in another way than it was recorded.

    A recorded charge (.csv with the columns seconds,power_w) is replayed with the default limits.
    Columns current_a, voltage_v and temperature_c are used where they are.

    --outlet takes the limits of one outlet for all, --set changes them. Touches no hardware, and
    needs no guard.
    """
    if not SHORTEST_POLL_S <= poll_s <= LONGEST_POLL_S:
        raise CorrectInput(f"--poll: expected {SHORTEST_POLL_S:g}s to {LONGEST_POLL_S / 60:g}m")
    site = None
    if outlet is not None or settings.site_option is not None:
        site = settings.site()
    trial = Trial(changes)
    base = None if outlet is None or site is None else asdict(site.outlet(outlet).limits)
    charges = _Charges(
        limits=trial.limits(base, f"outlet {outlet}"),
        poll_s=poll_s,
        longest_gap_s=longest_gap_s,
        voltage_v=voltage_v,
        power_factor=power_factor,
    )
    flights = FlightTrial(trial, site, outlet)
    files = recordings(paths)
    width = max(len(file.name) for file in files)
    for file in files:
        if is_flight_file(file):
            for record in flights.play(file):
                click.echo(json.dumps(flight_json(record)) if as_json else flight_line(record))
        elif (found := charges.play(file)) is not None:
            click.echo(json.dumps(_json(file, found)) if as_json else _line(file, found, width))
    if not as_json:
        _summary(charges, flights, len(files))
    wrong = charges.problems + flights.problems
    if wrong:
        raise CorrectFiles(wrong)
    return Exit.FAILED if flights.differs else Exit.OK


@dataclass(kw_only=True)
class _Charges:
    """Replays recorded charges, and counts how they end."""

    limits: Limits
    poll_s: float
    longest_gap_s: float | None
    voltage_v: float
    power_factor: float
    ends: Counter[str] = field(default_factory=Counter)
    problems: list[Problem] = field(default_factory=list)

    def play(self, file: Path) -> Replayed | None:
        from gateway.guard.replay import replay as play  # noqa: PLC0415 - slow to import

        try:
            rows = read_recording(file, voltage_v=self.voltage_v, power_factor=self.power_factor)
        except CorrectFiles as error:
            self.problems += error.problems
            return None
        found = play(rows, self.limits, poll_s=self.poll_s, longest_gap_s=self.longest_gap_s)
        self.ends[found.end.reason if found.end else GOES_ON] += 1
        return found


def _summary(charges: _Charges, flights: FlightTrial, files: int) -> None:
    if flights.records:
        for line in flights.summary():
            click.echo(line)
    if charges.ends.total() > 1 or (files > 1 and not flights.records):
        told = ", ".join(f"{count} {reason}" for reason, count in charges.ends.most_common())
        click.echo(f"{charges.ends.total()} recordings: {told or 'none could be read'}")


def _line(file: Path, found: Replayed, width: int) -> str:
    end = found.end
    if end is None:
        what = f"{GOES_ON} after {format_duration(round(found.lasts_s))}"
    else:
        how = "cut" if found.is_cut else "off"
        what = f"{how}: {end.reason} after {format_duration(round(end.at_s))}"
    told = f"{what}, {found.energy_wh:.1f} Wh, up to {found.highest_w:.0f} W"
    if end is not None:
        told += f", {found.last_w:.1f} W at the end"
    alarms = ", ".join(_alarm(alarm) for alarm in found.alarms)
    return f"{file.name:{width}}  {told}" + (f"; alarms: {alarms}" if alarms else "")


def _alarm(alarm: Happening) -> str:
    return f"{alarm.reason} after {format_duration(round(alarm.at_s))}"


def _json(file: Path, found: Replayed) -> dict[str, Any]:
    end = found.end
    return {
        "file": str(file),
        "end": None if end is None else end.reason,
        "action": None if end is None else ("cut" if found.is_cut else "off"),
        "after_s": None if end is None else end.at_s,
        "evidence": None if end is None else dict(end.evidence),
        "lasts_s": found.lasts_s,
        "energy_wh": round(found.energy_wh, 3),
        "highest_w": found.highest_w,
        "last_w": found.last_w,
        "alarms": [{"reason": alarm.reason, "after_s": alarm.at_s} for alarm in found.alarms],
    }
