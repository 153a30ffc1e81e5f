"""Drives the pure protection of one outlet, as the shell around it does."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from gateway.core.clock import Now, TimeQuality
from gateway.core.facts import FactKind
from gateway.guard.effects import Effect, Note, Refusal, SwitchOff, SwitchOn
from gateway.guard.events import Event, LeaseDurable, RequestOn, Tick, Written
from gateway.guard.limits import Limits
from gateway.guard.model import Lease, Sample, WriteResult
from gateway.guard.protection import step
from gateway.guard.state import OutletState, Phase

TRACES = Path(__file__).parents[2] / "config" / "traces"
UTC_MS = 1_790_000_000_000


def trace(name: str) -> list[tuple[float, float]]:
    """Read a recorded load: (seconds, W) rows."""
    with (TRACES / name).open() as file:
        return [(float(r["seconds"]), float(r["power_w"])) for r in csv.DictReader(file)]


@dataclass
class Machine:
    """One outlet, its clock, and a relay that obeys unless told otherwise."""

    limits: Limits = field(default_factory=Limits)
    metered: bool = True
    voltage_v: float = 230.0
    now_ms: int = 100_000
    relay_on: bool = False
    obeys: bool = True
    answers: bool = True
    state: OutletState = field(init=False)
    effects: list[tuple[int, Effect]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.state = OutletState(metered=self.metered)

    def now(self) -> Now:
        return Now(self.now_ms, UTC_MS + self.now_ms, TimeQuality.SYNCED)

    def feed(self, event: Event) -> tuple[Effect, ...]:
        self.state, effects = step(self.state, event, self.limits, self.now())
        for effect in effects:
            self.effects.append((self.now_ms, effect))
        for effect in effects:
            self._obey(effect)
        return effects

    def _obey(self, effect: Effect) -> None:
        if not isinstance(effect, SwitchOn | SwitchOff):
            return
        if self.obeys:
            self.relay_on = isinstance(effect, SwitchOn)
        if self.answers:
            self.feed(Written(wanted_on=isinstance(effect, SwitchOn), result=WriteResult.DONE))

    def part(self, *, after_s: float = 1.0, **values: float | bool | None) -> tuple[Effect, ...]:
        """Let time pass, then show what one read of a device says."""
        self.now_ms += round(after_s * 1000)
        at_ms = self.now_ms
        return self.feed(Sample(at_ms=at_ms, utc_ms=UTC_MS + at_ms, **values))  # type: ignore[arg-type]

    def sample(
        self,
        power_w: float = 0.0,
        *,
        after_s: float = 1.0,
        current_a: float | None = None,
        voltage_v: float | None = None,
        relay_on: bool | None = None,
        temperature_c: float | None = None,
        alarm: bool | None = None,
        energy_mwh: int | None = None,
    ) -> tuple[Effect, ...]:
        """Let time pass, then show the outlet one whole sample."""
        self.now_ms += round(after_s * 1000)
        volts = self.voltage_v if voltage_v is None else voltage_v
        return self.feed(
            Sample(
                at_ms=self.now_ms,
                utc_ms=UTC_MS + self.now_ms,
                voltage_v=volts,
                current_a=power_w / volts if current_a is None else current_a,
                power_w=power_w,
                relay_on=self.relay_on if relay_on is None else relay_on,
                temperature_c=temperature_c,
                alarm=alarm,
                energy_mwh=energy_mwh,
            )
        )

    def tick(self, after_s: float = 1.0) -> tuple[Effect, ...]:
        self.now_ms += round(after_s * 1000)
        return self.feed(Tick())

    def lease(
        self,
        *,
        for_s: float = 36_000.0,
        energy_mwh: int | None = None,
        power_w: float | None = None,
        name: str = "lease-1",
    ) -> Lease:
        return Lease(
            id=name,
            request_id=f"request-{name}",
            actor="tester",
            reason="test",
            granted_ms=self.now_ms,
            granted_utc_ms=UTC_MS + self.now_ms,
            until_ms=self.now_ms + round(for_s * 1000),
            energy_mwh=energy_mwh,
            power_w=power_w,
        )

    def ask_on(self, lease: Lease | None = None) -> tuple[Effect, ...]:
        return self.feed(RequestOn(lease=lease or self.lease()))

    def switch_on(self, lease: Lease | None = None) -> None:
        """Go the whole way from a free outlet to one that samples show on."""
        lease = lease or self.lease()
        self.sample()
        effects = self.ask_on(lease)
        assert not [e for e in effects if isinstance(e, Refusal)], effects
        self.feed(LeaseDurable(lease_id=lease.id))
        self.sample()
        assert self.state.phase is Phase.ON

    def play(self, rows: list[tuple[float, float]], *, slack_s: float = 0.0) -> None:
        """Show a recorded load, at its own times, until the outlet is off."""
        start_ms = self.now_ms
        for seconds, power_w in rows:
            gap_s = (start_ms + round(seconds * 1000) - self.now_ms) / 1000
            if gap_s > slack_s:
                self.sample(power_w if self.relay_on else 0.0, after_s=gap_s)

    def notes(self, kind: FactKind | None = None) -> list[Note]:
        return [
            e for _, e in self.effects if isinstance(e, Note) and (kind is None or e.kind is kind)
        ]

    def reasons(self, kind: FactKind) -> list[str]:
        return [str(note.reason) for note in self.notes(kind)]

    def ends(self) -> list[str]:
        return self.reasons(FactKind.LEASE_ENDED)

    def cuts(self) -> list[str]:
        return self.reasons(FactKind.OUTLET_CUT)

    def offs(self) -> Iterator[SwitchOff]:
        return (e for _, e in self.effects if isinstance(e, SwitchOff))


def charging(machine: Machine, power_w: float = 150.0, seconds: int = 30) -> Machine:
    """Switch it on, and let it draw so much for so long."""
    machine.switch_on()
    for _ in range(seconds):
        machine.sample(power_w)
    assert machine.state.phase is Phase.ON, machine.ends()
    return machine


def refusal_codes(effects: tuple[object, ...]) -> list[str]:
    return [each.code for each in effects if isinstance(each, Refusal)]
