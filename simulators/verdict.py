"""PURE: whether the expected facts were there, in time, and no others.

A fact answers at most one expectation, and an expectation takes at most one fact. First every
fact goes to an expectation whose window it hits (of several, the one that ends first); what is
left over is late, early, missing or one too many.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from simulators.scenario import Expectation


class Result(StrEnum):
    """How one line of the verdict came out."""

    OK = "ok"
    LATE = "late"
    """It came, but later than its bound."""
    EARLY = "early"
    """It came before it may."""
    MISSING = "missing"
    UNEXPECTED = "unexpected"
    """A watched kind of fact that nothing in the scenario explains."""


@dataclass(frozen=True, slots=True)
class Line:
    """One expectation, or one fact too many. Times in seconds from the cause."""

    event: str
    about: str
    """The outlet's id, or the subject of a fact that is not about an outlet."""
    reason: str
    after: str
    """Id of the cause; «start» is time zero."""
    bound_s: float | None
    delay_s: float | None
    result: Result
    note: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """All lines: expectations in the order of the file, then what was too many."""

    lines: tuple[Line, ...]

    @property
    def passed(self) -> bool:
        """Whether every line is ok."""
        return all(line.result is Result.OK for line in self.lines)


@dataclass(frozen=True, slots=True)
class _Fact:
    kind: str
    subject: str
    reason: str
    mono_ns: int


def judge(
    expect: Sequence[Expectation],
    watch: Iterable[str],
    causes: Mapping[str, int],
    started_ns: int,
    observed: Iterable[Mapping[str, Any]],
) -> Verdict:
    """Match what was observed with what was expected.

    ``causes``: monotonic ns of each step that was played, by its id. ``observed``: dicts with
    ``kind``, ``subject`` (``outlet/n1-1``) or ``outlet`` (``n1-1``), ``reason`` and
    ``mono_ns``, the moment at which the observer saw it.
    """
    facts = sorted((_fact(item) for item in observed), key=lambda fact: fact.mono_ns)
    begun = {index: _cause_ns(one, causes, started_ns) for index, one in enumerate(expect)}
    taken = _match_in_time(expect, begun, facts)
    _match_the_rest(expect, begun, facts, taken)
    lines = [_line(one, begun[index], taken.get(index)) for index, one in enumerate(expect)]
    used = {id(fact) for fact in taken.values()}
    watched = {str(kind) for kind in watch}
    lines.extend(
        _too_many(fact, started_ns)
        for fact in facts
        if id(fact) not in used and fact.kind in watched
    )
    return Verdict(tuple(lines))


def table(verdict: Verdict) -> str:
    """Write a verdict as lines of text with aligned columns."""
    rows = [("event", "outlet", "reason", "after", "bound", "delay", "result")]
    for line in verdict.lines:
        result = f"{line.result}: {line.note}" if line.note else str(line.result)
        bound = "-" if line.bound_s is None else f"{line.bound_s:g} s"
        delay = "-" if line.delay_s is None else f"{line.delay_s:.2f} s"
        rows.append((line.event, line.about, line.reason, line.after, bound, delay, result))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )


def _fact(item: Mapping[str, Any]) -> _Fact:
    subject = item.get("subject")
    if subject is None:
        subject = f"outlet/{item['outlet']}"
    return _Fact(
        str(item["kind"]), str(subject), str(item.get("reason") or ""), int(item["mono_ns"])
    )


def _cause_ns(one: Expectation, causes: Mapping[str, int], started_ns: int) -> int | None:
    return started_ns if one.after is None else causes.get(one.after)


def _is_it(one: Expectation, fact: _Fact) -> bool:
    return (
        fact.kind == one.fact
        and one.about in (None, fact.subject)
        and one.reason in (None, fact.reason)
    )


def _delay_s(fact: _Fact, begun_ns: int) -> float:
    return (fact.mono_ns - begun_ns) / 1e9


def _match_in_time(
    expect: Sequence[Expectation], begun: Mapping[int, int | None], facts: Sequence[_Fact]
) -> dict[int, _Fact]:
    taken: dict[int, _Fact] = {}
    for fact in facts:
        fitting: list[tuple[float, int]] = []
        for index, one in enumerate(expect):
            begun_ns = begun[index]
            if index in taken or begun_ns is None or not _is_it(one, fact):
                continue
            if one.not_before_s <= _delay_s(fact, begun_ns) <= one.within_s:
                fitting.append((begun_ns + one.within_s * 1e9, index))
        if fitting:
            taken[min(fitting)[1]] = fact
    return taken


def _match_the_rest(
    expect: Sequence[Expectation],
    begun: Mapping[int, int | None],
    facts: Sequence[_Fact],
    taken: dict[int, _Fact],
) -> None:
    """Give expectations that nothing hit in time the first fact that came early or late."""
    used = {id(fact) for fact in taken.values()}
    for index, one in enumerate(expect):
        begun_ns = begun[index]
        if index in taken or begun_ns is None:
            continue
        for fact in facts:
            if id(fact) not in used and _is_it(one, fact) and fact.mono_ns >= begun_ns:
                taken[index] = fact
                used.add(id(fact))
                break


def _line(one: Expectation, begun_ns: int | None, fact: _Fact | None) -> Line:
    delay_s: float | None = None
    note = ""
    if begun_ns is None:
        result, note = Result.MISSING, "its cause did not happen"
    elif fact is None:
        result = Result.MISSING
    else:
        delay_s = _delay_s(fact, begun_ns)
        result = Result.OK
        if delay_s > one.within_s:
            result = Result.LATE
        elif delay_s < one.not_before_s:
            result, note = Result.EARLY, f"not before {one.not_before_s:g} s"
    about = one.outlet or one.subject or "any"
    reason = one.reason or (fact.reason if fact else "")
    return Line(one.fact, about, reason, one.after or "start", one.within_s, delay_s, result, note)


def _too_many(fact: _Fact, started_ns: int) -> Line:
    about = fact.subject.removeprefix("outlet/")
    delay_s = _delay_s(fact, started_ns)
    return Line(fact.kind, about, fact.reason, "start", None, delay_s, Result.UNEXPECTED)
