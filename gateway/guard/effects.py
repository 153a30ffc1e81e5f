"""What an outlet's protection asks for: switch, write down, refuse. Times are in milliseconds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gateway.core.facts import FactKind


@dataclass(frozen=True, slots=True, kw_only=True)
class SwitchOn:
    """Tell the relay to close, for as long as the lease may last."""

    for_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class KeepOn:
    """The lease lasts longer now: set the outlet's own timer anew, where it has one."""

    for_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SwitchOff:
    """Tell the relay to open."""

    urgent: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """A fact to write down."""

    kind: FactKind
    reason: str = ""
    actor: str = "guard"
    data: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """The request is not granted; ``code`` is for programs, ``message`` for people."""

    code: str
    message: str


Effect = SwitchOn | KeepOn | SwitchOff | Note | Refusal
