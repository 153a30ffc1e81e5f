"""A flight record on its way into the journal. Made into JSON by the journal's own thread."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any, NamedTuple

from gateway.core.clock import Now
from gateway.core.facts import Fact, FactKind
from gateway.guard.flight_state import lease_to_json, state_to_json
from gateway.guard.journal_entry import Ticket
from gateway.guard.limits import Limits
from gateway.guard.model import Lease
from gateway.guard.state import OutletState
from gateway.link.flight import FORMAT, MARK, ROW, FlightHead, compress
from gateway.link.messages import fact_to_json

KINDS = (FactKind.OUTLET_CUT, FactKind.LEASE_ENDED, FactKind.OUTLET_ALARM)
"""What a record is made of; the first that is there gives the record its name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """Whose samples they are."""

    site: str
    version: str
    boot_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """What the protection of an outlet knew after a number of its rows."""

    rows: int
    """Of all that were ever recorded of the outlet in this run."""
    state: OutletState


class MadeFlight(NamedTuple):
    """A record as it is written: its head, the number of its last fact, header and rows."""

    head: FlightHead
    last_seq: int
    header: bytes
    rows: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Flight:
    """Everything about one end, cut-off or alarm."""

    outlet: str
    run: Run
    at: Now
    """When it was decided."""
    before_ms: int
    after_ms: int
    limits: Limits
    lease: Lease | None
    start: Start | None
    first_row: int
    """Number of the first row here, counted as ``Start.rows``."""
    packed: bytes
    incomplete: tuple[str, ...]
    tickets: tuple[Ticket, ...]
    """Of the entries with its facts; the first is what the record is about."""

    @property
    def settled(self) -> bool:
        """Whether its facts have their numbers, or never will."""
        return all(ticket.done for ticket in self.tickets)

    def make(self) -> MadeFlight | None:
        """Return what is written; None when its fact is not in the journal: it is about a fact.

        Raises ValueError or TypeError for what JSON can't hold.
        """
        own = self._facts(self.tickets[0])
        if not own:
            return None
        named = min(own, key=lambda fact: KINDS.index(FactKind(fact.kind)))
        head = FlightHead(
            seq=own[0].seq,
            outlet=self.outlet,
            utc_ms=named.utc_ms,
            quality=named.quality,
            kind=named.kind,
            reason=named.reason,
            samples=len(self.packed) // ROW.size,
        )
        facts = [fact for ticket in self.tickets for fact in self._facts(ticket)]
        header, rows = compress(self._header(head, facts), self.packed)
        return MadeFlight(head, own[-1].seq, header, rows)

    def _facts(self, ticket: Ticket) -> list[Fact]:
        subject = f"outlet/{self.outlet}"
        return [
            fact for fact in ticket.facts or () if fact.subject == subject and fact.kind in KINDS
        ]

    def _header(self, head: FlightHead, facts: Sequence[Fact]) -> dict[str, Any]:
        start = self.start
        return {
            MARK: FORMAT,
            "seq": head.seq,
            "site": self.run.site,
            "outlet": self.outlet,
            "kind": head.kind,
            "reason": head.reason,
            "utc_ms": head.utc_ms,
            "quality": head.quality,
            "at_ms": self.at.mono_ms,
            "before_s": self.before_ms / 1000,
            "after_s": self.after_ms / 1000,
            "samples": head.samples,
            "incomplete": list(self.incomplete),
            "program": f"pilegate {self.run.version}",
            "boot_id": self.run.boot_id,
            "facts": [fact_to_json(fact) for fact in facts],
            "lease": lease_to_json(self.lease),
            "limits": json.loads(_limits(self.limits)),
            "state_rows": None if start is None else max(0, start.rows - self.first_row),
            "state": None if start is None else state_to_json(start.state),
        }


@lru_cache(maxsize=256)
def _limits(limits: Limits) -> str:
    """Write limits as JSON; most outlets of a pile share theirs."""
    return json.dumps(asdict(limits))
