"""One charge through the protection, second by second, as a poll would see it."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from gateway.core.clock import Now
from gateway.core.facts import FactKind
from gateway.core.reasons import Reason
from gateway.guard.effects import Effect, Note, SwitchOff, SwitchOn
from gateway.guard.events import (
    Event,
    LeaseDurable,
    RequestOff,
    RequestOn,
    RequestReset,
    Tick,
    Written,
)
from gateway.guard.limits import Limits
from gateway.guard.model import Lease, Sample, WriteResult
from gateway.guard.protection import step
from gateway.guard.state import OutletState
from simulators.physics import draw_at
from tests.soak.course import Charge, Rider, draw_charge
from tests.soak.faults import EXPECTED, SLACK_S, WITHIN_S, Fault, draw_fault
from tests.soak.ranges import LEASE_S, LOST_POLLS, RANGES

ENOUGH = 0.95
"""A charge that ends by itself has delivered this share of what the battery would take."""
AFTER_S = 4.2 * 3_600
"""How long after the charger has done its work an end is waited for."""
DONE_BEFORE = "(full before it)"
TOO_MUCH = "(more than the outlet may)"
"""Ended by a limit, and rightly: what the charger draws at these mains is more than that."""
LONGEST = "(longest time)"
"""A charge that takes longer than a lease may last is over with the lease, full or not; so is one
that is full by then, but not for as long as a charger on its stand-by is watched."""
UNSEEN = "(nothing flows)"
"""A relay that is welded while its load draws less than the rule's threshold can't be seen."""
FROZEN_AT_REST = "(full, on a stand-by)"
"""A meter that froze on the stand-by of a full charger shows what flows, and the charge ends."""
IDLE_POLLS = 60
"""An outlet was polled before it was switched on."""
NOT_BY_NOISE_S = 2.0
"""So long must too much have flowed in truth; the rules' delay less one poll."""
AT_THE_LIMIT = 0.98
"""From this share of a limit on, the noise of load and mains (1 % rms each) decides."""
WATCH_S = 900.0
"""How long after a fault its end is waited for."""


@dataclass(slots=True)
class Told:
    """A fact, and the second in which it came."""

    second: float
    kind: FactKind
    reason: str
    over_s: float
    """For how long more than the outlet may draw had flowed then; a cut-off ends it."""
    amps: float
    """What flowed then."""


@dataclass(slots=True)
class Verdict:
    """What became of one charge."""

    seed: int
    fault: str
    ended: str
    """The reason that decided, or ``nothing``."""
    good: bool
    late_s: float
    """With a fault: how long after it, less the rule's delay."""
    share: float
    """What was delivered of what the battery would have taken."""
    about: str


@dataclass(slots=True)
class Play:
    """An outlet with a relay, a meter and a rider."""

    seed: int
    charge: Charge
    rider: Rider
    fault: Fault | None
    rng: random.Random
    limits: Limits = field(default_factory=Limits)
    state: OutletState = field(default_factory=lambda: OutletState(metered=True))
    now_ms: int = 1_000_000
    relay_on: bool = False
    told: list[Told] = field(default_factory=list)
    second: float = 0.0
    over_s: float = 0.0
    """For how long what flows has been more than the outlet may draw."""
    amps: float = 0.0
    """What flows."""
    seen_s: float | None = None
    """Since when a weld could be seen: current flows although the outlet is off."""
    _contact: bool = False
    _frozen: tuple[float, float, float] | None = None

    def feed(self, event: Event) -> None:
        """Feed the machine and obey it."""
        self.state, effects = self.judged(event)
        for effect in effects:
            match effect:
                case SwitchOn():
                    self._switch(on=True)
                case SwitchOff():
                    self._switch(on=False)
                case Note():
                    self.told.append(
                        Told(self.second, effect.kind, str(effect.reason), self.over_s, self.amps)
                    )

    def judged(self, event: Event) -> tuple[OutletState, tuple[Effect, ...]]:
        """Ask the machine what becomes of an event."""
        return step(self.state, event, self.limits, Now(self.now_ms, self.now_ms))

    def _switch(self, *, on: bool) -> None:
        kind = self.fault.kind if self.fault is not None else ""
        if on and kind == "not closing":
            return
        self.relay_on = on
        if on or kind != "welded":
            self._contact = on
        self.feed(Written(wanted_on=on, result=WriteResult.DONE))

    def _switch_on(self) -> None:
        if self.state.latch is not None:
            self.feed(RequestReset(actor="soak", on_site=True))
        lease = Lease(
            id="l",
            request_id="r",
            actor="soak",
            reason="soak",
            granted_ms=self.now_ms,
            granted_utc_ms=self.now_ms,
            until_ms=self.now_ms + round(LEASE_S * 1000),
        )
        self.feed(RequestOn(lease=lease))
        self.feed(LeaseDurable(lease_id="l"))

    def live(self) -> None:
        """Look at an outlet that is off, switch it on, and live until something ends the charge."""
        emf_v = RANGES["mains"].draw(self.rng)
        ohm = RANGES["way to the outlet"].draw(self.rng)
        volts_rms = RANGES["noise of the mains"].draw(self.rng)
        load_rms = RANGES["noise of the load"].draw(self.rng)
        for _ in range(IDLE_POLLS):
            self.now_ms += 1_000
            self.feed(self._sample(emf_v + volts_rms * self.rng.gauss(0, 1), 0.0, 0.0))
        self._switch_on()
        amps = 0.0
        until_s = self.charge.whole_s + AFTER_S
        while self.second < until_s and not self._is_over():
            self.second += 1.0
            self.now_ms += 1_000
            volts = max(0.0, emf_v + volts_rms * self.rng.gauss(0, 1) - ohm * amps)
            volts = self._disturbed(volts)
            watts, amps = self._draw(volts)
            self._know(watts, amps)
            noise = 1 + load_rms * self.rng.gauss(0, 1)
            self._poll(volts, amps * noise, watts * noise)

    def put_away(self) -> None:
        """End what still runs, mend what is broken, and let samples show that nothing flows."""
        self.fault = None
        if self.state.lease is not None:
            self.feed(RequestOff(actor="soak", reason=Reason.REQUESTED))
        for poll in range(IDLE_POLLS):
            self.now_ms += 1_000
            self.feed(self._sample(230.0 + poll % 2 / 10, 0.0, 0.0))

    def _know(self, watts: float, amps: float) -> None:
        """Note what is true, whatever the meter shows."""
        self.amps = amps
        current, power, weld = self.limits.overcurrent, self.limits.overpower, self.limits.welded
        assert current is not None
        assert power is not None
        over = max(amps / current.above_a, watts / power.above_w) > AT_THE_LIMIT
        self.over_s = self.over_s + 1.0 if over else 0.0
        flows = self.state.lease is None and round(amps, 2) > weld.above_a
        self.seen_s = (self.seen_s or self.second) if flows else None

    def _is_over(self) -> bool:
        if self.fault is None:
            return any(told.kind is FactKind.LEASE_ENDED for told in self.told)
        if self.second > self.fault.at_s + WATCH_S + self.fault.figures.get("ramp_s", 0.0):
            return True
        wanted = EXPECTED[self.fault.kind]
        ends = [told for told in self.told if told.kind in _DECIDES]
        return any(told.reason in wanted and told.second >= self.fault.at_s for told in ends)

    def _disturbed(self, volts: float) -> float:
        fault = self.fault
        if fault is None or self.second < fault.at_s:
            return volts
        if fault.kind in ("overvoltage", "undervoltage"):
            return fault.figures["volts"]
        if fault.kind == "welded" and self.state.lease is not None:
            self.feed(RequestOff(actor="soak", reason=Reason.REQUESTED))
        return volts

    def _draw(self, volts: float) -> tuple[float, float]:
        fault, there = self.fault, volts if self._contact else 0.0
        begun = fault is not None and self.second >= fault.at_s
        if fault is not None and begun and fault.kind == "pulled plug":
            return 0.0, 0.0
        if fault is not None and begun and fault.kind == "wrong appliance":
            watts = fault.figures["appliance_w"] * (there / 230) ** 2
            return watts, watts / there if there else 0.0
        draw = self.rider.step(1.0, there)
        if fault is None or not begun or not there:
            return draw.power_w, draw.current_a
        if fault.kind == "short":
            amps = fault.figures["current_a"]
            return amps * there, amps
        extra = draw_at(fault.extra_w(self.second), there, 0.98)
        return draw.power_w + extra.power_w, draw.current_a + extra.current_a

    def _poll(self, volts: float, amps: float, watts: float) -> None:
        fault = self.fault
        begun = fault is not None and self.second >= fault.at_s
        if fault is not None and begun and fault.kind == "frozen meter":
            self._frozen = self._frozen or (volts, amps, watts)
            volts, amps, watts = self._frozen
        silent = fault is not None and begun and fault.kind == "silence"
        if silent or self.rng.random() < LOST_POLLS:
            self.feed(Tick())
        else:
            self.feed(self._sample(volts, amps, watts))

    def _sample(self, volts: float, amps: float, watts: float) -> Sample:
        fault = self.fault
        heat_c = 30.0
        if fault is not None and fault.kind == "temperature" and self.second >= fault.at_s:
            heat_c = fault.figures["heat_c"]
        return Sample(
            at_ms=self.now_ms,
            utc_ms=self.now_ms,
            voltage_v=round(volts, 1),
            current_a=round(abs(amps), 2),
            power_w=round(abs(watts), 1),
            temperature_c=heat_c,
            relay_on=self.relay_on,
        )

    def verdict(self) -> Verdict:
        """Judge what was told."""
        share = self.rider.delivered_wh / self.charge.whole_wh if self.charge.whole_wh else 1.0
        ends = [told for told in self.told if told.kind in _DECIDES]
        about = (
            f"{self.charge.kind} {self.charge.plateau_w:.0f} W {self.charge.whole_s / 3600:.1f} h"
        )
        if self.fault is None:
            ended, good = self._end_without_fault(ends, share)
            return Verdict(self.seed, "", ended, good, 0.0, share, about)
        kind, begun_s = self.fault.kind, self.fault.at_s
        found = [t for t in ends if t.reason in EXPECTED[kind] and t.second >= begun_s]
        others = [told for told in ends if told.second < begun_s]
        excuse = self._excuse(ends, found, others, share)
        if excuse is not None:
            return Verdict(self.seed, kind, excuse, True, 0.0, share, about)
        about = f"{about} {self.fault}"
        if not found:
            ended = others[0].reason if others else (ends[0].reason if ends else "nothing")
            return Verdict(self.seed, kind, ended, False, 0.0, share, about)
        known_s = begun_s
        if kind == "welded" and self.seen_s is not None:
            known_s = max(known_s, self.seen_s)
        late_s = found[0].second - known_s - WITHIN_S[kind]
        late_s -= self.fault.figures.get("ramp_s", 0.0) if kind == "overload, slow" else 0.0
        good = not others and late_s <= SLACK_S
        return Verdict(self.seed, kind, found[0].reason, good, late_s, share, about)

    def _end_without_fault(self, ends: list[Told], share: float) -> tuple[str, bool]:
        """Say how it ended, and whether that is right."""
        ended = ends[0].reason if ends else "nothing"
        if ends and self._was_too_much(ends[0]):
            return TOO_MUCH, True
        assert self.limits.full is not None
        paused_s = sum(pause.seconds for pause in self.charge.pauses)
        whole_s = self.charge.whole_s + paused_s + self.limits.full.delay_s
        if ended == "lease_over" and whole_s >= LEASE_S and len(ends) == 1:
            return LONGEST, True
        return ended, ended == "full" and share >= ENOUGH and len(ends) == 1

    def _excuse(
        self, ends: list[Told], found: list[Told], others: list[Told], share: float
    ) -> str | None:
        """Say why another end than the fault's is right; None if it is not."""
        assert self.fault is not None
        kind = self.fault.kind
        if others and others[0].reason == "full" and share >= ENOUGH:
            return DONE_BEFORE
        if others and self._was_too_much(others[0]):
            return TOO_MUCH
        if kind == "undervoltage" and not others and ends and self._was_too_much(ends[0]):
            return TOO_MUCH
        if kind == "welded" and self.seen_s is None and not found:
            return UNSEEN
        is_over = not found and not others and bool(ends) and ends[0].reason == "full"
        if kind == "frozen meter" and is_over and share >= ENOUGH:
            return FROZEN_AT_REST
        return None

    def _was_too_much(self, end: Told) -> bool:
        """Whether a limit ended it and so much did flow, for as long as the limit asks."""
        instant = self.limits.overcurrent_instant
        assert instant is not None
        if end.reason == "overcurrent_instant":
            return end.amps >= AT_THE_LIMIT * instant.above_a
        return end.reason in ("overcurrent", "overpower") and end.over_s >= NOT_BY_NOISE_S


_DECIDES = frozenset({FactKind.LEASE_ENDED, FactKind.OUTLET_CUT, FactKind.OUTLET_ALARM})


def play(seed: int, fault: str | None) -> Verdict:
    """Draw a charge by its seed, with a fault or without one, and live through it."""
    rng = random.Random(seed)
    charge = draw_charge(rng)
    drawn = None if fault is None else draw_fault(rng, fault, charge)
    one = Play(seed, charge, charge.rider(), drawn, rng)
    one.live()
    return one.verdict()
