"""The guard's shell: what is asked, what is written down, what is shown."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.core.errors import NotKnown, Refused, TryLater
from gateway.guard.model import DeviceState
from gateway.link.journal import JournalReader
from gateway.link.messages import Outcome, TargetKind
from gateway.link.messages import OutletState as Shown
from gateway.link.requests import LimitsRequest, SnapshotRequest
from tests.support.guarded_shed import A1, Shed, of, on, play


def test_an_on_that_nobody_waits_for_any_more_switches_nothing_on(tmp_path: Path) -> None:
    async def story(shed: Shed) -> None:
        shed.sample(A1)
        before_ms = shed.clock.now().mono_ms
        shed.clock.go(0.5)
        with pytest.raises(Refused, match="too late") as refused:
            await shed.commands.on(replace(on(), before_mono_ms=before_ms))
        assert refused.value.code == "too_late"
        assert shed.switch.told == []
        await shed.commands.on(replace(on(), before_mono_ms=before_ms + 10_000))
        assert shed.switch.told == [(A1, "on")]

    play(tmp_path, story)


def test_on_is_answered_when_it_is_written_and_told(tmp_path: Path) -> None:
    async def story(shed: Shed) -> None:
        shed.sample(A1)
        answer = await shed.commands.on(on())
        assert not answer.duplicate
        assert shed.switch.told == [(A1, "on")]
        with JournalReader(shed.path) as reader:
            assert [lease.lease_id for lease in reader.leases()] == [answer.lease_id]
        assert shed.shown() is Shown.STARTING
        shed.sample(A1, 150, relay_on=True)
        assert shed.shown() is Shown.ON
        assert await shed.kinds() == ["lease.started", "outlet.on"]

    play(tmp_path, story)


def test_the_same_request_is_answered_again_and_not_done_again(tmp_path: Path) -> None:
    async def story(shed: Shed) -> None:
        shed.sample(A1)
        first, second = await asyncio.gather(shed.commands.on(on()), shed.commands.on(on()))
        assert first.lease_id == second.lease_id
        assert {first.duplicate, second.duplicate} == {False, True}
        assert shed.switch.told == [(A1, "on")]

    play(tmp_path, story)


def test_the_answer_is_remembered_across_a_restart(tmp_path: Path) -> None:
    async def story(shed: Shed) -> None:
        await shed.switched_on()
        lease_id = (await shed.commands.on(on())).lease_id
        await shed.journal.close()
        shed.open()
        again = await shed.commands.on(on())
        assert again.duplicate
        assert again.lease_id == lease_id
        assert shed.shown() is Shown.UNKNOWN

    play(tmp_path, story)


def test_what_was_interrupted_is_said_once_and_stays_off(tmp_path: Path) -> None:
    async def story(shed: Shed) -> None:
        await shed.switched_on()
        await shed.journal.close()
        for expected in ([A1], []):
            shed.open()
            assert shed.first.facts[0].data["interrupted"] == expected
            await shed.journal.put_urgent(shed.first).durable()
            await shed.journal.close()
        shed.open()
        shed.sample(A1, 150, relay_on=True)
        assert shed.switch.told[-1] == (A1, "cut")
        kinds = await shed.kinds()
        assert kinds.count("lease.ended") == 1

    play(tmp_path, story)


def test_refusals_carry_a_code_and_are_facts(tmp_path: Path) -> None:
    async def story(shed: Shed) -> None:
        with pytest.raises(Refused, match="does not answer") as refused:
            await shed.commands.on(on())
        assert refused.value.code == "device_silent"
        with pytest.raises(NotKnown, match="no outlet 'n9'"):
            await shed.commands.on(on("n9"))
        shed.commands.stopping = True
        with pytest.raises(Refused, match="stopping"):
            await shed.commands.on(on(request_id="r2"))
        assert await shed.kinds() == ["request.refused"]

    play(tmp_path, story)


def test_a_latch_is_shown_only_when_it_would_outlive_a_crash(tmp_path: Path) -> None:
    async def story(shed: Shed) -> None:
        await shed.switched_on()
        shed.sample(A1, 9_000, relay_on=True)
        shed.sample(A1, 0)
        view = shed.views.page(SnapshotRequest(outlets=(A1,)), 0).outlets[0]
        assert view.latch is None
        assert view.state is Shown.STOPPING
        with pytest.raises(TryLater, match="just cut off"):
            await shed.commands.on(on(request_id="r2"))
        await shed.settle()
        assert shed.shown() is Shown.CUT
        with JournalReader(shed.path) as reader:
            assert [latch.outlet for latch in reader.latches()] == [A1]
        with pytest.raises(Refused) as refused:
            await shed.commands.on(on(request_id="r3"))
        assert refused.value.code == "latched"

    play(tmp_path, story)


def test_a_latch_survives_a_restart_and_is_left_by_a_reset(tmp_path: Path) -> None:
    async def story(shed: Shed) -> None:
        await shed.switched_on()
        shed.sample(A1, 9_000, relay_on=True)
        shed.sample(A1, 0)
        await shed.settle()
        await shed.journal.close()
        shed.open()
        shed.sample(A1, 0)
        assert shed.shown() is Shown.CUT
        verdicts = await shed.commands.reset(of(TargetKind.PILE, "n1"))
        results = [verdict.result for verdict in verdicts]
        assert results == [Outcome.DONE] + [Outcome.NOTHING_TO_DO] * 4
        await shed.journal.close()
        shed.open()
        shed.sample(A1, 0)
        assert shed.shown() is Shown.OFF

    play(tmp_path, story)


def test_locks_hold_for_their_scope_and_survive(tmp_path: Path) -> None:
    async def story(shed: Shed) -> None:
        await shed.switched_on()
        await shed.commands.lock(of(TargetKind.STATION, "north"))
        await shed.commands.lock(of(TargetKind.PILE, "n1"))
        assert shed.switch.told[-1] == (A1, "cut")
        shed.sample(A1, 0)
        await shed.journal.close()
        shed.open()
        shed.sample(A1, 0)
        shed.sample("n2-6", 0)
        assert shed.shown() is Shown.LOCKED
        await shed.commands.unlock(of(TargetKind.STATION, "north"))
        assert shed.shown("n2-6") is Shown.OFF
        assert shed.shown() is Shown.LOCKED
        again = await shed.commands.unlock(of(TargetKind.STATION, "north"))
        assert {verdict.result for verdict in again} == {Outcome.NOTHING_TO_DO}

    play(tmp_path, story)


def test_off_of_a_site_reaches_every_outlet(tmp_path: Path) -> None:
    async def story(shed: Shed) -> None:
        for outlet in shed.fleet.outlets:
            await shed.switched_on(outlet, f"r-{outlet}")
        verdicts = shed.commands.off(of(TargetKind.SITE, "shed"))
        assert {verdict.result for verdict in verdicts} == {Outcome.DONE}
        told = {outlet for outlet, what in shed.switch.told if what == "off"}
        assert told == set(shed.fleet.outlets)
        with pytest.raises(NotKnown, match="no pile 'n9'"):
            shed.commands.off(of(TargetKind.PILE, "n9"))

    play(tmp_path, story)


def test_pages_hold_every_outlet_once(tmp_path: Path) -> None:
    async def story(shed: Shed) -> None:
        seen: list[str] = []
        after: str | None = None
        while True:
            page = shed.views.page(SnapshotRequest(after=after, limit=3), 7)
            seen += [view.outlet for view in page.outlets]
            assert page.seq == 7
            if page.next is None:
                break
            after = page.next
        assert seen == [outlet.id for outlet in shed.site.outlets]

    play(tmp_path, story)


def test_only_what_changed_is_sent_again(tmp_path: Path) -> None:
    async def story(shed: Shed) -> None:
        assert len(shed.views.changed(4)) == 4
        assert len(shed.views.changed(100)) == 6
        assert shed.views.changed(100) == []
        shed.sample(A1)
        assert [view.outlet for view in shed.views.changed(100)] == [A1]
        shed.fleet.on_device(shed.site.devices[0].id, DeviceState.ONLINE, "")
        assert len(shed.views.changed(100)) == 10

    play(tmp_path, story)


def test_limits_say_where_they_come_from(tmp_path: Path) -> None:
    async def story(shed: Shed) -> None:
        answer = shed.views.limits(LimitsRequest(A1))
        assert answer["limits"]["silence"]["delay_s"] == 5
        assert answer["origin"]["silence.delay_s"] == "site"
        assert answer["limits"]["overpower"]["action"] == "cut"

    play(tmp_path, story)


def test_a_lost_device_is_told_once(tmp_path: Path) -> None:
    async def story(shed: Shed) -> None:
        device = shed.site.devices[0].id
        for state in ("silent", "quarantined", "quarantined", "online", "silent", "online"):
            shed.fleet.on_device(device, DeviceState(state), "x")
        assert await shed.kinds() == ["device.lost", "device.found"]

    play(tmp_path, story)


def test_an_off_that_comes_while_an_on_is_looked_up_is_the_later_word(tmp_path: Path) -> None:
    async def story(shed: Shed) -> None:
        shed.sample(A1)
        asked = asyncio.create_task(shed.commands.on(on()))
        await asyncio.sleep(0)
        shed.commands.off(of(TargetKind.PILE, "n1"))
        with pytest.raises(Refused) as refused:
            await asked
        assert refused.value.code == "overtaken"
        assert (A1, "on") not in shed.switch.told

    play(tmp_path, story)


def test_ons_come_to_a_slow_bus_as_fast_as_it_takes_them(tmp_path: Path) -> None:
    async def story(shed: Shed) -> None:
        shed.sample(A1)
        shed.sample("n1-2")
        shed.switch.room = 0
        first = asyncio.create_task(shed.commands.on(on(A1, None)))
        second = asyncio.create_task(shed.commands.on(on("n1-2", None)))
        await asyncio.sleep(0.05)
        assert [shed.shown(o) for o in (A1, "n1-2")] == [Shown.OFF] * 2, "too early for a lease"
        shed.switch.room = 1
        await first
        await asyncio.sleep(0.05)
        assert shed.switch.told == [(A1, "on")]
        assert not second.done()
        shed.switch.room = 2
        await second
        assert shed.switch.told == [(A1, "on"), ("n1-2", "on")]

    play(tmp_path, story)


def test_room_is_taken_while_the_disk_is_waited_for(tmp_path: Path) -> None:
    async def story(shed: Shed) -> None:
        shed.sample(A1)
        shed.sample("n1-2")
        shed.switch.room = 1
        asked = [asyncio.create_task(shed.commands.on(on(o, None))) for o in (A1, "n1-2")]
        await asked[0]
        assert shed.shown("n1-2") is Shown.OFF
        shed.switch.room = 2
        await asked[1]

    play(tmp_path, story)


def test_an_off_ends_the_wait_of_an_on_for_its_bus(tmp_path: Path) -> None:
    async def story(shed: Shed) -> None:
        shed.sample(A1)
        shed.switch.room = 0
        waiting = asyncio.create_task(shed.commands.on(on(A1, None)))
        await asyncio.sleep(0.05)
        shed.commands.off(of(TargetKind.PILE, "n1"))
        shed.switch.room = 1
        with pytest.raises(Refused, match="an OFF came after it") as refused:
            await waiting
        assert refused.value.code == "overtaken"
        assert (A1, "on") not in shed.switch.told

    play(tmp_path, story)


def test_an_on_that_finds_no_room_is_refused_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.guard.pacing.PATIENCE_S", 0.02)

    async def story(shed: Shed) -> None:
        shed.sample(A1)
        shed.switch.room = 0
        with pytest.raises(Refused, match="ask again") as refused:
            await shed.commands.on(on(A1, "r1"))
        assert refused.value.code == "bus_busy"
        shed.switch.room = 1
        assert not (await shed.commands.on(on(A1, "r1"))).duplicate

    play(tmp_path, story)


def test_an_idle_outlet_that_is_heard_no_more_is_shown_so_to_those_who_follow(
    tmp_path: Path,
) -> None:
    async def story(shed: Shed) -> None:
        def told() -> list[tuple[str, bool, Shown]]:
            shed.fleet.tick(shed.fleet.outlets.values())
            return [(v.outlet, v.stale, v.state) for v in shed.views.changed(100)]

        shed.sample(A1)
        assert (A1, False, Shown.OFF) in told()
        shed.clock.go(4)
        assert told() == []
        shed.clock.go(1)
        assert told() == [(A1, True, Shown.UNKNOWN)]
        shed.clock.go(600)
        assert told() == []
        shed.sample(A1)
        assert told() == [(A1, False, Shown.OFF)]

    play(tmp_path, story)
