"""The site's interlocks: reads their inputs, and opens what they guard in the same call."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

from gateway.config import Interlock
from gateway.core.clock import Clock, Now
from gateway.core.facts import FactDraft, FactKind
from gateway.core.ids import CircuitId, InterlockId, OutletId
from gateway.guard import interlocks
from gateway.guard.interlocks import REASONS, Cause, State
from gateway.guard.model import Sample
from gateway.guard.state import Event, Tripped, Untripped
from gateway.link.messages import InterlockView


class Guarded(Protocol):
    """An outlet, as an interlock sees it."""

    def feed(self, event: Event, now: Now | None = None) -> object: ...


class Panel:
    """All interlocks by id. Every call returns at once."""

    def __init__(
        self,
        settings: Iterable[Interlock],
        *,
        clock: Clock,
        outlets: Mapping[OutletId, Guarded],
        open_circuit: Callable[[CircuitId, str], None],
        write_fact: Callable[[FactDraft], None],
    ) -> None:
        """``open_circuit`` opens a circuit's contactor, for a reason that people read."""
        self._clock = clock
        self._outlets = outlets
        self._open_circuit = open_circuit
        self._write_fact = write_fact
        self._settings = {each.id: each for each in settings}
        begun_ms = clock.now().mono_ms
        self._states = {name: State(begun_ms) for name in self._settings}
        self._since_utc_ms: dict[InterlockId, int] = {}

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
        event = Tripped(interlock=settings.id, reason=REASONS[settings.watches], evidence=evidence)
        for outlet in settings.outlets:
            self._outlets[outlet].feed(event, now)
        for circuit in settings.circuits:
            self._open_circuit(circuit, f"interlock {settings.id} has tripped")
        if not again:
            self._since_utc_ms[settings.id] = now.utc_ms
        self._tell(FactKind.INTERLOCK_TRIPPED, settings, now, evidence)

    def _clear(self, settings: Interlock, now: Now, *, was_tripped: bool) -> None:
        event = Untripped(interlock=settings.id)
        for outlet in settings.outlets:
            self._outlets[outlet].feed(event, now)
        self._since_utc_ms[settings.id] = now.utc_ms
        if was_tripped:
            self._tell(FactKind.INTERLOCK_CLEARED, settings, now, {})

    def _tell(self, kind: FactKind, settings: Interlock, now: Now, data: Mapping[str, Any]) -> None:
        self._write_fact(
            FactDraft(
                kind=kind,
                subject=f"interlock/{settings.id}",
                utc_ms=now.utc_ms,
                quality=now.quality,
                reason=REASONS[settings.watches].value,
                data={"interlock": settings.id, **data},
            )
        )

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
