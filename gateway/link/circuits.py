"""One circuit as the guard shows it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from gateway.link.decode import Fields

MOST_WAITING = 10_000


class CircuitState(StrEnum):
    """How a circuit is, the worst first."""

    OPENED = "opened"
    """Its contactor was opened, until a person on site releases it."""
    DARK = "dark"
    """It has no voltage, or its contactor is open."""
    OVER = "over"
    """It carries more than it may."""
    FULL = "full"
    """Somebody waits for it."""
    OK = "ok"


class ContactorWord(StrEnum):
    """What is known of a contactor."""

    CLOSED = "closed"
    OPEN = "open"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class CircuitView:
    """A circuit with what it carries, and who waits for it."""

    circuit: str
    name: str
    parent: str | None
    state: CircuitState
    power_w: float
    """What it carries, or has to be counted with where its meter is lost."""
    current_a: float
    """Of the phase that carries most."""
    counted_w: float
    """With what outlets that have just started may still draw."""
    counted_a: float
    limit_w: float | None = None
    limit_a: float | None = None
    known_by: str = "sum"
    """``sum`` of what hangs on it, its ``meter``, or ``limits``: its meter is lost."""
    running: int = 0
    waiting: tuple[str, ...] = ()
    """Outlets that wait on its account, in the order in which they go on."""
    contactor: ContactorWord | None = None
    """None: it has none."""
    opened_reason: str | None = None
    opened_utc_ms: int | None = None

    def to_json(self) -> dict[str, Any]:
        return {
            "circuit": self.circuit,
            "name": self.name,
            "parent": self.parent,
            "state": self.state.value,
            "power_w": self.power_w,
            "current_a": self.current_a,
            "counted_w": self.counted_w,
            "counted_a": self.counted_a,
            "limit_w": self.limit_w,
            "limit_a": self.limit_a,
            "known_by": self.known_by,
            "running": self.running,
            "waiting": list(self.waiting),
            "contactor": None if self.contactor is None else self.contactor.value,
            "opened_reason": self.opened_reason,
            "opened_utc_ms": self.opened_utc_ms,
        }

    @staticmethod
    def from_json(value: object, path: str = "circuit") -> CircuitView:
        """Read a view; raises CorrectInput with the field's path."""
        fields = Fields(value, path)
        contactor = fields.string_or_none("contactor")
        return CircuitView(
            circuit=fields.name("circuit"),
            name=fields.string("name"),
            parent=fields.string_or_none("parent"),
            state=fields.word("state", CircuitState),
            power_w=fields.number("power_w"),
            current_a=fields.number("current_a"),
            counted_w=fields.number("counted_w"),
            counted_a=fields.number("counted_a"),
            limit_w=fields.number_or_none("limit_w"),
            limit_a=fields.number_or_none("limit_a"),
            known_by=fields.string("known_by"),
            running=fields.integer("running"),
            waiting=fields.texts("waiting", MOST_WAITING),
            contactor=None if contactor is None else fields.word("contactor", ContactorWord),
            opened_reason=fields.string_or_none("opened_reason"),
            opened_utc_ms=fields.integer_or_none("opened_utc_ms"),
        )
