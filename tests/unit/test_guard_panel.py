"""The panel of interlocks: what is opened, told and shown."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from gateway.config import Channel, Interlock, load_site
from gateway.core.clock import Now
from gateway.core.facts import FactDraft
from gateway.core.ids import CircuitId, DeviceId, InterlockId, OutletId
from gateway.core.reasons import Reason
from gateway.guard.app import Guard
from gateway.guard.events import Event, Tripped, Untripped
from gateway.guard.interlocks import Rule, Watches
from gateway.guard.model import Sample
from gateway.guard.panel import Panel, unread

SITES = Path(__file__).parents[2] / "config" / "sites"
SMOKE, STOP = InterlockId("smoke"), InterlockId("stop")
ONE, TWO = OutletId("n1-1"), OutletId("n1-2")


def interlock(name: InterlockId, watches: Watches, *outlets: OutletId) -> Interlock:
    return Interlock(
        id=name,
        name=name,
        watches=watches,
        input=Channel(device=DeviceId("io"), channel=1),
        rule=Rule(trips_when_on=False, delay_s=0.0, silence_s=10.0),
        outlets=outlets,
        circuits=(CircuitId("main"),) if name == SMOKE else (),
        holds=frozenset({CircuitId("main"), CircuitId("north")} if name == SMOKE else ()),
    )


@dataclass
class Outlet:
    events: list[Event] = field(default_factory=list)

    def feed(self, event: Event, now: Now | None = None) -> None:
        assert now is not None
        self.events.append(event)


@dataclass
class Place:
    """A panel over two outlets, and the time."""

    mono_ms: int = 1_000
    outlets: dict[OutletId, Outlet] = field(default_factory=lambda: {ONE: Outlet(), TWO: Outlet()})
    opened: list[tuple[str, str, str]] = field(default_factory=list)
    facts: list[FactDraft] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.settings = (
            interlock(SMOKE, Watches.SMOKE, ONE, TWO),
            interlock(STOP, Watches.EMERGENCY_STOP, TWO),
        )
        self.panel = Panel(
            self.settings,
            clock=self,
            outlets=self.outlets,
            open_feed=lambda circuit, reason, evidence: self.opened.append(
                (circuit, reason, evidence["interlock"])
            ),
            write_fact=self.facts.append,
        )

    def now(self) -> Now:
        return Now(self.mono_ms, 1_790_000_000_000 + self.mono_ms)

    def reads(self, name: InterlockId, *, on: bool, after_ms: int = 1_000) -> None:
        self.mono_ms += after_ms
        sample = Sample(at_ms=self.mono_ms, utc_ms=0, input_on=on)
        self.panel.on_sample(name, sample)

    def states(self) -> dict[str, tuple[str, str | None]]:
        return {view.interlock: (view.state, view.cause) for view in self.panel.views()}


def test_a_detector_opens_what_it_guards_once_and_tells_so() -> None:
    place = Place()
    place.reads(SMOKE, on=True)
    assert place.facts == []
    assert place.outlets[ONE].events == [Untripped(interlock="smoke")]
    place.reads(SMOKE, on=False)
    place.reads(SMOKE, on=False)
    for outlet in (ONE, TWO):
        tripped = place.outlets[outlet].events[-1]
        assert isinstance(tripped, Tripped)
        assert tripped.reason is Reason.FIRE
    assert len(place.outlets[ONE].events) == 2
    assert place.opened == [("main", "fire", "smoke")]
    assert place.panel.over_circuit(CircuitId("main")) == ("smoke",)
    assert [(fact.kind, fact.subject) for fact in place.facts] == [
        ("interlock.tripped", "interlock/smoke")
    ]
    assert place.states() == {"smoke": ("tripped", "input"), "stop": ("unread", None)}
    place.reads(SMOKE, on=True)
    assert place.facts[-1].kind == "interlock.cleared"
    assert place.outlets[TWO].events[-1] == Untripped(interlock="smoke")
    assert place.states()["smoke"] == ("clear", None)
    assert place.panel.over_circuit(CircuitId("main")) == ()


def test_what_nobody_reads_trips() -> None:
    place = Place()
    place.reads(STOP, on=True)
    for _ in range(9):
        place.mono_ms += 1_000
        place.panel.tick()
    assert place.states() == {"smoke": ("tripped", "unreadable"), "stop": ("clear", None)}
    place.mono_ms += 1_000
    place.panel.tick()
    assert place.states()["stop"] == ("tripped", "unreadable")
    assert [fact.data["cause"] for fact in place.facts] == ["unreadable", "unreadable"]
    assert place.outlets[ONE].events == [place.outlets[TWO].events[1]]


def test_a_sample_from_the_future_is_no_younger_than_now() -> None:
    place = Place()
    place.panel.on_sample(SMOKE, Sample(at_ms=9_000_000, utc_ms=0, input_on=True))
    place.mono_ms += 10_000
    place.panel.tick()
    assert place.states()["smoke"] == ("tripped", "unreadable")


def test_what_fails_keeps_nothing_else_from_being_opened(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    place = Place()
    place.reads(SMOKE, on=True)

    def fail(*_: object) -> None:
        raise RuntimeError("it fails")

    monkeypatch.setattr(place.outlets[ONE], "feed", fail)
    monkeypatch.setattr(place.panel, "_open_feed", fail)
    monkeypatch.setattr(place.panel, "_write_fact", fail)
    place.reads(SMOKE, on=False)
    assert isinstance(place.outlets[TWO].events[-1], Tripped)
    assert place.states()["smoke"] == ("tripped", "input")
    assert [record.levelname for record in caplog.records] == ["ERROR"] * 3
    place.mono_ms += 10_000
    place.panel.tick()
    assert place.states()["stop"] == ("tripped", "unreadable")


def test_an_interlock_keeps_every_contactor_open_that_it_holds() -> None:
    place = Place()
    assert place.panel.over_circuit(CircuitId("north")) == ("smoke",)
    place.reads(SMOKE, on=True)
    assert place.panel.over_circuit(CircuitId("north")) == ()


def test_the_guard_starts_with_the_contactors_beneath_unread_interlocks_held(
    tmp_path: Path,
) -> None:
    async def start() -> None:
        guard = Guard(load_site(SITES / "circuits-tcp.yaml"), tmp_path)
        assert guard.grid.tripped_over(CircuitId("north")) == ("smoke",)

    asyncio.run(start())


def test_no_interlock_was_read_when_the_guard_starts() -> None:
    place = Place()
    assert unread(place.settings, ONE) == {"smoke"}
    assert unread(place.settings, TWO) == {"smoke", "stop"}
