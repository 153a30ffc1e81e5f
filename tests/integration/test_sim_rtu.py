"""Modbus RTU on real pseudo-terminals, with bytes written by hand.

Waits are bounds that no machine misses; what is asserted about time is only what the line
forbids (too early), never how fast the machine is.
"""

from __future__ import annotations

import os
import select
import time
import tty
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from simulators.codec import rtu_crc_ok, rtu_frame
from tests.support.sim_program import Simulator, simulating, write_site

READ_ALL = rtu_frame(1, bytes.fromhex("04 0000 002C"))
READ_ONE = rtu_frame(1, bytes.fromhex("04 0002 0001"))
QUIET_S = 0.5
"""Nothing came for so long: nothing comes."""


class Master:
    """Somebody who writes bytes on a line."""

    def __init__(self, port: Path) -> None:
        self._fd = os.open(port, os.O_RDWR | os.O_NOCTTY)
        tty.setraw(self._fd)

    def write(self, data: bytes) -> float:
        begun_s = time.monotonic()
        os.write(self._fd, data)
        return begun_s

    def read(self, count: int, patience_s: float = 20.0) -> bytes:
        """Read until so many bytes are there, or nothing came for ``patience_s``."""
        data = b""
        while len(data) < count and select.select([self._fd], [], [], patience_s)[0]:
            data += os.read(self._fd, 1024)
        return data

    def ask(self, frame: bytes, count: int) -> bytes:
        """Be silent for long enough, write, read."""
        time.sleep(0.02)
        self.write(frame)
        return self.read(count)

    def close(self) -> None:
        os.close(self._fd)


BAUDS = (300, 1200, 9600, 19_200)


@pytest.fixture(scope="module")
def _running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Simulator, Path]]:
    folder = tmp_path_factory.mktemp("rtu")
    buses = [f"id: l{b}, kind: modbus-rtu, port: {folder / f'l{b}'}, baud: {b}" for b in BAUDS]
    modules = {f"{name}{b}": (f"l{b}", unit) for b in BAUDS for name, unit in (("m", 1), ("o", 2))}
    with simulating("--site", write_site(folder, buses, modules)) as simulator:
        simulator.wait_for("ready")
        yield simulator, folder


class Line:
    """A line with two modules (units 1 and 2), and what it counted since the test began."""

    def __init__(self, simulator: Simulator, port: Path, baud: int) -> None:
        self.simulator = simulator
        self.port = port
        self.master = Master(port)
        self._baud = baud
        self._before = self._counters()

    def counted(self) -> dict[str, int]:
        """Give the counters since this test began (times as they are)."""
        now = self._counters()
        kept = ("first_ns", "last_ns")
        return {key: now[key] - (0 if key in kept else self._before[key]) for key in now}

    def wait_until_counted(self, *names: str) -> None:
        """Wait until one of these counters has gone up since this test began."""
        self.simulator.wait_until(lambda: sum(map(self.counted().__getitem__, names)) >= 1)

    def spoil(self, fault: str, **more: object) -> None:
        """Give unit 1 a fault, instead of those it has."""
        device = f"m{self._baud}"
        self.simulator.say({"heal": device}, {"fault": fault, "device": device, **more})
        while "fault" not in self.simulator.wait_for("cause")["step"]:
            continue

    def _counters(self) -> dict[str, int]:
        lines = {line["bus"]: line for line in self.simulator.stats()["lines"]}
        return {key: value for key, value in lines[f"l{self._baud}"].items() if key != "bus"}


LineMaker = Callable[..., Line]


@pytest.fixture
def line(_running: tuple[Simulator, Path]) -> Iterator[LineMaker]:
    """Make a line of a baud rate: quiet for long, without faults."""
    simulator, folder = _running
    made: list[Line] = []

    def make(baud: int = 19_200) -> Line:
        simulator.say({"heal": f"m{baud}"}, {"heal": f"o{baud}"})
        simulator.records.clear()
        made.append(Line(simulator, folder / f"l{baud}", baud))
        time.sleep(50 / baud)
        return made[-1]

    yield make
    for each in made:
        each.master.close()


def test_two_units_on_one_line(line: LineMaker) -> None:
    wire = line()
    master = wire.master
    on = rtu_frame(2, bytes.fromhex("05 0003 FF00"))
    assert master.ask(on, 8) == on
    assert wire.simulator.wait_for("relay")["outlet"] == "o19200-4"
    answer = master.ask(READ_ALL, 93)
    assert answer[:3] == bytes([1, 4, 88])
    assert rtu_crc_ok(answer)
    assert answer[3:5] == b"\0\0"
    relays = master.ask(rtu_frame(2, bytes.fromhex("04 0000 0001")), 7)
    assert relays == rtu_frame(2, bytes.fromhex("04 02 0008"))


def test_an_answer_is_not_there_before_it_would_be_on_the_wire(line: LineMaker) -> None:
    wire = line(9600)
    master = wire.master
    char_s = 10 / 9600
    wire_s = (8 + 3.5 + 93) * char_s + 0.005
    for _ in range(3):
        time.sleep(0.02)
        begun_s = master.write(READ_ALL)
        assert len(master.read(93)) == 93
        assert time.monotonic() - begun_s >= wire_s - 0.0005


quiet_machine = pytest.mark.skipif(
    "PILEGATE_QUIET" not in os.environ,
    reason="writes within milliseconds of a frame: set PILEGATE_QUIET on a machine that is quiet",
)


@quiet_machine
def test_a_frame_that_breaks_the_silence_is_not_answered(line: LineMaker) -> None:
    wire = line(1200)
    master = wire.master
    # 3.5 characters are 29 ms here: the next frame follows the answer at once
    assert len(master.ask(READ_ONE, 7)) == 7
    master.write(READ_ONE)
    assert master.read(1, QUIET_S) == b""
    assert wire.counted()["gap_broken"] == 1
    time.sleep(0.05)
    assert len(master.ask(READ_ONE, 7)) == 7


def test_two_frames_without_silence_between_them_are_not_answered(line: LineMaker) -> None:
    wire = line()
    master = wire.master
    time.sleep(0.02)
    master.write(READ_ONE + READ_ONE)
    wire.wait_until_counted("bad_frames")
    assert master.read(1, QUIET_S) == b""
    assert len(master.ask(READ_ONE, 7)) == 7


@quiet_machine
def test_talking_into_an_answer_destroys_both(line: LineMaker) -> None:
    wire = line(1200)
    master = wire.master
    time.sleep(0.1)
    master.write(READ_ALL)  # its answer takes 0.8 s
    time.sleep(0.3)
    master.write(READ_ONE)
    assert master.read(1, 1.5) == b""
    assert wire.counted()["collisions"] == 1
    assert len(master.ask(READ_ONE, 7)) == 7


@pytest.mark.parametrize(
    "frame",
    [
        READ_ONE[:-1] + bytes([READ_ONE[-1] ^ 1]),
        READ_ONE[:5],
        READ_ONE + b"\x00",
        rtu_frame(1, bytes.fromhex("0F 0000 000A 02 FF03"))[:9],
        b"\x00",
        bytes(600),
    ],
    ids=["crc", "truncated", "too long", "write in part", "one byte", "600 bytes"],
)
def test_what_is_no_frame_is_not_answered(line: LineMaker, frame: bytes) -> None:
    wire = line()
    master = wire.master
    master.write(frame)
    wire.wait_until_counted("bad_frames", "gap_broken")
    assert master.read(1, QUIET_S) == b""
    assert wire.counted()["requests"] == 0
    assert len(master.ask(READ_ONE, 7)) == 7


def test_unknown_functions_are_refused_and_unknown_units_silent(line: LineMaker) -> None:
    wire = line()
    master = wire.master
    assert master.ask(rtu_frame(1, b"\x2b\x0e"), 5) == rtu_frame(1, b"\xab\x01")
    time.sleep(0.02)
    master.write(rtu_frame(9, bytes.fromhex("04 0000 0001")))
    wire.wait_until_counted("unanswered")
    assert master.read(1, QUIET_S) == b""
    assert wire.counted()["unanswered"] == 1


def test_a_broadcast_is_obeyed_and_not_answered(line: LineMaker) -> None:
    wire = line()
    master = wire.master
    master.write(rtu_frame(0, bytes.fromhex("05 0000 FF00")))
    heard = {wire.simulator.wait_for("relay")["outlet"] for _ in range(2)}
    assert heard == {"m19200-1", "o19200-1"}
    assert master.read(1, QUIET_S) == b""


def test_a_request_in_pieces(line: LineMaker) -> None:
    wire = line(300)
    master = wire.master
    # 33 ms a character: the first piece lasts for more than two seconds, in which the rest
    # is there even where somebody is kept waiting
    many = rtu_frame(1, bytes.fromhex("10 0000 0020 40") + bytes(64))
    master.write(many[:-3])
    time.sleep(0.03)
    master.write(many[-3:])
    answer = master.read(5)
    assert rtu_crc_ok(answer)
    assert answer[:2] == bytes([1, 0x90])


def test_answers_that_are_torn_bent_or_late(line: LineMaker) -> None:
    wire = line()
    master = wire.master
    for fault in ("corrupt", "wrong_unit", "truncated"):
        wire.spoil(fault)
        time.sleep(0.02)
        master.write(READ_ONE)
        answer = master.read(1)
        answer += master.read(7 - len(answer), QUIET_S)
        assert answer
        assert len(answer) < 7 or not rtu_crc_ok(answer) or answer[0] != 1, fault
    wire.spoil("pieces")
    assert rtu_crc_ok(master.ask(READ_ALL, 93))
    wire.spoil("late", delay_ms=2_000)
    time.sleep(0.02)
    begun_s = master.write(READ_ONE)
    other = rtu_frame(2, bytes.fromhex("04 0002 0001"))
    assert master.ask(other, 7)[0] == 2
    assert rtu_crc_ok(master.read(7))
    assert time.monotonic() - begun_s >= 2.0


def test_babble_on_the_line(line: LineMaker) -> None:
    wire = line()
    master = wire.master
    wire.spoil("babble")
    assert master.read(1)


def test_counters_add_up_to_the_time_on_the_wire(line: LineMaker) -> None:
    wire = line(9600)
    master = wire.master
    for _ in range(5):
        assert len(master.ask(READ_ALL, 93)) == 93
    stats = wire.counted()
    char_ns = round(10e9 / 9600)
    assert (stats["requests"], stats["answers"]) == (5, 5)
    assert stats["request_wire_ns"] == 5 * 8 * char_ns
    assert stats["answer_wire_ns"] == 5 * 93 * char_ns
    assert stats["gap_ns"] == pytest.approx(5 * 2 * 3.5 * char_ns, abs=20)
    assert stats["turnaround_ns"] == 5 * 5_000_000
    parts = ("request_wire_ns", "answer_wire_ns", "gap_ns", "turnaround_ns")
    assert stats["busy_ns"] == sum(stats[part] for part in parts)
    assert stats["busy_ns"] <= stats["last_ns"] - stats["first_ns"] + 4 * char_ns
    assert stats["gap_broken"] == stats["bad_frames"] == stats["collisions"] == 0


def test_a_gateway_may_come_and_go(line: LineMaker) -> None:
    wire = line()
    master = wire.master
    for _ in range(3):
        other = Master(wire.port)
        assert len(other.ask(READ_ONE, 7)) == 7
        other.close()
    assert len(master.ask(READ_ONE, 7)) == 7
