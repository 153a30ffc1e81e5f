"""One outlet: its state, and the shell around its protection. Every method returns at once."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Protocol

from gateway.config import Outlet as OutletSettings
from gateway.core.clock import Clock, Now
from gateway.core.ids import OutletId
from gateway.guard import energy, failsafe, load, requests
from gateway.guard.effects import Effect, KeepOn, Note, Refusal, SwitchOff, SwitchOn
from gateway.guard.events import Event, Tick
from gateway.guard.limits import Limits, WrongAppliance
from gateway.guard.model import DeviceState, Lease, Relays
from gateway.guard.protection import step
from gateway.guard.state import Latch, Measured, OutletState, Phase
from gateway.guard.turn import ACTIVE
from gateway.link.messages import LastFact, LatchView, LeaseView, LoadView, OutletView
from gateway.link.messages import OutletState as Shown

log = logging.getLogger(__name__)

_SHOWN = {
    Phase.GRANTED: Shown.STARTING,
    Phase.WAITING: Shown.WAITING,
    Phase.STARTING: Shown.STARTING,
    Phase.ON: Shown.ON,
    Phase.STOPPING: Shown.STOPPING,
}


class Recorder(Protocol):
    """Who writes down what happened to outlets."""

    def record(self, outlet: Outlet, notes: list[Note], before: OutletState) -> None:
        """Write notes down, with what changed of latch and lease since ``before``."""
        ...


Watcher = Callable[["Outlet"], None]
"""Never raises, and returns at once."""


class Outlet:
    """The one owner of an outlet's state."""

    def __init__(
        self,
        settings: OutletSettings,
        *,
        switch: Relays,
        recorder: Recorder,
        clock: Clock,
        latch: Latch | None = None,
        locks: frozenset[str] = frozenset(),
        trips: frozenset[str] = frozenset(),
        measures: frozenset[str] = frozenset(),
    ) -> None:
        self.settings = settings
        self.id: OutletId = settings.id
        self.limits = settings.limits
        self.state = OutletState(
            metered=settings.meter is not None,
            measures=measures,
            latch=latch,
            locks=locks,
            trips=trips,
        )
        self.last_fact: LastFact | None = None
        self.watcher: Watcher | None = None
        """Told when the outlet is in another phase, or is latched; circuits look at it."""
        self.changed = True
        """Whether something happened since the outlet was last shown."""
        self._stale = True
        self._written_latch = latch
        self._faulty = False
        self._switch = switch
        self._recorder = recorder
        self._clock = clock

    def feed(self, event: Event, now: Now | None = None) -> Refusal | None:
        """Feed one event and do what follows from it; an OFF leaves first.

        Returns the refusal if the event was a request that is not granted.
        """
        before = self.state
        now = now or self._clock.now()
        try:
            self.state, effects = step(before, event, self.limits, now)
        except Exception:  # the error of one outlet must not reach its bus or the others
            if not self._faulty:
                log.exception("outlet %s: could not be judged: %r", self.id, event)
            self._faulty = True
            self.state, effects = self._fail_safe(before, now)
        if self.state is not before:
            self.changed = True
        refusal = self._do(effects, before) if effects else None
        after = self.state
        if self.watcher is not None and (
            after.phase is not before.phase or after.latch is not before.latch
        ):
            self.watcher(self)
        return refusal

    def tick(self) -> None:
        """Let time go by; what has grown stale by it looks different from now on."""
        now = self._clock.now()
        self.feed(Tick(), now)
        stale = not requests.fresh(self.state, self.limits, now.mono_ms)
        if stale is not self._stale:
            self._stale = stale
            self.changed = True

    def _do(self, effects: tuple[Effect, ...], before: OutletState) -> Refusal | None:
        refusal: Refusal | None = None
        notes: list[Note] = []
        for effect in effects:
            match effect:
                case SwitchOff() | SwitchOn() | KeepOn():
                    self._tell_switch(effect)
                case Note():
                    notes.append(effect)
                case Refusal():
                    refusal = effect
        if notes:
            try:
                self._recorder.record(self, notes, before)
            except Exception:  # what was decided holds, written down or not
                log.exception("outlet %s: not written down: %s", self.id, notes)
        return refusal

    def _tell_switch(self, effect: SwitchOn | KeepOn | SwitchOff) -> None:
        try:
            if isinstance(effect, SwitchOff):
                self._switch.switch_off(self.id, urgent=effect.urgent)
            elif isinstance(effect, SwitchOn):
                self._switch.switch_on(self.id, effect.for_ms)
            else:
                self._switch.keep_on(self.id, effect.for_ms)
        except Exception:  # an OFF is sent again with time, an ON that fails is no reaction
            log.exception("outlet %s: its bus did not take %s", self.id, effect)

    def _fail_safe(self, before: OutletState, now: Now) -> tuple[OutletState, tuple[Effect, ...]]:
        try:
            return failsafe.switched_off(before, self.limits, now)
        except Exception:
            log.exception("outlet %s: the end of its lease could not be told", self.id)
            return failsafe.forced_off(before, now)

    def latch_written(self, latch: Latch) -> None:
        """Note that the journal holds the latch: from now on it may be seen outside."""
        self._written_latch = latch
        self.changed = True

    @property
    def latch_is_written(self) -> bool:
        """Whether what may be said outside about the latch would outlive a crash."""
        latch, written = self.state.latch, self._written_latch
        return latch is None or (written is not None and written.is_same(latch))

    def view(self, now: Now, device_state: DeviceState) -> OutletView:
        """Show the outlet as it is known now."""
        state, settings = self.state, self.settings
        measured = state.measured
        latch = state.latch if self.latch_is_written else None
        heard_ms = requests.last_heard_ms(state)
        return OutletView(
            outlet=self.id,
            name=settings.name,
            pile=settings.pile,
            station=settings.station,
            state=self._shown(now),
            relay_on=measured.relay_on,
            voltage_v=_rounded(measured.voltage_v, 1),
            current_a=_rounded(measured.current_a, 3),
            power_w=_rounded(measured.power_w, 1),
            temperature_c=_rounded(measured.temperature_c, 1),
            sample_utc_ms=_heard_utc_ms(measured, heard_ms),
            sample_age_ms=None if heard_ms is None else now.mono_ms - heard_ms,
            stale=not requests.fresh(state, self.limits, now.mono_ms),
            energy_mwh=energy.total_mwh(state.energy),
            load=_load_view(state, self.limits),
            lease=_lease_view(state.lease, now),
            latch=_latch_view(latch),
            locks=tuple(sorted(state.locks)),
            alarms=tuple(sorted(state.alarms)),
            device_state=device_state.value,
            last_fact=self.last_fact,
            waits_for=(state.waits_for or None) if state.lease is not None else None,
        )

    def _shown(self, now: Now) -> Shown:
        state = self.state
        if state.phase is not Phase.OFF:
            return _SHOWN[state.phase]
        if state.latch is not None:
            # A latch that a crash could still forget is not told yet.
            return Shown.CUT if self.latch_is_written else Shown.STOPPING
        if not requests.fresh(state, self.limits, now.mono_ms):
            return Shown.UNKNOWN
        return Shown.LOCKED if state.locks else Shown.OFF


def _heard_utc_ms(measured: Measured, heard_ms: int | None) -> int | None:
    """Return when the oldest value that is shown was measured: none is made younger."""
    if measured.utc_ms is None or heard_ms is None:
        return measured.utc_ms
    newest_ms = max(measured.relay_ms or 0, measured.current_ms or 0, measured.power_ms or 0)
    return measured.utc_ms - (newest_ms - heard_ms)


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)


def _load_view(state: OutletState, limits: Limits) -> LoadView | None:
    if state.phase not in ACTIVE or not state.metered:
        return None
    found = load.judge(state.plugged, limits.wrong_appliance or WrongAppliance())
    return LoadView(
        kind=found.kind.value,
        confidence=found.confidence,
        power_factor=_rounded(found.power_factor, 2),
    )


def _lease_view(lease: Lease | None, now: Now) -> LeaseView | None:
    if lease is None:
        return None
    return LeaseView(
        id=lease.id,
        request_id=lease.request_id,
        actor=lease.actor,
        reason=lease.reason,
        granted_utc_ms=lease.granted_utc_ms,
        until_utc_ms=now.utc_ms + lease.until_ms - now.mono_ms,
        energy_mwh=lease.energy_mwh,
        power_w=lease.power_w,
    )


def _latch_view(latch: Latch | None) -> LatchView | None:
    if latch is None:
        return None
    return LatchView(
        reason=latch.reason.value,
        rule=latch.reason.value,
        release=latch.release.value,
        since_utc_ms=latch.since_utc_ms,
    )
