"""A command reaches the guard once, and gets a verdict when its effect is seen."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from gateway.core.errors import Refused
from gateway.serve import delivery
from gateway.serve.app import Serve
from gateway.serve.course import CommandState
from tests.support.fake_guard import FakeGuard
from tests.support.serve_life import give, order, play
from tests.support.waiting import until


def test_an_on_is_delivered_once_and_seen(tmp_path: Path) -> None:
    async def check(whole: Serve, guard: FakeGuard) -> None:
        given_ms = time.monotonic() * 1000
        command = await give(whole, order("on"))
        assert command.state is CommandState.SUCCEEDED
        (asked,) = guard.called("on")
        assert asked.pop("before_mono_ms") > given_ms
        assert asked == {
            "outlet": "n1-1",
            "for_s": 60.0,
            "actor": "api:reception",
            "reason": "a test",
            "energy_wh": 1.5,
            "request_id": command.id,
        }
        lease = command.outlets["n1-1"]
        assert lease.lease_id
        assert lease.until_utc_ms
        await until(lambda: whole.live.one("n1-1").view.state.value == "on")

    play(tmp_path, check)


def test_an_off_of_a_pile_is_done_when_every_outlet_is_seen_off(tmp_path: Path) -> None:
    async def check(whole: Serve, guard: FakeGuard) -> None:
        await give(whole, order("on"), "a")
        await give(whole, order("on", "outlet/n1-3"), "b")
        command = await give(whole, order("off", "pile/n1"), None)
        assert command.state is CommandState.SUCCEEDED
        results = {outlet: part.result.value for outlet, part in command.outlets.items()}
        assert results == {
            "n1-1": "done",
            "n1-2": "nothing_to_do",
            "n1-3": "done",
            "n1-4": "nothing_to_do",
            "n1-5": "nothing_to_do",
        }
        assert guard.called("off")[0]["target"] == {"kind": "pile", "id": "n1"}

    play(tmp_path, check)


@pytest.mark.parametrize("action", ["reset", "lock", "unlock"])
def test_what_has_no_sample_is_done_when_it_is_answered(tmp_path: Path, action: str) -> None:
    async def check(whole: Serve, guard: FakeGuard) -> None:
        wanted = order(action, "station/north", on_site=action == "reset")
        command = await give(whole, wanted, None)
        assert command.state is CommandState.SUCCEEDED
        assert len(command.outlets) == 10
        assert guard.called(action)[0].get("on_site") == (True if action == "reset" else None)

    play(tmp_path, check)


def test_an_on_of_a_pile_is_a_lease_for_each_outlet(tmp_path: Path) -> None:
    async def check(whole: Serve, guard: FakeGuard) -> None:
        def some(params: dict[str, Any]) -> Any:
            if params["outlet"] == "n1-2":
                raise Refused("n1-2: cut off", code="latched")
            return guard._on(params)

        guard.answers["on"] = some
        command = await give(whole, order("on", "pile/n1"))
        assert command.state is CommandState.FAILED
        assert command.code == "latched"
        assert command.message == "1 of 5 outlets; n1-2: cut off"
        ids = {params["request_id"] for params in guard.called("on")}
        assert ids == {f"{command.id}/n1-{number}" for number in range(1, 6)}
        assert len({part.lease_id for part in command.outlets.values()}) == 5

    play(tmp_path, check)


def test_a_refusal_is_a_verdict(tmp_path: Path) -> None:
    async def check(whole: Serve, guard: FakeGuard) -> None:
        def refuse(_: dict[str, Any]) -> Any:
            raise Refused("n1-1: cut off because of overpower", code="latched")

        guard.answers["on"] = refuse
        command = await give(whole, order("on"))
        assert (command.state, command.code) == (CommandState.REFUSED, "latched")
        assert command.message == "n1-1: cut off because of overpower"

    play(tmp_path, check)


def test_what_is_never_seen_is_unknown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery, "SEEN_WITHIN_MS", 50)
    monkeypatch.setattr(delivery, "SWEEP_S", 0.05)

    async def check(whole: Serve, _guard: FakeGuard) -> None:
        command = await give(whole, order("on"))
        assert (command.state, command.code) == (CommandState.UNKNOWN, "not_seen")

    play(tmp_path, check, shows_on=False)
