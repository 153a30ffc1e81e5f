"""The simulated module of the own format."""

from __future__ import annotations

from typing import Any

import pytest

from simulators.mqtt.message import Message
from tests.support.sim_plugs import PlugBench, document_on


def test_native_switches_acknowledges_and_goes_off_by_its_own_timer() -> None:
    bench = PlugBench("native", channels=2)
    bench.load(230, 0.0, outlet=2)
    bench.connect()
    command = {"id": "a1", "channel": 2, "relay_on": True, "for_s": 3}
    said = bench.tell("pilegate/p1/command", command, 1.0)

    assert document_on(said, "pilegate/p1/ack") == {"id": "a1", "result": "done", "detail": ""}
    assert [o["channel"] for o in document_on(said, "pilegate/p1/state")["outlets"]] == [2]
    outlet = document_on(bench.tell("pilegate/p1/ask", {}, 2.0), "pilegate/p1/telemetry")
    assert outlet["outlets"][1] == {
        "channel": 2,
        "voltage_v": 230.0,
        "current_a": 1.0,
        "power_w": 230.0,
        "energy_wh": pytest.approx(0.06, abs=0.01),
        "relay_on": True,
        "temperature_c": 25.0,
    }
    told = [m for _, m in bench.run(3.9, 4.2) if m.topic.endswith("/state")]
    assert document_on(told, "pilegate/p1/state")["outlets"][0]["relay_on"] is False
    assert bench.relays() == [("o2", True, "frame"), ("o2", False, "module")]


def test_native_renews_a_timer_and_never_switches_on_by_that() -> None:
    bench = PlugBench("native")
    bench.tell("pilegate/p1/command", {"id": "1", "channel": 1, "for_s": 9}, 0.0)
    assert bench.relays() == []
    bench.tell("pilegate/p1/command", {"id": "2", "channel": 1, "relay_on": True, "for_s": 2}, 1.0)
    bench.tell("pilegate/p1/command", {"id": "3", "channel": 1, "for_s": 5}, 2.0)
    bench.run(2.1, 6.9)
    assert bench.relays() == [("o1", True, "frame")]
    bench.run(7.0, 7.2)
    assert bench.relays()[1:] == [("o1", False, "module")]


def test_native_carries_an_on_out_once_and_an_off_always() -> None:
    bench = PlugBench("native")
    on = {"id": "x", "channel": 1, "relay_on": True}
    off = {"id": "y", "channel": 1, "relay_on": False}
    for now_s, command in enumerate([on, off, on, off]):
        said = bench.tell("pilegate/p1/command", command, float(now_s))
        assert document_on(said, "pilegate/p1/ack")["result"] == "done"
    assert [on for _, on, _ in bench.relays()] == [True, False, False]


@pytest.mark.parametrize(
    ("command", "detail"),
    [
        ({"channel": 9, "relay_on": True}, "there is no channel 9"),
        ({"channel": True, "relay_on": True}, "channel is missing"),
        ({"channel": 1, "relay_on": 1}, "relay_on is missing"),
        ({"channel": 1, "relay_on": True, "for_s": -1}, "for_s is above 0 and at most 86400"),
        ({"channel": 1, "for_s": 5}, "the relay is off"),
    ],
)
def test_native_refuses_with_the_reason(command: dict[str, Any], detail: str) -> None:
    bench = PlugBench("native")
    said = bench.tell("pilegate/p1/command", {"id": "n", **command}, 0.0)
    ack = document_on(said, "pilegate/p1/ack")
    assert (ack["result"], ack["detail"]) == ("refused", detail)
    assert bench.relays() == []


def test_native_takes_no_retained_command() -> None:
    bench = PlugBench("native")
    old = Message("pilegate/p1/command", b'{"id":"o","channel":1,"relay_on":true}', retain=True)
    assert bench.node.receive(old, 0.0, 1) == []
    assert bench.relays() == []
