"""Limits that a module keeps by itself, as its profile says where they stand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from simulators.codec import Space
from simulators.profiles import ModuleLimit, SimProfile
from simulators.registers import Channel

DELAY_S = 2.0
"""The reference module opens a relay whose limit was exceeded for this long."""

Memory = Mapping[tuple[Space, int], int]


@dataclass(slots=True)
class _Kept:
    """One limit of one channel that is not 0."""

    index: int
    by_current: bool
    allowed: float
    since_s: float | None = None


class OwnLimits:
    """Watches the channels of one module."""

    def __init__(self, profile: SimProfile, channels: Sequence[Channel]) -> None:
        self._limits = profile.module_limits
        self._channels = channels
        self._kept: list[_Kept] = []

    def registers(self) -> dict[tuple[Space, int], int]:
        """Give the registers they stand in, all 0: no limit."""
        return {
            (Space.HOLDING, limit.address + index * limit.stride + word): 0
            for limit in self._limits
            for index in range(len(self._channels))
            for word in range(limit.words)
        }

    def load(self, memory: Memory) -> None:
        """Take over what was written; what was exceeded already goes on counting."""
        before = {(kept.index, kept.by_current): kept.since_s for kept in self._kept}
        self._kept = []
        for limit in self._limits:
            by_current = limit.quantity == "current_a"
            for index in range(len(self._channels)):
                allowed = _allowed(limit, index, memory)
                if allowed > 0:
                    since_s = before.get((index, by_current))
                    self._kept.append(_Kept(index, by_current, allowed, since_s))

    def to_open(self, now_s: float) -> list[int]:
        """Say which channels (from 0) have been over a limit for too long."""
        found = []
        for kept in self._kept:
            channel = self._channels[kept.index]
            if not channel.relay.relay.commanded_on:
                kept.since_s = None
                continue
            channel.meter.advance(now_s)
            draw = channel.meter.draw
            if (draw.current_a if kept.by_current else draw.power_w) <= kept.allowed:
                kept.since_s = None
            elif kept.since_s is None:
                kept.since_s = now_s
            elif now_s - kept.since_s >= DELAY_S and kept.index not in found:
                found.append(kept.index)
        return found


def _allowed(limit: ModuleLimit, index: int, memory: Memory) -> float:
    first = limit.address + index * limit.stride
    words = [memory[Space.HOLDING, first + word] for word in range(limit.words)]
    if limit.low_word_first:
        words.reverse()
    raw = 0
    for word in words:
        raw = raw << 16 | word
    return raw * limit.scale
