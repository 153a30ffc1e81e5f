"""Flight records replayed: what happened beside what would happen now, record by record."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from gateway.commands.flight_file import FileRecord, FlightFile
from gateway.commands.show import date_time
from gateway.commands.trial import Trial
from gateway.core.errors import CorrectFiles, NotKnown, Problem

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.config import Site
    from gateway.guard.flight_replay import FlightReplayed, Verdict
    from gateway.guard.limits import Limits

GOES_ON = "goes on"
NO_START = "can't be replayed"


class PlayedRecord(NamedTuple):
    """One record, and what came of it; None: it holds no state to begin from."""

    file: Path
    record: FileRecord
    played: FlightReplayed | None


class FlightTrial:
    """Replays the records of files, and counts what came of them."""

    def __init__(self, trial: Trial, site: Site | None, outlet: str | None) -> None:
        """Limits are those of ``outlet``, or of the record's outlet in ``site``, or recorded."""
        self._trial = trial
        self._site = site
        self._outlet = outlet
        self._counts: Counter[tuple[str, str]] = Counter()
        self._different: list[int] = []
        self.problems: list[Problem] = []

    @property
    def records(self) -> int:
        return self._counts.total()

    @property
    def differs(self) -> bool:
        """Whether any record came out in another way than it was recorded."""
        return bool(self._different)

    def play(self, path: Path) -> Iterator[PlayedRecord]:
        """Replay a file; what is wrong with it goes to ``problems``."""
        from gateway.guard.flight_replay import replay_flight  # noqa: PLC0415 - slow to import

        file = FlightFile(path)
        for record in file.records():
            try:
                limits = self._limits(path, record)
                played = replay_flight(record.header, record.rows, limits)
            except CorrectFiles as err:
                self.problems += err.problems
                continue
            except (ValueError, TypeError, KeyError, AttributeError) as err:
                wrong = f"can't be replayed: {type(err).__name__}: {err}"
                self.problems.append(Problem(str(path), record.line, "", wrong))
                continue
            self._count(record, played)
            yield PlayedRecord(path, record, played)
        self.problems += file.problems

    def summary(self) -> list[str]:
        """Say in a small table how often what became what."""
        rows = [(was, now, str(count)) for (was, now), count in sorted(self._counts.items())]
        table = [("recorded", "replayed", "records"), *rows]
        widths = [max(len(row[column]) for row in table) for column in (0, 1)]
        lines = [f"{was:{widths[0]}}  {now:{widths[1]}}  {count:>7}" for was, now, count in table]
        told = f"{self.records} flight records: {self.records - len(self._different)} the same"
        if self._different:
            numbers = ", ".join(map(str, self._different[:20]))
            told += f", {len(self._different)} different: {numbers}"
        return [*lines, told]

    def _limits(self, path: Path, record: FileRecord) -> Limits:
        outlet = self._outlet or record.header["outlet"]
        try:
            if self._site is not None:
                return self._trial.limits(asdict(self._site.outlet(outlet).limits), outlet)
            return self._trial.limits(record.header["limits"], "limits")
        except NotKnown as err:
            raise CorrectFiles([Problem(str(path), record.line, "outlet", str(err))]) from err
        except CorrectFiles as err:
            problems = [
                Problem(str(path), record.line, f"limits.{problem.key}", problem.message)
                for problem in err.problems
            ]
            raise CorrectFiles(problems) from err

    def _count(self, record: FileRecord, played: FlightReplayed | None) -> None:
        header = record.header
        if played is None:
            self._counts[_recorded(header), NO_START] += 1
            return
        self._counts[_told(played.recorded), _told(played.found)] += 1
        if not played.is_same:
            self._different.append(header["seq"])


def flight_line(found: PlayedRecord) -> str:
    """Write one replayed record as a line for people."""
    header, played = found.record.header, found.played
    head = f"{found.file.name}  {header['outlet']}  {header['seq']}  {date_time(header['utc_ms'])}"
    if played is None:
        return f"{head}  {_recorded(header)}; {NO_START}: no state was kept before it"
    told = f"{head}  {_told(played.recorded)}; "
    if played.is_same and played.found is None:
        return f"{told}asked for, and nothing else came before it"
    late_s = 0.0 if played.found is None else (played.found.at_ms - played.recorded.at_ms) / 1000
    apart = f" {abs(late_s):.1f} s {'later' if late_s > 0 else 'earlier'}"
    if played.is_same:
        return f"{told}the same"
    watched_s = (played.recorded.at_ms - played.from_ms) / 1000
    return (
        f"{told}now {_told(played.found)}{'' if played.found is None else apart} "
        f"(of {watched_s:.0f} s): DIFFERENT"
    )


def flight_json(found: PlayedRecord) -> dict[str, Any]:
    """Write one replayed record for programs."""
    header, played = found.record.header, found.played
    row: dict[str, Any] = {
        "file": str(found.file),
        "line": found.record.line,
        "outlet": header["outlet"],
        "seq": header["seq"],
        "recorded": {"kind": header["kind"], "reason": header["reason"]},
    }
    if played is None:
        return {**row, "replayed": None, "same": None}
    end = played.found
    return {
        **row,
        "replayed": None
        if end is None
        else {
            "action": end.action,
            "reason": end.reason,
            "later_s": (end.at_ms - played.recorded.at_ms) / 1000,
            "evidence": dict(end.evidence),
        },
        "same": played.is_same,
        "asked_for": played.asked_for,
        "alarms": list(played.alarms),
        "replayed_s": (played.recorded.at_ms - played.from_ms) / 1000,
    }


def _told(verdict: Verdict | None) -> str:
    return GOES_ON if verdict is None else f"{verdict.action}: {verdict.reason}"


def _recorded(header: dict[str, Any]) -> str:
    return f"{header['kind']}: {header['reason']}"
