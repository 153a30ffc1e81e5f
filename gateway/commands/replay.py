"""``replay``: recorded charges through the protection, with today's limits or others."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gateway.commands.failure import Exit
from gateway.commands.params import DURATION, Amount
from gateway.commands.recording import read_recording, recordings
from gateway.commands.settings import Settings, global_options, pass_settings
from gateway.core.errors import CorrectFiles, CorrectInput, Problem
from gateway.core.units import format_duration

if TYPE_CHECKING:
    from gateway.guard.limits import Limits
    from gateway.guard.replay import Happening, Replayed

GOES_ON = "goes on"
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
    voltage_v: float,
    power_factor: float,
    as_json: bool,
) -> int:
    """Replay recorded charges: FILEs with the columns seconds,power_w, or FOLDERs of them.

    Tells how and when each would have ended with the default limits, with those of --outlet,
    or with the ones of --set. Columns current_a, voltage_v and temperature_c are used where
    they are. Touches no hardware, and needs no guard.
    """
    from gateway.guard.replay import replay as play  # noqa: PLC0415 - the machine is slow to import

    if not SHORTEST_POLL_S <= poll_s <= LONGEST_POLL_S:
        raise CorrectInput(f"--poll: expected {SHORTEST_POLL_S:g}s to {LONGEST_POLL_S / 60:g}m")
    limits = _limits(settings, outlet, changes)
    ends: Counter[str] = Counter()
    wrong: list[Problem] = []
    files = recordings(paths)
    width = max(len(file.name) for file in files)
    for file in files:
        try:
            rows = read_recording(file, voltage_v=voltage_v, power_factor=power_factor)
        except CorrectFiles as error:
            wrong += error.problems
            continue
        found = play(rows, limits, poll_s=poll_s)
        ends[found.end.reason if found.end else GOES_ON] += 1
        click.echo(json.dumps(_json(file, found)) if as_json else _line(file, found, width))
    if len(files) > 1 and not as_json:
        told = ", ".join(f"{count} {reason}" for reason, count in ends.most_common())
        click.echo(f"{sum(ends.values())} recordings: {told or 'none could be read'}")
    if wrong:
        raise CorrectFiles(wrong)
    return Exit.OK


def _limits(settings: Settings, outlet: str | None, changes: tuple[str, ...]) -> Limits:
    from gateway.config.merge import merge, read_layer  # noqa: PLC0415 - pydantic is slow
    from gateway.config.yaml_source import parse_yaml  # noqa: PLC0415

    base: Any = {}
    if outlet is not None:
        base = asdict(settings.site().outlet(outlet).limits)
    problems: list[Problem] = []
    layers = []
    if outlet is not None:
        whole = parse_yaml(json.dumps(base), f"outlet {outlet}")
        layers.append(read_layer(whole.data, whole, (), "outlet", problems))
    for change in changes:
        source = parse_yaml(_yaml(change), f"--set {change}")
        layers.append(read_layer(source.data, source, (), "set", problems))
    merged = merge(layers, problems)
    if problems:
        raise CorrectFiles(problems)
    return merged.limits


def _yaml(change: str) -> str:
    """Write ``rule.field=value``, or ``rule=null``, as a rule of a limits section."""
    key, equals, value = change.partition("=")
    rule, dot, field = key.strip().partition(".")
    if not equals or not rule or (dot and not field):
        raise CorrectInput(
            f"--set {change}: write RULE.FIELD=VALUE, like overpower.above_w=1000", field="set"
        )
    return f"{rule}: {{{field}: {value}}}" if dot else f"{rule}: {value}"


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
