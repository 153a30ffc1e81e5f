"""PURE: a note becomes a fact about an outlet, a circuit or an interlock."""

from __future__ import annotations

from typing import Any

from gateway.core.clock import Now
from gateway.core.facts import FactDraft
from gateway.guard.effects import Note
from gateway.guard.evidence import told


def draft(what: str, name: str, note: Note, now: Now) -> FactDraft:
    """Make a fact about ``what`` (outlet, circuit, interlock) of that name."""
    data: dict[str, Any] = {what: name, **note.data}
    if "evidence" in data:
        data["evidence"] = told(data["evidence"])
    return FactDraft(
        kind=note.kind,
        subject=f"{what}/{name}",
        utc_ms=now.utc_ms,
        quality=now.quality,
        actor=note.actor,
        reason=str(note.reason),
        data=data,
    )
