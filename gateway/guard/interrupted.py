"""What a restarted guard finds of its predecessor, and says about the leases that it did not end.

An outlet that was on stays off: ON is a new decision, with a new lease and all checks.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gateway.config import Site
from gateway.core.clock import EARLIEST_UTC_MS, Now
from gateway.core.facts import FactDraft, FactKind
from gateway.core.ids import OutletId
from gateway.core.reasons import Reason
from gateway.guard.journal_entry import DropLease, Entry
from gateway.guard.limits import Action, Release
from gateway.guard.state import Latch
from gateway.link.journal import JournalReader
from gateway.link.records import LatchRecord, LeaseRecord

_DEFAULT_COOLDOWN_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """What an earlier run left behind."""

    latched: Sequence[LatchRecord]
    """Latches as they are written down, also those of circuits."""
    latches: Mapping[str, Latch]
    """Latches of outlets."""
    locks: Sequence[str]
    """Scopes that are locked."""
    interrupted: Sequence[str]
    """Outlets whose lease has not ended."""
    first: Entry
    """What the new run has to write down before anything else."""


def past_of(reader: JournalReader, site: Site, now: Now, *, version: str, boot_id: str) -> Past:
    """Read what an earlier run left."""
    latched, leases = reader.latches(), reader.leases()
    return Past(
        latched=latched,
        latches=latches_of(site, latched, now),
        locks=[record.scope for record in reader.locks()],
        interrupted=[lease.outlet for lease in leases],
        first=first_entry(reader, leases, now, version=version, boot_id=boot_id),
    )


def first_entry(
    reader: JournalReader, leases: Iterable[LeaseRecord], now: Now, *, version: str, boot_id: str
) -> Entry:
    """Build the first entry of a new run: the start, and the end of what was interrupted."""
    leases = list(leases)
    started = FactDraft(
        kind=FactKind.GUARD_STARTED,
        subject="guard",
        utc_ms=now.utc_ms,
        quality=now.quality,
        data={
            "version": version,
            "boot_id": boot_id,
            "interrupted": [lease.outlet for lease in leases],
        },
    )
    ended = [_ended(reader, lease, now) for lease in leases]
    changes = tuple(DropLease(lease.outlet) for lease in leases)
    return Entry((started, *ended), changes)


def _ended(reader: JournalReader, lease: LeaseRecord, now: Now) -> FactDraft:
    data: dict[str, Any] = {
        "outlet": lease.outlet,
        "lease_id": lease.lease_id,
        "request_id": lease.request_id,
        "reason": Reason.INTERRUPTED.value,
        "action": Action.OFF.value,
        "energy_mwh": _least_energy_mwh(reader, lease, now),
        "energy_is": "at_least",
        "duration_ms": None,
        "evidence": {"detail": "the guard stopped without ending it; the outlet stays off"},
    }
    return FactDraft(
        kind=FactKind.LEASE_ENDED,
        subject=f"outlet/{lease.outlet}",
        utc_ms=now.utc_ms,
        quality=now.quality,
        reason=Reason.INTERRUPTED.value,
        data=data,
    )


def _least_energy_mwh(reader: JournalReader, lease: LeaseRecord, now: Now) -> int:
    """Add up what is certain: whole minutes of this lease that were written down.

    The minute in which it began may hold another lease's end, and the last ones may be
    missing. By a clock that was not set, minutes of other days can bear the same time.
    """
    if lease.granted_utc_ms < EARLIEST_UTC_MS:
        return 0
    # No lease was used after its end. A box may have been off for weeks, and outlets wait for this.
    until_utc_ms = min(now.utc_ms, lease.until_utc_ms)
    minutes = reader.minutes(lease.outlet, lease.granted_utc_ms, until_utc_ms)
    return sum(minute.energy_mwh for minute in minutes)


def latches_of(site: Site, records: Iterable[LatchRecord], now: Now) -> dict[str, Latch]:
    """Rebuild latches from the journal, for the outlets that the site still has."""
    known: set[OutletId] = {outlet.id for outlet in site.outlets}
    latches: dict[str, Latch] = {}
    for record in records:
        if record.outlet not in known:
            continue
        evidence = dict(record.evidence)
        cooldown_s = float(evidence.pop("cooldown_s", _DEFAULT_COOLDOWN_S))
        try:
            reason, release = Reason(record.reason), Release(record.release)
        except ValueError:
            # Another version's words: nobody here can judge whether that cause is gone.
            evidence["written_as"] = f"{record.reason}, {record.release}"
            reason, release = Reason.INTERRUPTED, Release.ON_SITE
        latches[record.outlet] = Latch(
            reason=reason,
            release=release,
            since_ms=now.mono_ms,
            since_utc_ms=record.since_utc_ms,
            cooldown_s=cooldown_s,
            evidence=evidence,
        )
    return latches
