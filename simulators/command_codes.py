"""Relay boards whose registers take commands and not states: the R421A08 and its like.

Source: Erriez/R421A08-rs485-8ch-relay-board, README: the high byte is the command, the low
byte the seconds of a delay. Registers 1 to 8 are the relays.
"""

from __future__ import annotations

from dataclasses import dataclass

ON, OFF, TOGGLE, LATCH, MOMENTARY, DELAY = range(1, 7)
MOMENTARY_S = 1.0


@dataclass(frozen=True, slots=True)
class Order:
    """A relay is told something; ``on`` is None for «the other way round»."""

    index: int
    on: bool | None
    for_s: float | None = None


def orders_of(code: int, index: int, count: int) -> list[Order] | None:
    """Say what a code for relay ``index`` of ``count`` does; None: it is no command."""
    command, seconds = code >> 8, code & 0xFF
    if seconds and command != DELAY:
        return None
    if command in (ON, OFF):
        return [Order(index, command == ON)]
    if command == TOGGLE:
        return [Order(index, None)]
    if command == LATCH:
        others = [Order(other, False) for other in range(count) if other != index]
        return [*others, Order(index, True)]
    if command == MOMENTARY:
        return [Order(index, True, MOMENTARY_S)]
    if command == DELAY:
        return [Order(index, True, float(seconds))]
    return None
