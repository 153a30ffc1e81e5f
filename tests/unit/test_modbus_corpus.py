"""Answers as wires deliver them: the corpus in ``tests/golden/broken``, and seeds beside it.

Everything is played through ``Talk`` in virtual time. Whatever arrives, nothing is raised, and
nothing is taken for an answer that the device did not give.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from drivers.modbus import frames
from drivers.modbus.cutting import Frame
from drivers.modbus.frames import Function, Request
from drivers.modbus.talk import Counts, Outcome, Talk
from drivers.modbus.wire import SerialWire
from tests.support.modbus_script import crc, frame
from tests.support.virtual_loop import run_virtually

BROKEN = Path(__file__).parents[1] / "golden" / "broken"
UNITS = frozenset({1, 2})
WIRE = SerialWire(9_600)
TIMEOUT_MS = 300.0
SEEDS = range(300)
FOUND_SEEDS = (4_711, 31_337, 20_260_101)
"""Seeds from elsewhere; one that ever fails is added here."""

Piece = tuple[float, bytes]
"""Seconds to wait, and what arrives then."""


@dataclass(frozen=True)
class Case:
    name: str
    request: Request
    pieces: tuple[Piece, ...]
    ends: str
    faults: frozenset[str]
    is_tcp: bool


@dataclass
class Ended:
    outcome: Outcome
    data: bytes | None = None
    faults: dict[str, int] = field(default_factory=dict)
    code: int = 0

    def __str__(self) -> str:
        if self.outcome is Outcome.ANSWERED:
            assert self.data is not None
            return " ".join(["answered", self.data.hex(" ").upper()]).strip()
        return f"declined {self.code}" if self.outcome is Outcome.DECLINED else self.outcome.value


class _Link:
    """Takes what is sent and forgets it."""

    async def open(self, on_bytes: Callable[[bytes], None], on_lost: Callable[[str], None]) -> None:
        raise NotImplementedError

    def send(self, data: bytes) -> None:
        assert data

    def close(self) -> None:
        """Nothing is open."""


def _request(text: str) -> Request:
    unit, what, *numbers = text.split()
    first, second = (int(number) for number in numbers)
    if what == "write_coil":
        return frames.write_coil(int(unit), first, second)
    return frames.read(int(unit), Function[what.upper()], first, second)


def _cases(file: str) -> Iterator[Case]:
    text = (BROKEN / file).read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    for block in "\n".join(lines).strip().split("\n\n"):
        name, asked, *arrives, ends = block.strip().splitlines()
        assert (asked[:2], ends[:2]) == ("> ", "= "), name
        pieces: list[Piece] = []
        for line in arrives:
            first, _, rest = line.removeprefix("< ").partition(" ")
            after_ms = float(first.removesuffix("ms")) if first.endswith("ms") else 0.0
            pieces.append((after_ms / 1_000, frame(rest if after_ms else line.removeprefix("< "))))
        outcome, _, faults = ends.removeprefix("= ").partition(";")
        found = frozenset(faults.split())
        is_tcp = file.startswith("tcp")
        request = _request(asked.removeprefix("> "))
        yield Case(name, request, tuple(pieces), outcome.strip(), found, is_tcp)


CASES = [case for file in ("rtu.txt", "tcp.txt") for case in _cases(file)]
GOOD = [case for case in CASES if case.ends.startswith("answered") and not case.faults]


def hear(request: Request, *conversations: Sequence[Piece], is_tcp: bool = False) -> list[Ended]:
    """Ask once for each conversation, on one line, and say how each ended."""
    return talk_through(*((request, pieces) for pieces in conversations), is_tcp=is_tcp)


def talk_through(*exchanges: tuple[Request, Sequence[Piece]], is_tcp: bool = False) -> list[Ended]:
    """Ask one after the other on one line, and say how each ended."""

    async def main() -> list[Ended]:
        counts = Counts("corpus")
        strays: list[Frame] = []
        talk = Talk(
            _Link(),
            None if is_tcp else WIRE,
            UNITS,
            counts=counts,
            on_stray=strays.append,
            time_s=asyncio.get_running_loop().time,
        )
        return [await _exchange(talk, counts, request, pieces) for request, pieces in exchanges]

    return run_virtually(main())


async def _exchange(talk: Talk, counts: Counts, request: Request, pieces: Sequence[Piece]) -> Ended:
    heard: list[bytes] = []
    counts.faults.clear()
    asked = asyncio.create_task(talk.ask(request, TIMEOUT_MS, heard.append))
    await asyncio.sleep(0)
    for after_s, data in pieces:
        await asyncio.sleep(after_s)
        talk.received(data)
    outcome = await asked
    assert len(heard) == (outcome is Outcome.ANSWERED)
    faults = {str(name): count for name, count in counts.faults.items()}
    return Ended(outcome, heard[0] if heard else None, faults, talk.exception_code)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_corpus_ends_as_it_says(case: Case) -> None:
    (ended,) = hear(case.request, case.pieces, is_tcp=case.is_tcp)
    assert str(ended) == case.ends
    assert set(ended.faults) == case.faults


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_next_answer_is_taken_after_any_of_them(case: Case) -> None:
    if case.is_tcp:
        if case.ends == "lost":
            return  # a new connection is opened
        answer = b"\x00\x02" + _good(case.request, is_tcp=True)[2:]
    else:
        answer = _good(case.request)
    _, after = hear(case.request, case.pieces, [(0.001, answer)], is_tcp=case.is_tcp)
    assert after.outcome is Outcome.ANSWERED


def _good(request: Request, *, is_tcp: bool = False) -> bytes:
    """Make the answer that a request would get."""
    pdu = request.head + bytes(range(request.answer_length - len(request.head)))
    if not is_tcp:
        return bytes((request.unit,)) + pdu + crc(bytes((request.unit,)) + pdu)
    return b"\x00\x01\x00\x00" + (len(pdu) + 1).to_bytes(2, "big") + bytes((request.unit,)) + pdu


ECHOED = [
    frames.read(1, Function.READ_HOLDING, 0x2002, 2),
    frames.read(1, Function.READ_HOLDING, 0x2000, 16),
    frames.read(1, Function.READ_INPUT, 0x015A, 6),
    frames.read(1, Function.READ_COILS, 0x0300, 20),
]


@pytest.mark.parametrize("request_", ECHOED, ids=lambda request: request.pdu.hex(" "))
def test_an_echo_in_any_pieces_is_no_answer_and_hides_none(request_: Request) -> None:
    whole = request_.rtu + _good(request_)
    for at in range(1, len(whole)):
        (ended,) = hear(request_, [(0, whole[:at]), (0.02, whole[at:])])
        assert ended.data == _good(request_)[3:-2], at
        assert ended.faults == {"request": 1}, at


READ = frames.read(1, Function.READ_COILS, 0, 8)
ECHO: Piece = (0.0, READ.rtu)
ANSWER: Piece = (0.01, _good(READ))
OFF = frames.write_coil(1, 3, frames.COIL_OFF)


def test_where_reads_are_echoed_the_echo_of_a_write_is_not_believed() -> None:
    both = [(0.0, OFF.rtu), (0.01, OFF.rtu)]
    told = talk_through((READ, [ECHO, ANSWER]), (OFF, both), (OFF, both[:1]), (OFF, both))
    assert [each.outcome.value for each in told] == ["answered", "answered", "silent", "answered"]
    # nobody is there at all: reads come back, and nothing else does
    told = talk_through((READ, [ECHO]), (OFF, both[:1]))
    assert [each.outcome.value for each in told] == ["silent", "silent"]


def test_a_write_is_believed_again_once_a_read_does_not_come_back() -> None:
    told = talk_through((READ, [ECHO, ANSWER]), (READ, [ANSWER]), (OFF, [(0.01, OFF.rtu)]))
    assert {each.outcome.value for each in told} == {"answered"}
    assert told[-1].faults == {}


@pytest.mark.parametrize("case", GOOD, ids=lambda case: case.name)
def test_an_answer_split_at_every_byte_is_the_same_answer(case: Case) -> None:
    whole = b"".join(data for _, data in case.pieces)
    for at in range(1, len(whole)):
        (ended,) = hear(case.request, [(0, whole[:at]), (0.02, whole[at:])], is_tcp=case.is_tcp)
        assert (str(ended), ended.faults) == (case.ends, {}), at
    singly = [(0.001, bytes((byte,))) for byte in whole]
    (ended,) = hear(case.request, singly, is_tcp=case.is_tcp)
    assert (str(ended), ended.faults) == (case.ends, {})


@pytest.mark.parametrize("case", [case for case in GOOD if not case.is_tcp], ids=lambda c: c.name)
@pytest.mark.parametrize("joined", [False, True], ids=["one after the other", "joined"])
def test_other_units_traffic_before_and_after_changes_nothing(case: Case, joined: bool) -> None:
    whole = b"".join(data for _, data in case.pieces)
    foreign = frames.read(9, Function.READ_INPUT, 0, 4).rtu + _good(
        frames.read(9, Function.READ_INPUT, 0, 4)
    )
    pieces = [(0.0, foreign), (0.003, whole), (0.003, foreign)]
    if joined:
        pieces = [(0.0, foreign + whole + foreign)]
    (ended,) = hear(case.request, pieces)
    assert str(ended) == case.ends


@pytest.mark.parametrize("seed", [*SEEDS, *FOUND_SEEDS])
def test_whatever_a_line_makes_of_it_nothing_else_is_taken_for_the_answer(seed: int) -> None:
    chance = random.Random(seed)
    request = chance.choice(
        [
            frames.read(1, Function.READ_INPUT, 0, chance.randint(1, 60)),
            frames.read(1, Function.READ_HOLDING, chance.randrange(0xFF00), chance.randint(1, 60)),
            frames.read(1, Function.READ_COILS, 0, chance.randint(1, 40)),
            frames.write_coil(1, chance.randint(0, 9), frames.COIL_OFF),
            frames.write_coils(1, 0, [False] * chance.randint(2, 10)),
        ]
    )
    answer = _good(request)
    first, after = hear(request, _mangled(chance, request, answer), [(0.001, answer)])
    truth = answer[1 + len(request.head) : -2]
    for ended in (first, after):
        assert ended.data in (None, truth)
    # Whatever was before, a line that is quiet again is understood.
    assert after.outcome is Outcome.ANSWERED


def _mangled(chance: random.Random, request: Request, answer: bytes) -> list[Piece]:
    """Make of an answer what bad wiring, neighbours and other masters make of it."""
    other = frames.read(1, Function.READ_HOLDING, 7, chance.randint(1, 20))
    flipped = bytearray(answer)
    flipped[chance.randrange(len(answer))] ^= 1 << chance.randrange(8)
    at = chance.randint(0, len(answer))
    kinds: list[Callable[[], list[bytes]]] = [
        lambda: [chance.randbytes(chance.randint(1, 12))],
        lambda: [answer[:at], answer[at:]],
        lambda: [answer[:at]],
        lambda: [answer[at:]],
        lambda: [bytes(flipped)],
        lambda: [other.rtu, _good(other)],
        lambda: [b"\x02" + _good(other)[1:-2] + crc(b"\x02" + _good(other)[1:-2])],
        lambda: [frames.read(9, Function.READ_INPUT, 0, 9).rtu],
        lambda: [frames.read(2, Function.READ_HOLDING, chance.randrange(0x10000 - 9), 9).rtu],
        lambda: [request.rtu] if request.is_read else [],
        lambda: [bytes((1, request.function | 0x80)) + chance.randbytes(3)],
        lambda: [bytes(chance.randint(1, 600))],
    ]
    parts = [part for _ in range(chance.randint(1, 5)) for part in chance.choice(kinds)()]
    pauses_s = (0.0, 0.0, 0.002, 0.016, 0.09, 0.35)
    return [(chance.choice(pauses_s), part) for part in parts]
