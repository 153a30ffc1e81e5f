"""The site's interlocks: reads their inputs, and opens what they guard in the same call."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, Protocol

from gateway.config import Interlock
from gateway.config.interlock_model import input_point
from gateway.core.clock import Clock, Now
from gateway.core.facts import FactDraft, FactKind
from gateway.core.ids import CircuitId, InterlockId, OutletId
from gateway.core.reasons import Reason
from gateway.guard import interlocks
from gateway.guard.drafts import draft
from gateway.guard.effects import Note
from gateway.guard.events import Event, Tripped, Untripped
from gateway.guard.interlocks import REASONS, Cause, State
from gateway.guard.model import Sample, WriteResult
from gateway.link.interlocks import InterlockView

log = logging.getLogger(__name__)

TICK_S = 0.25
"""How often time is let go by for all of them."""


class Guarded(Protocol):
    """An outlet, as an interlock sees it."""

    def feed(self, event: Event, now: Now | None = None) -> object: ...


class Input:
    """What drivers say of one interlock's input (a ``fleet.PointOwner``)."""

    def __init__(self, panel: Panel, name: InterlockId) -> None:
        self._panel = panel
        self._name = name

    def on_sample(self, sample: Sample) -> None:
        self._panel.on_sample(self._name, sample)

    def on_alive(self, at_ms: int) -> None:
        self._panel.on_alive(self._name, at_ms)

    def on_write(self, wanted_on: bool, result: WriteResult) -> None:
        """Nothing follows: nothing is ever written to an input."""


class Panel:
    """All interlocks by id. Every call returns at once."""

    def __init__(
        self,
        settings: Iterable[Interlock],
        *,
        clock: Clock,
        outlets: Mapping[OutletId, Guarded],
        open_feed: Callable[[CircuitId, Reason, Mapping[str, Any]], object],
        write_fact: Callable[[FactDraft], None],
    ) -> None:
        """``open_feed`` opens a circuit's contactor, where it has one."""
        self._clock = clock
        self._outlets = outlets
        self._open_feed = open_feed
        self._write_fact = write_fact
        self._settings = {each.id: each for each in settings}
        begun_ms = clock.now().mono_ms
        self._states = {name: State(begun_ms) for name in self._settings}
        self._since_utc_ms: dict[InterlockId, int] = {}

    def points(self) -> dict[OutletId, Input]:
        """Give who takes what drivers say of each input."""
        return {
            input_point(settings).id: Input(self, settings.id)
            for settings in self._settings.values()
        }

    async def run(self) -> None:
        """Let time go by for ever."""
        while True:
            self.tick()
            await asyncio.sleep(TICK_S)

    def over_circuit(self, circuit: CircuitId) -> tuple[str, ...]:
        """Name the interlocks that keep a circuit's contactor open: tripped, or not read yet."""
        return tuple(
            name
            for name, settings in self._settings.items()
            if circuit in settings.holds and not self._states[name].is_clear
        )

    # What drivers and time say

    def on_sample(self, name: InterlockId, sample: Sample) -> None:
        """Take in what an input was."""
        if sample.input_on is not None:
            settings, now = self._settings[name], self._clock.now()
            at_ms = min(sample.at_ms, now.mono_ms)
            state = interlocks.read(
                self._states[name], settings.rule, input_on=sample.input_on, at_ms=at_ms
            )
            self._become(settings, state, now)

    def on_alive(self, name: InterlockId, at_ms: int) -> None:
        """Note that a device which tells changes by itself was there."""
        self._states[name] = interlocks.alive(self._states[name], at_ms)

    def tick(self) -> None:
        """Let time go by: an input that nobody reads trips."""
        now = self._clock.now()
        for name, settings in self._settings.items():
            state = interlocks.wait(self._states[name], settings.rule, now.mono_ms)
            self._become(settings, state, now)

    # What follows

    def _become(self, settings: Interlock, state: State, now: Now) -> None:
        before, self._states[settings.id] = self._states[settings.id], state
        if state.cause is not None and state.cause is not before.cause:
            self._trip(settings, state.cause, now, again=before.cause is not None)
        elif state.is_clear and not before.is_clear:
            self._clear(settings, now, was_tripped=before.cause is not None)

    def _trip(self, settings: Interlock, cause: Cause, now: Now, *, again: bool) -> None:
        evidence = {"watches": settings.watches.value, "cause": cause.value}
        reason = REASONS[settings.watches]
        event = Tripped(interlock=settings.id, reason=reason, evidence=evidence)
        for outlet in settings.outlets:
            self._surely(settings, partial(self._outlets[outlet].feed, event, now))
        told = {"interlock": settings.id, **evidence}
        for circuit in settings.circuits:
            self._surely(settings, partial(self._open_feed, circuit, reason, told))
        if not again:
            self._since_utc_ms[settings.id] = now.utc_ms
        self._tell(FactKind.INTERLOCK_TRIPPED, settings, now, evidence)

    def _clear(self, settings: Interlock, now: Now, *, was_tripped: bool) -> None:
        event = Untripped(interlock=settings.id)
        for outlet in settings.outlets:
            self._surely(settings, partial(self._outlets[outlet].feed, event, now))
        self._since_utc_ms[settings.id] = now.utc_ms
        if was_tripped:
            self._tell(FactKind.INTERLOCK_CLEARED, settings, now, {})

    def _tell(self, kind: FactKind, settings: Interlock, now: Now, data: Mapping[str, Any]) -> None:
        note = Note(kind=kind, reason=REASONS[settings.watches].value, data=data)
        fact = draft("interlock", settings.id, note, now)
        self._surely(settings, partial(self._write_fact, fact))

    def _surely(self, settings: Interlock, call: Callable[[], object]) -> None:
        """Do one thing that follows; its error must not keep the rest from being opened."""
        try:
            call()
        except Exception:
            log.exception("interlock %s: something that follows was not done", settings.id)

    # What is shown

    def views(self) -> tuple[InterlockView, ...]:
        """Show every interlock, in the order of the site file."""
        return tuple(self._view(each) for each in self._settings.values())

    def _view(self, settings: Interlock) -> InterlockView:
        state = self._states[settings.id]
        word = "tripped" if state.cause else ("clear" if state.is_clear else "unread")
        return InterlockView(
            interlock=settings.id,
            name=settings.name,
            watches=settings.watches.value,
            state=word,
            cause=None if state.cause is None else state.cause.value,
            since_utc_ms=self._since_utc_ms.get(settings.id),
            outlets=len(settings.outlets),
            circuits=tuple(settings.circuits),
        )


def unread(settings: Iterable[Interlock], outlet: OutletId) -> frozenset[str]:
    """Name the interlocks over an outlet: none of them was read when the guard starts."""
    return frozenset(str(each.id) for each in settings if outlet in each.outlets)
