"""The simulators' own MQTT client codec, and the faults between a plug and its broker."""

from __future__ import annotations

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulators.mqtt import packets
from simulators.mqtt.faults import PlugFault, PlugFaults, PlugTrouble
from simulators.mqtt.message import Message, Outgoing, document
from simulators.mqtt.packets import BadPacket, Login
from tests.support.sim_plugs import PlugBench

TELEMETRY = "pilegate/p1/telemetry"


def test_connect_with_will_and_password_as_the_standard_writes_it() -> None:
    will = Message("t/LWT", b"Offline", retain=True, qos=1)
    data = packets.connect(Login("c1", 30, will, "me", "pw"))
    assert data == (
        b"\x10\x26\x00\x04MQTT\x04\xee\x00\x1e\x00\x02c1\x00\x05t/LWT\x00\x07Offline"
        b"\x00\x02me\x00\x02pw"
    )


def test_publish_and_subscribe_bytes() -> None:
    message = Message("a/b", b"hi", retain=True, qos=1)
    assert packets.publish(message, 10, duplicate=True) == b"\x3b\x09\x00\x03a/b\x00\x0ahi"
    assert packets.publish(Message("a", b""), 10) == b"\x30\x03\x00\x01a"
    assert packets.subscribe(3, [("a/#", 1)]) == b"\x82\x08\x00\x03\x00\x03a/#\x01"
    assert packets.puback(258) == b"\x40\x02\x01\x02"


@given(st.binary(max_size=300), st.integers(0, 1), st.booleans(), st.integers(1, 0xFFFF))
def test_a_published_message_is_read_back_and_never_from_a_part_of_it(
    payload: bytes, qos: int, retain: bool, packet_id: int
) -> None:
    message = Message("a/ü/b", payload, retain, qos)
    data = packets.publish(message, packet_id)
    for cut in range(min(len(data), 20)):
        assert packets.take_packet(data[:cut]) == (None, 0)
    packet, used = packets.take_packet(data + b"\xd0\x00")
    assert used == len(data)
    assert packet is not None
    arrived = packets.received(packet)
    assert arrived.message == message
    assert arrived.packet_id == (packet_id if qos else None)


@given(st.binary(max_size=60))
def test_bytes_that_are_no_packet_raise_bad_packet_only(data: bytes) -> None:
    with suppress(BadPacket):
        packet, _ = packets.take_packet(data)
        if packet is not None:
            packets.received(packet)


def test_a_packet_that_would_never_end_is_refused() -> None:
    with pytest.raises(BadPacket):
        packets.take_packet(b"\x30\xff\xff\xff\xff\x01")
    with pytest.raises(BadPacket):
        packets.take_packet(b"\x30\xff\xff\xff\x7f")


def spoiled(kind: PlugFault, share: float = 1.0) -> list[Outgoing]:
    faults = PlugFaults(3)
    faults.start(PlugTrouble(kind, share, delay_ms=700))
    values = {f"v{n}": float(n) for n in range(40)}
    return faults.spoil([Outgoing(document("t", {"ENERGY": values}), over=("o1",))])


def test_faults_do_to_a_message_what_they_say() -> None:
    assert spoiled(PlugFault.SILENT) == []
    assert spoiled(PlugFault.LOST) == []
    [late] = spoiled(PlugFault.LATE)
    assert (late.delay_s, late.over) == (0.7, ("o1",))
    first, second = spoiled(PlugFault.DUPLICATE)
    assert first.message == second.message
    assert (first.is_duplicate, second.is_duplicate) == (False, True)
    assert len(spoiled(PlugFault.HUGE)[0].message.payload) > 300_000
    with pytest.raises(ValueError, match=r"Expecting|Unterminated|delimiter"):
        json.loads(spoiled(PlugFault.TRUNCATED)[0].message.payload)


def test_nulls_and_absurd_values_leave_valid_json_that_is_not_what_was_measured() -> None:
    [nulls] = spoiled(PlugFault.NULLS, 0.5)
    energy = json.loads(nulls.message.payload)["ENERGY"]
    assert None in energy.values()
    assert len(energy) < 40
    assert nulls.over == ()
    [absurd] = spoiled(PlugFault.ABSURD, 0.9)
    shown = json.loads(absurd.message.payload)["ENERGY"]
    assert any(not isinstance(value, float) or value < 0 for value in shown.values())


def test_a_silent_plug_hears_nothing_and_one_without_radio_goes_on_switching_off() -> None:
    bench = PlugBench("native")
    bench.tell("pilegate/p1/command", {"id": "1", "channel": 1, "relay_on": True, "for_s": 4}, 0.0)
    heal = bench.suffer("silent")
    off = {"id": "2", "channel": 1, "relay_on": False}
    assert bench.tell("pilegate/p1/command", off, 1.0) == []
    heal()
    bench.suffer("wifi_loss")
    assert not bench.node.is_reachable(2.0)
    bench.run(2.0, 4.2)
    assert bench.relays() == [("o1", True, "frame"), ("o1", False, "module")]


def test_a_babbling_plug_says_garbage_on_its_own_topics() -> None:
    bench = PlugBench("tasmota")
    bench.suffer("babble")
    topics = {message.topic for _, message in bench.run(0.0, 4.0)}
    assert topics & {"tele/p1/SENSOR", "tele/p1/STATE", "stat/p1/POWER"}


def test_a_frozen_meter_shows_the_same_for_ever() -> None:
    bench = PlugBench("native")
    bench.load(460, 0.0)
    bench.tell("pilegate/p1/command", {"id": "1", "channel": 1, "relay_on": True}, 0.0)
    bench.tick(1.0)
    bench.outlets[0].freeze(True, 1.0)
    bench.tell("pilegate/p1/command", {"id": "2", "channel": 1, "relay_on": False}, 2.0)
    said = bench.tell("pilegate/p1/ask", {}, 3.0)
    assert json.loads(said[-1].payload)["outlets"][0]["power_w"] == 460.0
