"""One interlock as the guard shows it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gateway.link.decode import Fields


@dataclass(frozen=True, slots=True, kw_only=True)
class InterlockView:
    """An interlock with what it watches, how it is, and how much it opens."""

    interlock: str
    name: str
    watches: str
    """``smoke``, ``heat``, ``water``, ``tilt`` or ``emergency_stop``."""
    state: str
    """``clear``, ``tripped``, or ``unread`` since the guard started."""
    cause: str | None = None
    """While tripped: ``input`` says so, or it is ``unreadable``."""
    since_utc_ms: int | None = None
    outlets: int = 0
    """How many it opens."""
    circuits: tuple[str, ...] = ()
    """Whose contactors it opens, where they have one."""

    def to_json(self) -> dict[str, Any]:
        return {
            "interlock": self.interlock,
            "name": self.name,
            "watches": self.watches,
            "state": self.state,
            "cause": self.cause,
            "since_utc_ms": self.since_utc_ms,
            "outlets": self.outlets,
            "circuits": list(self.circuits),
        }

    @staticmethod
    def from_json(value: object, path: str = "interlock") -> InterlockView:
        """Read a view; raises CorrectInput with the field's path."""
        fields = Fields(value, path)
        return InterlockView(
            interlock=fields.name("interlock"),
            name=fields.string("name"),
            watches=fields.string("watches"),
            state=fields.string("state"),
            cause=fields.string_or_none("cause"),
            since_utc_ms=fields.integer_or_none("since_utc_ms"),
            outlets=fields.integer("outlets"),
            circuits=fields.texts("circuits", 256),
        )
