"""What must be true of a site's journal, database and relays, however its programs died."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.core.facts import Fact, FactKind
from gateway.demo.api_client import ApiClient
from gateway.link.journal import JournalReader
from gateway.link.messages import LatchView, OutletView

LATE_MS = 10_000
"""How long after its lease's end a relay may still be told to close: an ON that was on its way."""


def read_facts(journal: Path) -> list[Fact]:
    """Read all facts of a journal."""
    found: list[Fact] = []
    with JournalReader(journal) as reader:
        while page := reader.facts_after(found[-1].seq if found else 0, 500):
            found += page
    return found


def open_leases(journal: Path) -> dict[str, str]:
    """Give the lease that the journal holds for each outlet."""
    with JournalReader(journal) as reader:
        return {record.outlet: record.lease_id for record in reader.leases()}


def sequence_is_whole(facts: Sequence[Fact]) -> None:
    """Numbers from 1 without gap or duplicate, and no id twice."""
    assert [fact.seq for fact in facts] == list(range(1, len(facts) + 1))
    assert len({fact.id for fact in facts}) == len(facts)


def latched_by_facts(facts: Sequence[Fact]) -> dict[str, str]:
    """Replay cuts and releases: the reason for which each outlet is latched in the end."""
    latched: dict[str, str] = {}
    for fact in facts:
        outlet = fact.subject.removeprefix("outlet/")
        if fact.kind == FactKind.OUTLET_CUT:
            latched[outlet] = fact.reason
        elif fact.kind == FactKind.OUTLET_RELEASED:
            latched.pop(outlet, None)
    return latched


def locked_by_facts(facts: Sequence[Fact]) -> dict[str, set[str]]:
    """Replay locks and unlocks: the scopes by which each outlet is locked in the end."""
    locked: dict[str, set[str]] = {}
    for fact in facts:
        scope = fact.data.get("scope", "")
        outlet = scope.removeprefix("outlet/")
        if fact.kind == FactKind.LOCKED:
            locked[outlet] = {scope}
        elif fact.kind == FactKind.UNLOCKED:
            locked.pop(outlet, None)
    return locked


def latches_outlive(
    seen: dict[str, LatchView], shown: dict[str, OutletView], facts: Sequence[Fact]
) -> None:
    """Every latch that was seen is there unchanged, unless a later fact says why not."""
    for outlet, latch in seen.items():
        history = [
            fact
            for fact in facts
            if fact.subject == f"outlet/{outlet}"
            and fact.kind in (FactKind.OUTLET_CUT, FactKind.OUTLET_RELEASED)
        ]
        cut = [
            at
            for at, fact in enumerate(history)
            if fact.kind == FactKind.OUTLET_CUT
            and fact.reason == latch.reason
            and abs(fact.utc_ms - latch.since_utc_ms) < 1_000
        ]
        assert cut, f"{outlet} was seen latched ({latch}), and no fact tells of it"
        if history[cut[-1] + 1 :]:
            continue
        assert shown[outlet].latch == latch, f"{outlet} was latched by {latch} before"


def leases_end_once(facts: Sequence[Fact], still_open: Sequence[str]) -> None:
    """Each lease starts once and ends once; those that are open have not ended."""
    started = Counter(f.data["lease_id"] for f in facts if f.kind == FactKind.LEASE_STARTED)
    ended = Counter(f.data["lease_id"] for f in facts if f.kind == FactKind.LEASE_ENDED)
    assert [lease for lease, count in started.items() if count > 1] == []
    assert [lease for lease, count in ended.items() if count > 1] == []
    assert sorted(set(started) - set(ended)) == sorted(still_open)
    assert set(ended) <= set(started)


def interrupted_once(facts: Sequence[Fact], died_with: dict[str, str]) -> None:
    """Leases that a killed guard left open: ended as interrupted by the next one, at once."""
    last_start = max(at for at, fact in enumerate(facts) if fact.kind == FactKind.GUARD_STARTED)
    assert facts[last_start].data["interrupted"] == sorted(died_with)
    told = facts[last_start + 1 : last_start + 1 + len(died_with)]
    assert {fact.data["outlet"]: fact.data["lease_id"] for fact in told} == died_with
    assert all(f.kind == FactKind.LEASE_ENDED and f.reason == "interrupted" for f in told)


@dataclass(frozen=True, slots=True)
class Span:
    """From when to when an outlet had a lease, UTC ms."""

    start_ms: int
    end_ms: float
    interrupted: bool


def spans(facts: Sequence[Fact]) -> dict[str, list[Span]]:
    """Give the leases of each outlet as the facts tell them."""
    starts: dict[str, Fact] = {}
    found: dict[str, list[Span]] = {}
    for fact in facts:
        if fact.kind == FactKind.LEASE_STARTED:
            starts[fact.data["lease_id"]] = fact
        elif fact.kind == FactKind.LEASE_ENDED:
            start = starts.pop(fact.data["lease_id"])
            span = Span(start.utc_ms, fact.utc_ms, fact.reason == "interrupted")
            found.setdefault(fact.data["outlet"], []).append(span)
    for fact in starts.values():
        found.setdefault(fact.data["outlet"], []).append(Span(fact.utc_ms, float("inf"), False))
    return found


def closed_by_lease_only(
    records: Sequence[dict[str, Any]], leases: dict[str, list[Span]], utc_less_mono_ms: float
) -> None:
    """No relay was ever told to close without a lease that stood in the journal."""
    for record in records:
        if not record["on"]:
            continue
        outlet, at_ms = record["outlet"], record["mono_ns"] / 1e6 + utc_less_mono_ms
        within = [
            span
            for span in leases.get(outlet, [])
            if span.start_ms - 5 <= at_ms <= span.end_ms + (0 if span.interrupted else LATE_MS)
        ]
        assert within, f"{outlet} was switched on at {at_ms:.0f} without a lease: {record}"


@dataclass(frozen=True, slots=True)
class Row:
    """One event of the business database."""

    position: int
    journal: int
    seq: int | None
    id: str
    kind: str


def business_events(database: Path) -> list[Row]:
    """Read the events of a business database in their order."""
    with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as db:
        query = "SELECT position, journal, seq, id, kind FROM events ORDER BY position"
        rows = [Row(*row) for row in db.execute(query)]
    db.close()
    return rows


def effects_once(rows: Sequence[Row], facts: Sequence[Fact]) -> None:
    """The business database holds each fact of the journal once, in order, and nothing else."""
    assert [row.position for row in rows] == list(range(1, len(rows) + 1))
    assert {row.journal for row in rows} == {1}
    assert [(row.seq, row.id, row.kind) for row in rows] == [
        (fact.seq, fact.id, fact.kind) for fact in facts
    ]


async def api_events(api: ApiClient) -> list[dict[str, Any]]:
    """Page through all events of the API."""
    found: list[dict[str, Any]] = []
    after = 0
    while True:
        answer = await api.request("GET", f"/v1/events?after={after}&limit=200")
        assert answer.status == 200, answer
        found += answer.body["events"]
        if not answer.body["events"]:
            return found
        after = answer.body["next"]
