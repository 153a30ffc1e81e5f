"""Modbus TCP on real sockets, with bytes written by hand."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.support.sim_program import Simulator, simulating, write_site

READ_ALL = "0007 0000 0006 01 04 0000 002C"
ALL_OFF = "0008 0000 0009 01 0F 0000 000A 02 0000"


@pytest.fixture(scope="module")
def _running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Simulator, int]]:
    bus = "id: b, kind: modbus-tcp, host: 127.0.0.1, port: 0"
    site = write_site(tmp_path_factory.mktemp("tcp"), [bus], {"m": ("b", 1), "o": ("b", 2)})
    with simulating("--site", site) as simulator:
        yield simulator, simulator.wait_for("ready")["buses"]["b"]["port"]


@pytest.fixture
def module(_running: tuple[Simulator, int]) -> tuple[Simulator, int]:
    """A module without faults and with nothing plugged in, and its port."""
    simulator, port = _running
    simulator.say({"heal": "m"}, *({"unplug": f"m-{n}"} for n in range(1, 11)))
    simulator.wait_for("cause", step={"unplug": "m-10"})
    simulator.records.clear()
    return simulator, port


def connect(port: int) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port), timeout=20)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def receive(connection: socket.socket, count: int) -> str:
    data = b""
    while len(data) < count:
        more = connection.recv(count - len(data))
        if not more:
            break
        data += more
    return data.hex()


def exchange(connection: socket.socket, request: str, answer_bytes: int = 12) -> str:
    connection.sendall(bytes.fromhex(request))
    return receive(connection, answer_bytes)


def requests(simulator: Simulator) -> int:
    [bus] = simulator.stats()["tcp"]
    count: int = bus["requests"]
    return count


def test_reads_and_writes(module: tuple[Simulator, int]) -> None:
    simulator, port = module
    with connect(port) as connection:
        assert exchange(connection, "0001 0000 0006 01 05 0002 FF00") == "00010000000601050002ff00"
        relay = simulator.wait_for("relay")
        assert (relay["outlet"], relay["on"], relay["by"]) == ("m-3", True, "frame")
        simulator.say({"load_step": "m-3", "power_w": 1150})
        simulator.wait_for("cause")
        time.sleep(0.05)  # the relay takes 8 ms
        words = bytes.fromhex(exchange(connection, READ_ALL, 9 + 88))
        assert words[:9].hex() == "00070000005b010458"
        assert int.from_bytes(words[9 + 12 : 9 + 14], "big") == pytest.approx(500, abs=10)
        assert exchange(connection, ALL_OFF) == "000800000006010f0000000a"
        off = simulator.wait_for("relay", outlet="m-3", on=False)
        assert off["mono_ns"] > relay["mono_ns"]


def test_a_request_in_pieces_and_two_at_once(module: tuple[Simulator, int]) -> None:
    _, port = module
    with connect(port) as connection:
        request = bytes.fromhex(READ_ALL)
        for at in range(len(request)):
            connection.sendall(request[at : at + 1])
        assert receive(connection, 97).startswith("0007")
        connection.sendall(bytes.fromhex("0001 0000 0006 01 04 0002 0001" + READ_ALL))
        assert receive(connection, 11).startswith("00010000000501040208")
        assert receive(connection, 97).startswith("0007")


def test_exceptions_on_the_wire(module: tuple[Simulator, int]) -> None:
    _, port = module
    with connect(port) as connection:
        assert exchange(connection, "0001 0000 0002 01 2B", 9) == "00010000000301ab01"
        assert exchange(connection, "0002 0000 0006 01 03 0063 0001", 9) == "000200000003018302"
        assert exchange(connection, "0003 0000 0006 01 05 0000 1234", 9) == "000300000003018503"


@pytest.mark.parametrize(
    "garbage",
    ["0001 0001 0006 01 04 0000 0001", "0001 0000 0000 01 04", "FF" * 300, "0001 0000 0400"],
)
def test_garbage_ends_the_connection_and_nothing_else(
    module: tuple[Simulator, int], garbage: str
) -> None:
    _, port = module
    with connect(port) as connection:
        connection.sendall(bytes.fromhex(garbage.replace(" ", "")) + bytes(3))
        with suppress(ConnectionResetError):
            assert connection.recv(100) == b""
    with connect(port) as connection:
        assert exchange(connection, READ_ALL, 97).startswith("0007")


def test_another_unit_gets_no_answer(module: tuple[Simulator, int]) -> None:
    _, port = module
    with connect(port) as connection:
        connection.sendall(bytes.fromhex("0001 0000 0006 03 04 0000 0001"))
        assert exchange(connection, READ_ALL, 97).startswith("0007")


def test_silence_and_its_end(module: tuple[Simulator, int]) -> None:
    simulator, port = module
    with connect(port) as connection:
        simulator.say({"fault": "silent", "device": "m", "id": "dead"})
        assert simulator.wait_for("cause")["id"] == "dead"
        before = requests(simulator)
        connection.sendall(bytes.fromhex("0001 0000 0006 01 04 0000 0001"))
        # Standard input may overtake the socket: the fault ends once the request was heard.
        simulator.wait_until(lambda: requests(simulator) > before)
        simulator.say({"heal": "m"})
        simulator.wait_for("cause")
        assert exchange(connection, READ_ALL, 97).startswith("0007")


def test_a_fault_that_ends_by_itself(module: tuple[Simulator, int]) -> None:
    simulator, port = module
    with connect(port) as connection:
        simulator.say({"fault": "silent", "device": "m", "id": "nap", "for_s": 0.1})
        begun = simulator.wait_for("cause")
        ended = simulator.wait_for("ended", id="nap")
        assert ended["mono_ns"] - begun["mono_ns"] >= 100_000_000
        assert exchange(connection, READ_ALL, 97).startswith("0007")


def test_late_answers_come_after_younger_ones(module: tuple[Simulator, int]) -> None:
    simulator, port = module
    with connect(port) as connection:
        simulator.say({"fault": "late", "device": "m", "delay_ms": 1000})
        simulator.wait_for("cause")
        # Both are there at once, so that only the fault decides who answers first.
        late, young = "0001 0000 0006 01 04 0002 0001", "0002 0000 0006 02 04 0002 0001"
        assert exchange(connection, late + young, 11).startswith("0002")
        assert receive(connection, 11).startswith("0001")


def test_spoilt_answers_never_hold_a_changed_value(module: tuple[Simulator, int]) -> None:
    simulator, port = module
    with connect(port) as connection:
        good = exchange(connection, "0001 0000 0006 01 04 0003 0001", 11)
    simulator.say({"fault": "corrupt", "device": "m"})
    simulator.wait_for("cause")
    for _ in range(30):
        with connect(port) as connection:
            answer = exchange(connection, "0001 0000 0006 01 04 0003 0001", 11)
        assert answer != good
        assert answer[18:] == good[18:]


def test_babble_arrives_unasked(module: tuple[Simulator, int]) -> None:
    simulator, port = module
    with connect(port) as connection:
        simulator.stats()
        simulator.say({"fault": "babble", "device": "m"})
        assert connection.recv(100)


def test_over_and_relay_are_told_in_their_order(module: tuple[Simulator, int]) -> None:
    simulator, port = module
    with connect(port) as connection:
        simulator.say({"report_over": "m-1", "above_a": 8})
        exchange(connection, "0001 0000 0006 01 05 0000 FF00")
        simulator.say({"load_step": "m-1", "power_w": 3000})
        simulator.wait_for("cause", step={"load_step": "m-1", "power_w": 3000.0})
        exchange(connection, READ_ALL, 97)
        exchange(connection, READ_ALL, 97)
        exchange(connection, ALL_OFF)
        over = simulator.wait_for("over")
        off = simulator.wait_for("relay", outlet="m-1", on=False)
        assert over["outlet"] == "m-1"
        assert off["mono_ns"] > over["mono_ns"]
        assert [record["kind"] for record in simulator.records].count("over") == 1


def test_more_connections_than_a_module_takes(module: tuple[Simulator, int]) -> None:
    _, port = module
    held = [connect(port) for _ in range(16)]
    try:
        for connection in held:
            assert exchange(connection, READ_ALL, 97).startswith("0007")
        with connect(port) as one_more, suppress(ConnectionResetError):
            assert one_more.recv(1) == b""
        assert exchange(held[0], READ_ALL, 97).startswith("0007")
    finally:
        for connection in held:
            connection.close()


def test_a_port_in_use_is_one_clear_line(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        bus = f"id: b, kind: modbus-tcp, host: 127.0.0.1, port: {port}"
        site = write_site(tmp_path, [bus], {"m": ("b", 1)})
        with simulating("--site", site) as simulator:
            told = simulator.errors().splitlines()
            assert simulator.process.returncode == 1
    assert len(told) == 1
    assert f"127.0.0.1:{port} of bus b can't be listened on" in told[0]
