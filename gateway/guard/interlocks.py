"""PURE: interlocks: smoke, water, heat, tilt, emergency stop.

A fixed local rule: what an input guards is opened when the input says so, and also when it can't
be read. Nothing here is switched on again: an outlet that was opened stays latched until a person
on site has looked, and can't be released while the interlock is tripped.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from gateway.core.reasons import Reason


class Watches(StrEnum):
    """What an interlock is there for."""

    SMOKE = "smoke"
    HEAT = "heat"
    WATER = "water"
    TILT = "tilt"
    EMERGENCY_STOP = "emergency_stop"


REASONS = {
    Watches.SMOKE: Reason.FIRE,
    Watches.HEAT: Reason.FIRE,
    Watches.WATER: Reason.WATER,
    Watches.TILT: Reason.INTERLOCK,
    Watches.EMERGENCY_STOP: Reason.INTERLOCK,
}


class Cause(StrEnum):
    """Why an interlock is tripped."""

    INPUT = "input"
    """Its input says so."""
    UNREADABLE = "unreadable"
    """Nobody knows what its input says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """When an interlock trips."""

    trips_when_on: bool
    """Whether its input is on when tripped. Off is the safe choice: a broken wire trips it."""
    delay_s: float
    """For how long the input must say so, against contacts that bounce."""
    silence_s: float
    """After so long without being read it counts as tripped."""


class State(NamedTuple):
    """What is known of an interlock. Times are monotonic milliseconds."""

    since_ms: int
    """When the guard began to look."""
    heard_ms: int | None = None
    """When its input was read last."""
    says_so_since_ms: int | None = None
    """Since when the input has said that it is tripped."""
    cause: Cause | None = None
    """Why it is tripped; None: it is not, or was not read yet."""
    was_well: bool = False
    """Whether its input ever said that all is well: until then no delay is owed to it."""

    @property
    def is_clear(self) -> bool:
        """Whether it was read as well, and is not tripped."""
        return self.was_well and self.cause is None


def read(state: State, rule: Rule, *, input_on: bool, at_ms: int) -> State:
    """Take in what the input was at ``at_ms``; what is older than what is known is nothing.

    What comes later in the same millisecond counts: who tells changes alone does not say it twice.
    """
    if state.heard_ms is not None and at_ms < state.heard_ms:
        return state
    state = state._replace(heard_ms=at_ms)
    if input_on is not rule.trips_when_on:
        return state._replace(says_so_since_ms=None, cause=None, was_well=True)
    since_ms = at_ms if state.says_so_since_ms is None else state.says_so_since_ms
    state = state._replace(says_so_since_ms=since_ms)
    if at_ms - since_ms >= rule.delay_s * 1000:
        return state._replace(cause=Cause.INPUT)
    # Not for long enough: what was unreadable until now stays tripped.
    return state


def wait(state: State, rule: Rule, now_ms: int) -> State:
    """Let time go by: an input that nobody reads counts as tripped."""
    heard_ms = state.since_ms if state.heard_ms is None else state.heard_ms
    if state.cause is not None:
        return state
    if now_ms - heard_ms >= rule.silence_s * 1000:
        return state._replace(cause=Cause.UNREADABLE)
    # A device that tells changes alone does not say it twice.
    since_ms = state.says_so_since_ms
    if since_ms is not None and now_ms - since_ms >= rule.delay_s * 1000:
        return state._replace(cause=Cause.INPUT)
    return state


def alive(state: State, at_ms: int) -> State:
    """Note that a device which tells changes by itself was there: what it said last holds."""
    if state.heard_ms is None or at_ms <= state.heard_ms:
        return state
    return state._replace(heard_ms=at_ms)
