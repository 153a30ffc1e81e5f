"""What a device publishes and what it is sent."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any


@dataclass(frozen=True, slots=True)
class Message:
    """One application message."""

    topic: str
    payload: bytes
    retain: bool = False
    qos: int = 0


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message on its way: how late it leaves, and whose armed current level it exceeds."""

    message: Message
    delay_s: float = 0.0
    over: tuple[str, ...] = ()
    is_duplicate: bool = False

    def with_payload(self, payload: bytes) -> Outgoing:
        """Make the same with another payload, which shows nothing of a load any more."""
        return replace(self, message=replace(self.message, payload=payload), over=())


def text(topic: str, payload: str, *, retain: bool = False, qos: int = 0) -> Message:
    """Make a message of plain text."""
    return Message(topic, payload.encode(), retain, qos)


def document(topic: str, payload: Any, *, retain: bool = False, qos: int = 0) -> Message:
    """Make a message of JSON, without blanks, as small devices write it."""
    written = json.dumps(payload, separators=(",", ":"))
    return Message(topic, written.encode(), retain, qos)


def parsed(payload: bytes) -> Any:
    """Read JSON; None for anything that is none. Small devices answer neither."""
    try:
        return json.loads(payload)
    except (ValueError, RecursionError):
        return None
