"""Circuits in the guard: what is asked, what is written down, what is switched."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from gateway.core.errors import Refused
from gateway.core.ids import CircuitId
from gateway.core.reasons import Reason
from gateway.guard.contactors import opened_of
from gateway.guard.events import LeaseDurable, RequestOn
from gateway.guard.interrupted import first_entry
from gateway.guard.model import Sample
from gateway.guard.slices import whole
from gateway.guard.state import Phase
from gateway.link.journal import JournalReader
from gateway.link.messages import Outcome, Target, TargetKind
from gateway.link.messages import OutletState as Shown
from gateway.link.records import LatchRecord
from gateway.link.requests import OnRequest, TargetRequest
from tests.support.guarded_yard import SITE, A, B, C, D, Yard
from tests.support.shed import HandClock


def of(name: str, *, on_site: bool = True) -> TargetRequest:
    target = Target(TargetKind.CIRCUIT, name)
    return TargetRequest(target=target, actor="t", reason="test", on_site=on_site)


def play(folder: Path, story: Callable[[Yard], Awaitable[None]], text: str = SITE) -> None:
    async def run() -> None:
        yard = Yard(folder, text)
        try:
            await story(yard)
        finally:
            await yard.journal.close()

    asyncio.run(run())


def test_a_request_costs_no_count_of_all_outlets_while_there_is_a_place_to_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story(yard: Yard) -> None:
        await yard.three_on()
        seen: list[str] = []

        def count(name: str, *_: object) -> None:
            seen.append(name)
            raise AssertionError

        monkeypatch.setattr("gateway.guard.grid.usage_of", count)
        assert yard.grid.check(yard.fleet.outlets[D], None) is None
        assert seen == []

    play(tmp_path, story)


def test_who_goes_off_while_circuits_are_shown_is_left_out(tmp_path: Path) -> None:
    async def story(yard: Yard) -> None:
        await yard.three_on()
        outlet = yard.fleet.outlets[A]
        outlet.state = outlet.state._replace(phase=Phase.OFF)
        assert yard.circuit().running == 2

    play(tmp_path, story)


def test_who_asks_anew_while_a_look_is_under_way_is_left_to_the_next(tmp_path: Path) -> None:
    """It was counted with what its old lease allows: 300 W fit beside the others, 500 do not."""

    async def ask(yard: Yard, power_w: float) -> None:
        lease = yard.lease(f"{power_w:g}", power_w)
        owner = yard.fleet.outlets[D]
        assert owner.feed(RequestOn(lease=lease)) is None
        owner.feed(LeaseDurable(lease_id=lease.id))
        assert owner.state.phase is Phase.WAITING

    async def story(yard: Yard) -> None:
        yard.round()
        for outlet in (A, B):
            await yard.on(outlet, power_w=400)
        yard.watts |= {A: 300, B: 300}
        yard.round(80)
        for after in itertools.count():
            await ask(yard, 300)
            look = yard.grid._look_at(0)
            if len(list(itertools.islice(look, after))) < after:
                break
            target = Target(TargetKind.OUTLET, D)
            yard.commands.off(TargetRequest(target=target, actor="t", reason="test"))
            if yard.fleet.outlets[D].state.phase is Phase.OFF:
                await ask(yard, 500)
                whole(look)
                assert yard.switch.told == []
                yard.commands.off(TargetRequest(target=target, actor="t", reason="test"))
            whole(look)
            yard.round(4)
            assert yard.shown(D).state is Shown.OFF
        assert after > 10

    play(tmp_path, story, SITE.replace("    start_w: 300\n", ""))


def test_who_finds_no_room_is_told_and_goes_on_when_another_ends(tmp_path: Path) -> None:
    async def story(yard: Yard) -> None:
        await yard.three_on()
        answer = await yard.on(D)
        assert answer.waits_for == "top"
        assert yard.shown(D).state is Shown.WAITING
        assert yard.shown(D).waits_for == "top"
        yard.round(4)
        assert yard.circuit().waiting == (D,)
        assert yard.circuit().state == "full"
        target = Target(TargetKind.OUTLET, A)
        yard.commands.off(TargetRequest(target=target, actor="t", reason="test"))
        yard.round(4)
        assert yard.shown(D).state is Shown.ON
        kinds = [kind for kind, subject, _ in await yard.facts() if subject == f"outlet/{D}"]
        assert kinds == ["lease.started", "outlet.waiting", "outlet.on"]

    play(tmp_path, story)


def test_over_its_limit_a_circuit_sheds_and_the_lease_goes_on(tmp_path: Path) -> None:
    async def story(yard: Yard) -> None:
        await yard.three_on()
        lease = yard.shown(C).lease
        yard.watts[A] = 500
        yard.round(8)
        assert yard.shown(C).state is Shown.WAITING
        assert yard.shown(C).lease == lease
        yard.watts[A] = 200
        yard.round(4)
        assert yard.shown(C).state is Shown.ON
        assert await yard.facts("circuit.over", "outlet.shed", "circuit.cleared") == [
            ("outlet.shed", f"outlet/{C}", "circuit_over"),
            ("circuit.over", "circuit/top", "circuit_over"),
            ("circuit.cleared", "circuit/top", ""),
        ]

    play(tmp_path, story)


def test_one_bad_voltage_of_a_module_whose_outlets_draw_is_no_blackout(tmp_path: Path) -> None:
    async def story(yard: Yard) -> None:
        await yard.three_on()
        yard.volts = 0.0
        yard.round()
        yard.volts = None
        yard.round(20)
        assert [yard.shown(o).state for o in (A, B, C)] == [Shown.ON] * 3
        assert await yard.facts("circuit.dark", "outlet.shed") == []

    play(tmp_path, story)


def test_no_voltage_and_no_power_are_a_blackout_before_leases_end(tmp_path: Path) -> None:
    async def story(yard: Yard) -> None:
        await yard.three_on()
        yard.volts = 0.0
        yard.watts |= {A: 0, B: 0, C: 0}
        yard.round()
        yard.round(8)
        assert [yard.shown(o).state for o in (A, B, C)] == [Shown.WAITING] * 3
        assert await yard.facts("lease.ended", "outlet.cut") == []

    play(tmp_path, story)


def test_what_never_fits_is_refused_and_written_down(tmp_path: Path) -> None:
    async def story(yard: Yard) -> None:
        yard.round()
        with pytest.raises(Refused, match="carries 600 W") as caught:
            await yard.on(D)
        assert caught.value.code == "too_much"
        answer = await yard.on(D, power_w=500)
        assert answer.waits_for is None
        refused = await yard.facts("request.refused")
        assert refused == [("request.refused", f"outlet/{D}", "too_much")]

    play(tmp_path, story, SITE.replace("start_w: 300", "start_w: 900"))


def test_leases_that_wait_end_with_the_guard(tmp_path: Path) -> None:
    async def story(yard: Yard) -> None:
        await yard.three_on()
        await yard.on(D)
        assert yard.commands.stop_all(Reason.STOPPING) == 4
        yard.round(2)
        assert yard.shown(D).state is Shown.OFF

    play(tmp_path, story)


def test_a_welded_outlet_opens_the_contactor_and_only_a_person_on_site_closes_it(
    tmp_path: Path,
) -> None:
    async def story(yard: Yard) -> None:
        await yard.three_on()
        yard.watts[f"{A} welded"] = 300
        target = Target(TargetKind.OUTLET, A)
        yard.commands.off(TargetRequest(target=target, actor="t", reason="test"))
        yard.round(8)
        assert not yard.contactor_closed
        assert yard.circuit().state == "opened"
        assert yard.shown(B).state is Shown.OFF
        told = await yard.facts("outlet.cut", "contactor.opened", "lease.ended", "contactor.seen")
        assert told[1:] == [
            ("outlet.cut", f"outlet/{A}", "welded"),
            ("contactor.opened", "circuit/top", "welded"),
            ("lease.ended", f"outlet/{B}", "contactor"),
            ("lease.ended", f"outlet/{C}", "contactor"),
            ("contactor.seen", "circuit/top", ""),
        ]
        with pytest.raises(Refused, match="contactor of circuit top is open") as caught:
            await yard.on(B)
        assert caught.value.code == "contactor_open"
        verdicts = await yard.commands.reset(of("top", on_site=False))
        assert verdicts[-1].result is Outcome.REFUSED
        del yard.watts[f"{A} welded"]
        yard.round()
        verdicts = await yard.commands.reset(of("top"))
        assert verdicts[-1].outlet == "top"
        assert verdicts[-1].result is Outcome.DONE
        yard.round(3)
        assert yard.contactor_closed
        assert yard.circuit().state == "ok"
        assert (await yard.on(B)).waits_for is None

    play(tmp_path, story)


def test_an_off_that_is_not_obeyed_opens_the_contactor(tmp_path: Path) -> None:
    async def story(yard: Yard) -> None:
        await yard.three_on()
        target = Target(TargetKind.OUTLET, A)
        yard.commands.off(TargetRequest(target=target, actor="t", reason="test"))
        yard.switch.told = [told for told in yard.switch.told if told[0] != A]
        for _ in range(20):
            yard.round()
            yard.switch.told = [told for told in yard.switch.told if told[0] != A]
        assert not yard.contactor_closed
        opened = await yard.facts("contactor.opened")
        assert opened == [("contactor.opened", "circuit/top", "no_reaction")]

    play(tmp_path, story)


def test_an_opened_contactor_stays_open_over_a_restart(tmp_path: Path) -> None:
    async def story(yard: Yard) -> None:
        yard.round()
        assert yard.grid.open_feed(CircuitId("under"), Reason.FIRE, {"interlock": "smoke"})
        yard.round(2)
        await yard.facts()
        await yard.journal.close()
        yard.contactor_closed = True
        yard.open()
        yard.round(4)
        assert not yard.contactor_closed
        assert yard.circuit().opened_reason == "fire"

    play(tmp_path, story)


def test_a_contactor_that_fell_open_is_closed_when_everything_behind_it_is_off(
    tmp_path: Path,
) -> None:
    async def story(yard: Yard) -> None:
        await yard.three_on()
        yard.contactor_closed = False
        yard.round(2)
        assert {yard.shown(o).state for o in (A, B, C)} == {Shown.WAITING}
        yard.round(10)
        assert yard.contactor_closed
        assert yard.shown(A).state is Shown.ON
        yard.round(20)
        assert {yard.shown(o).state for o in (A, B, C)} == {Shown.ON}

    play(tmp_path, story)


def test_a_contactor_opened_for_another_versions_reason_stays_open() -> None:
    record = LatchRecord(
        outlet="circuit/top",
        reason="meteor",
        rule="meteor",
        release="on_site",
        since_utc_ms=1_790_000_000_000,
        evidence={},
    )
    opened = opened_of(CircuitId("top"), [record], HandClock(utc_ms=1_790_000_001_000).now())
    assert opened is not None
    assert opened.reason is Reason.INTERRUPTED
    assert opened.evidence["written_as"] == "meteor"


def test_no_contactor_closes_while_an_interlock_over_it_is_tripped_or_unread(
    tmp_path: Path,
) -> None:
    async def story(yard: Yard) -> None:
        held = ["smoke"]
        yard.grid.tripped_over = lambda circuit: tuple(held) if circuit == "top" else ()
        yard.contactor_closed = False
        yard.round(30)
        assert not yard.contactor_closed
        held.clear()
        yard.round(3)
        assert yard.contactor_closed

    play(tmp_path, story)


def test_a_feed_without_a_contactor_before_it_is_opened_by_those_behind(tmp_path: Path) -> None:
    lines = SITE.splitlines(keepends=True)
    moved = next(line for line in lines if "contactor:" in line)
    text = "".join(line for line in lines if line is not moved)

    async def story(yard: Yard) -> None:
        assert yard.grid.open_feed(CircuitId("top"), Reason.FIRE, {"interlock": "smoke"})
        assert yard.switch.told == [("circuit/under/contactor", "cut")]
        assert yard.circuit("under").state == "opened"

    play(tmp_path, story, text + moved)


def test_a_restart_interrupts_a_lease_that_waits_as_any_other(tmp_path: Path) -> None:
    async def story(yard: Yard) -> None:
        await yard.three_on()
        assert (await yard.on(D)).waits_for == "top"
        await yard.facts()
        await yard.journal.close()
        with JournalReader(yard.path) as reader:
            entry = first_entry(reader, reader.leases(), yard.clock.now(), version="1", boot_id="b")
        assert D in entry.facts[0].data["interrupted"]
        ended = {fact.subject: fact.reason for fact in entry.facts[1:]}
        assert ended[f"outlet/{D}"] == "interrupted"
        yard.open()
        yard.round(2)
        assert yard.shown(D).lease is None
        assert yard.circuit().waiting == ()

    play(tmp_path, story)


def test_a_lost_bus_room_keeps_an_outlet_waiting_and_switches_nothing_late(
    tmp_path: Path,
) -> None:
    async def story(yard: Yard) -> None:
        yard.round()
        yard.switch.room = 0
        request = OnRequest(outlet=A, for_s=600, actor="t", reason="test")
        with pytest.raises(Refused) as caught:
            await yard.commands.on(request)
        assert caught.value.code == "bus_busy"
        assert yard.shown(A).state is Shown.OFF

    play(tmp_path, story)


def test_an_outlet_that_can_not_go_on_says_why_it_waits(tmp_path: Path) -> None:
    async def story(yard: Yard) -> None:
        await yard.three_on()
        await yard.on(D)
        owner = yard.fleet.outlets[D]
        low = Sample(
            at_ms=yard.clock.mono_ms + 1,
            utc_ms=0,
            voltage_v=95.0,
            current_a=0.0,
            power_w=0.0,
            relay_on=False,
        )
        yard.clock.go(0.1)
        owner.feed(low)
        target = Target(TargetKind.OUTLET, A)
        yard.commands.off(TargetRequest(target=target, actor="t", reason="test"))
        yard._obey()
        yard.clock.go(0.1)
        yard.fleet.on_sample(A, yard._sample(A))
        yard.grid.look()
        assert yard.shown(D).state is Shown.WAITING
        yard.round(12)
        assert yard.shown(D).state is Shown.ON

    play(tmp_path, story)
