"""What goes wrong between a plug and its broker. Pure, and repeatable by its seed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum
from random import Random
from typing import Any

from simulators.mqtt.message import Message, Outgoing, document, parsed

BABBLE_MEAN_S = 0.2
HUGE_BYTES = 300_000
"""More than any plug has memory for, and less than a broker's usual limit of a packet."""


class PlugFault(StrEnum):
    """Faults of a plug that speaks MQTT."""

    SILENT = "silent"
    """Its program hangs: it hears nothing and says nothing, while its pings go on."""
    WIFI_LOSS = "wifi_loss"
    """It loses its radio: nothing is closed, and what it switched and timed goes on."""
    POWER_LOSS = "power_loss"
    """It loses its supply: relays open; on return they do what was set, after a boot."""
    BRIDGE_LOSS = "bridge_loss"
    """The bridge of a Zigbee plug loses its broker, with all its plugs."""
    LOST = "lost"
    """A share of the exchanges fails: half lose the command, half what the plug says."""
    LATE = "late"
    """A share of what it says leaves ``delay_ms`` late."""
    DUPLICATE = "duplicate"
    """A share of what it says is sent twice."""
    CORRUPT = "corrupt"
    """A share of its payloads is garbage."""
    TRUNCATED = "truncated"
    """A share of its payloads ends before its end."""
    HUGE = "huge"
    """A share of its payloads is enormous."""
    NULLS = "nulls"
    """Its JSON has null instead of some values, and lacks others; ``share``: how many."""
    ABSURD = "absurd"
    """Its JSON has some values of another type, sign or size; ``share``: how many."""
    BABBLE = "babble"
    """It publishes garbage on its own topics at random moments."""


WORST = (
    b"",
    b"null",
    b"{",
    b"[" * 5_000,
    b'{"a":' * 2_000 + b"1" + b"}" * 2_000,
    b"\xff\xfe\x00\x01",
    b"ON ON ON",
    b'{"ENERGY":[]}',
    b"NaN",
    b"-1e999",
)
ABSURDITIES: tuple[Any, ...] = (
    float("nan"),
    float("inf"),
    -1,
    1e300,
    "12",
    "",
    True,
    [],
    {},
    [[1]],
)


@dataclass(frozen=True, slots=True)
class PlugTrouble:
    """One active fault."""

    kind: PlugFault
    share: float = 1.0
    delay_ms: float = 500.0


class PlugFaults:
    """The active faults of one plug."""

    def __init__(self, seed: int) -> None:
        self._random = Random(seed)  # noqa: S311 - repeatable on purpose
        self._active: list[PlugTrouble] = []
        self._next_babble_s = 0.0

    def start(self, trouble: PlugTrouble) -> None:
        self._active.append(trouble)

    def stop(self, trouble: PlugTrouble | None = None) -> None:
        """End one fault, or all of them."""
        self._active = [] if trouble is None else [t for t in self._active if t is not trouble]

    def has(self, kind: PlugFault) -> bool:
        """Say whether a fault is active."""
        return any(trouble.kind is kind for trouble in self._active)

    def loses_command(self) -> bool:
        """Say whether the next command is not heard."""
        return any(
            trouble.kind is PlugFault.SILENT
            or (trouble.kind is PlugFault.LOST and self._hit(trouble.share / 2))
            for trouble in self._active
        )

    def spoil(self, messages: list[Outgoing]) -> list[Outgoing]:
        """Say what becomes of what the plug says."""
        for trouble in self._active:
            messages = [out for message in messages for out in self._apply(trouble, message)]
        return messages

    def babble(self, topics: list[str], now_s: float) -> list[Message]:
        """Garbage that is due now."""
        if not self.has(PlugFault.BABBLE):
            self._next_babble_s = now_s
            return []
        if now_s < self._next_babble_s or not topics:
            return []
        self._next_babble_s = now_s + self._random.expovariate(1 / BABBLE_MEAN_S)
        return [Message(self._random.choice(topics), self._garbage())]

    def _hit(self, share: float) -> bool:
        return self._random.random() < share

    def _garbage(self) -> bytes:
        if self._hit(0.3):
            return self._random.randbytes(self._random.randint(1, 60))
        return self._random.choice(WORST)

    def _apply(self, trouble: PlugTrouble, out: Outgoing) -> list[Outgoing]:
        kind = trouble.kind
        if kind is PlugFault.SILENT:
            return []
        if kind is PlugFault.LOST:
            # Of the exchanges whose command was heard, so that the whole share fails.
            return [] if self._hit(trouble.share / (2 - trouble.share)) else [out]
        if kind is PlugFault.NULLS:
            return [self._rewrite(out, trouble.share, self._null)]
        if kind is PlugFault.ABSURD:
            return [self._rewrite(out, trouble.share, self._absurd)]
        if kind in SPOILS and self._hit(trouble.share):
            return self._spoiled(trouble, out)
        return [out]

    def _spoiled(self, trouble: PlugTrouble, out: Outgoing) -> list[Outgoing]:
        payload = out.message.payload
        if trouble.kind is PlugFault.LATE:
            return [replace(out, delay_s=out.delay_s + trouble.delay_ms / 1000)]
        if trouble.kind is PlugFault.DUPLICATE:
            return [out, replace(out, over=(), is_duplicate=True)]
        if trouble.kind is PlugFault.CORRUPT:
            return [out.with_payload(self._garbage())]
        if trouble.kind is PlugFault.TRUNCATED:
            return [out.with_payload(payload[: int(len(payload) * self._random.uniform(0, 0.9))])]
        return [out.with_payload(payload + b" " * 10 + b"9" * HUGE_BYTES)]

    def _rewrite(self, out: Outgoing, share: float, change: Callable[[Any], Any]) -> Outgoing:
        data = parsed(out.message.payload)
        if not isinstance(data, dict):
            return out
        changed = self._walk(data, share, change)
        return out.with_payload(document("", changed).payload)

    def _walk(self, data: Any, share: float, change: Callable[[Any], Any]) -> Any:
        if isinstance(data, dict):
            kept = {key: self._walk(value, share, change) for key, value in data.items()}
            return {key: value for key, value in kept.items() if value is not MISSING}
        if isinstance(data, list):
            kept_items = [self._walk(item, share, change) for item in data]
            return [None if item is MISSING else item for item in kept_items]
        if isinstance(data, int | float) and self._hit(share):
            return change(data)
        return data

    def _null(self, _value: Any) -> Any:
        return None if self._hit(0.5) else MISSING

    def _absurd(self, _value: Any) -> Any:
        return self._random.choice(ABSURDITIES)


MISSING = object()
SPOILS = frozenset(
    {
        PlugFault.LATE,
        PlugFault.DUPLICATE,
        PlugFault.CORRUPT,
        PlugFault.TRUNCATED,
        PlugFault.HUGE,
    }
)
