from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.modbus import frames
from drivers.modbus.cutting import Desynchronised, Frame, Noise, next_rtu, next_tcp
from drivers.modbus.frames import Accepted, Declined, Fault, Function, Wrong
from tests.support.modbus_script import crc, frame

# "vectors" of domain.md, section 3
VECTORS = [
    (frames.read(1, Function.READ_INPUT, 0, 10), "01 04 00 00 00 0A 70 0D"),
    (frames.write_coil(1, 0, frames.COIL_ON), "01 05 00 00 FF 00 8C 3A"),
    (frames.write_coil(1, 0, frames.COIL_OFF), "01 05 00 00 00 00 CD CA"),
    (frames.read(1, Function.READ_HOLDING, 0x2000, 16), "01 03 20 00 00 10 4F C6"),
    (frames.read(1, Function.READ_INPUT, 0x000C, 2), "01 04 00 0C 00 02 B1 C8"),
]
UNITS = frozenset({1, 2, 17})


@pytest.mark.parametrize(("request_", "wire"), VECTORS)
def test_requests_are_built_as_documents_show_them(request_: frames.Request, wire: str) -> None:
    assert request_.rtu == bytes.fromhex(wire)


def test_a_frame_of_any_function_is_built() -> None:
    assert frames.rtu_frame(1, b"\x42") == bytes.fromhex("01 42 80 11")  # resets a PZEM's energy


def test_an_echo_from_the_documents_is_read_back() -> None:
    request = frames.write_coil(1, 0, frames.COIL_ON)
    used, what = next_rtu(bytes.fromhex("01 05 00 00 FF 00 8C 3A"), UNITS)
    assert (used, what) == (8, Frame(1, request.pdu))
    assert frames.judge(request, 1, request.pdu) == Accepted(b"")


def test_many_coils_are_packed_lowest_first() -> None:
    # MODBUS Application Protocol V1.1b3, 6.11: coils 20 to 29, CD 01
    bits = [bool(0x1CD >> bit & 1) for bit in range(10)]
    request = frames.write_coils(17, 0x13, bits)
    assert request.pdu == bytes.fromhex("0F 00 13 00 0A 02 CD 01")
    assert request.head == bytes.fromhex("0F 00 13 00 0A")


def test_many_registers_are_written_as_the_specification_shows() -> None:
    # MODBUS Application Protocol V1.1b3, 6.12
    request = frames.write_registers(17, 1, [0x000A, 0x0102])
    assert request.pdu == bytes.fromhex("10 00 01 00 02 04 00 0A 01 02")


def test_a_tcp_frame_has_its_header() -> None:
    request = frames.read(17, Function.READ_HOLDING, 0x006B, 3)
    assert request.tcp(0x1501) == bytes.fromhex("15 01 00 00 00 06 11 03 00 6B 00 03")


@pytest.mark.parametrize(
    "build",
    [
        lambda: frames.read(1, Function.READ_INPUT, 0, 126),
        lambda: frames.read(1, Function.READ_INPUT, 0, 0),
        lambda: frames.read(1, Function.READ_COILS, 0, 2_001),
        lambda: frames.read(1, Function.READ_INPUT, 65_535, 2),
        lambda: frames.read(1, Function.WRITE_COIL, 0, 1),
        lambda: frames.read(256, Function.READ_INPUT, 0, 1),
        lambda: frames.write_register(1, 0, 65_536),
        lambda: frames.write_registers(1, 0, []),
        lambda: frames.write_registers(1, 0, [70_000]),
        lambda: frames.write_coils(1, 0, [False] * 1_969),
    ],
)
def test_what_can_not_be_asked_is_refused(build: Callable[[], frames.Request]) -> None:
    with pytest.raises(frames.FrameError):
        build()


# ------------------------------------------------------------------ streams


def cut_rtu(data: bytes, units: frozenset[int] = UNITS) -> tuple[list[Frame | Noise], bytes]:
    """Take everything out of a stream, and give what is left."""
    found: list[Frame | Noise] = []
    while True:
        used, what = next_rtu(data, units)
        if what is None:
            assert used == 0
            return found, data
        assert 0 < used <= len(data)
        data = data[used:]
        found.append(what)


reads = st.tuples(
    st.sampled_from([3, 4]), st.binary(min_size=2, max_size=250).filter(lambda d: len(d) % 2 == 0)
).map(lambda t: bytes((t[0], len(t[1]))) + t[1])
bit_reads = st.tuples(st.sampled_from([1, 2]), st.binary(min_size=1, max_size=250)).map(
    lambda t: bytes((t[0], len(t[1]))) + t[1]
)
echoes = st.tuples(st.sampled_from([5, 6, 15, 16]), st.binary(min_size=4, max_size=4)).map(
    lambda t: bytes((t[0],)) + t[1]
)
exceptions = st.tuples(st.sampled_from([1, 2, 3, 4, 5, 6, 15, 16]), st.integers(1, 11)).map(
    lambda t: bytes((t[0] | 0x80, t[1]))
)
pdus = st.one_of(reads, bit_reads, echoes, exceptions)
answers = st.tuples(st.sampled_from(sorted(UNITS)), pdus)


@given(st.lists(answers, min_size=1, max_size=4))
def test_joined_frames_are_taken_apart(parts: list[tuple[int, bytes]]) -> None:
    stream = b"".join(frames.rtu_frame(unit, pdu) for unit, pdu in parts)
    found, left = cut_rtu(stream)
    assert found == [Frame(unit, pdu) for unit, pdu in parts]
    assert left == b""


@given(answers)
def test_a_frame_split_at_every_byte_is_one_frame(part: tuple[int, bytes]) -> None:
    whole = frames.rtu_frame(*part)
    for end in range(len(whole)):
        assert next_rtu(whole[:end], UNITS) == (0, None)
    assert next_rtu(whole, UNITS) == (len(whole), Frame(*part))


@given(st.binary(max_size=40), answers)
def test_noise_before_a_frame_is_skipped(noise: bytes, part: tuple[int, bytes]) -> None:
    # bytes that are no unit of this line can't be taken for the beginning of a frame
    clean = bytes(byte for byte in noise if byte not in UNITS)
    found, left = cut_rtu(clean + frames.rtu_frame(*part))
    assert [what for what in found if isinstance(what, Frame)] == [Frame(*part)]
    assert left == b""


@given(st.binary(max_size=600))
def test_any_bytes_are_taken_without_an_error_and_without_growing(data: bytes) -> None:
    found, left = cut_rtu(data)
    assert len(left) < frames.LONGEST_RTU
    for what in found:
        if isinstance(what, Frame):
            assert crc(bytes((what.unit,)) + what.pdu).hex() in data.hex()


@given(answers, st.data())
def test_a_changed_bit_makes_it_no_frame(part: tuple[int, bytes], data: st.DataObject) -> None:
    whole = bytearray(frames.rtu_frame(*part))
    at = data.draw(st.integers(0, len(whole) * 8 - 1))
    whole[at // 8] ^= 1 << at % 8
    found, _ = cut_rtu(bytes(whole))
    assert Frame(*part) not in found


@given(answers)
def test_what_stands_inside_of_another_units_answer_is_not_an_answer(
    part: tuple[int, bytes],
) -> None:
    inner = frames.rtu_frame(*part)
    if len(inner) > 248:
        return
    data = inner + b"\x00" * (len(inner) % 2)
    outer = bytes((4, len(data))) + data
    found, _ = cut_rtu(frames.rtu_frame(2, outer))
    assert found == [Frame(2, outer)]


@pytest.mark.parametrize(
    ("wire", "fault"),
    [
        ("01 04 02 00 00 00 00", Fault.CRC),
        ("01 04 FB 11 22", Fault.OVERSIZED),
        ("01 04 00 11 22", Fault.LENGTH),
        ("01 04 03 11 22", Fault.LENGTH),
        ("01 2B 0E", Fault.CRC),
        ("63 04 02 00 00", Fault.CRC),
    ],
)
def test_noise_is_named(wire: str, fault: Fault) -> None:
    found, _ = cut_rtu(bytes.fromhex(wire), frozenset({1}))
    assert found[0] == Noise(fault)


def cut_tcp(data: bytes) -> tuple[list[object], bytes]:
    found: list[object] = []
    while True:
        used, what = next_tcp(data)
        if what is None:
            return found, data
        assert 0 < used <= len(data)
        data = data[used:]
        found.append(what)


@given(st.lists(st.tuples(st.integers(0, 65_535), st.integers(0, 255), pdus), max_size=4))
def test_tcp_frames_are_taken_apart(parts: list[tuple[int, int, bytes]]) -> None:
    found, left = cut_tcp(b"".join(frames.tcp_frame(*part) for part in parts))
    assert found == [Frame(unit, pdu, tid) for tid, unit, pdu in parts]
    assert left == b""


@given(st.integers(0, 65_535), st.integers(0, 255), pdus)
def test_a_tcp_frame_split_at_every_byte_is_one_frame(tid: int, unit: int, pdu: bytes) -> None:
    whole = frames.tcp_frame(tid, unit, pdu)
    for end in range(len(whole)):
        assert next_tcp(whole[:end]) == (0, None)
    assert next_tcp(whole) == (len(whole), Frame(unit, pdu, tid))


@given(st.binary(max_size=600))
def test_any_bytes_on_tcp_are_taken_without_an_error(data: bytes) -> None:
    _, left = cut_tcp(data)
    assert len(left) < frames.LONGEST_TCP


@pytest.mark.parametrize(
    ("wire", "expected"),
    [
        ("00 01 00 01 00 03 01 04 00", Noise(Fault.TRANSACTION)),
        ("00 01 00 00 00 FF", Desynchronised(Fault.OVERSIZED)),
        ("00 01 00 00 00 02 01 04", Desynchronised(Fault.LENGTH)),
    ],
)
def test_a_wrong_header_is_named(wire: str, expected: object) -> None:
    assert cut_tcp(bytes.fromhex(wire))[0] == [expected]


# ------------------------------------------------------------------ judging

READ = frames.read(1, Function.READ_INPUT, 0, 2)
WRITE = frames.write_coil(1, 3, frames.COIL_OFF)
MANY = frames.write_coils(1, 0, [False] * 3)


@pytest.mark.parametrize(
    ("request_", "unit", "pdu", "verdict"),
    [
        (READ, 1, "04 04 00 01 00 02", Accepted(bytes.fromhex("00 01 00 02"))),
        (READ, 2, "04 04 00 01 00 02", Wrong(Fault.UNIT)),
        (READ, 1, "03 04 00 01 00 02", Wrong(Fault.FUNCTION)),
        (READ, 1, "04 02 00 01", Wrong(Fault.LENGTH)),
        (READ, 1, "04 04 00 01 00", Wrong(Fault.LENGTH)),
        (READ, 1, "04 02 00 01 00 02", Wrong(Fault.LENGTH)),
        (READ, 1, "84 02", Declined(2)),
        (READ, 1, "84 02 00", Wrong(Fault.LENGTH)),
        (READ, 1, "83 02", Wrong(Fault.FUNCTION)),
        (READ, 1, "", Wrong(Fault.LENGTH)),
        (WRITE, 1, "05 00 03 00 00", Accepted(b"")),
        (WRITE, 1, "05 00 03 FF 00", Wrong(Fault.ECHO)),
        (WRITE, 1, "05 00 04 00 00", Wrong(Fault.ECHO)),
        (WRITE, 1, "05 00 03 00", Wrong(Fault.LENGTH)),
        (WRITE, 1, "04 02 00 00", Wrong(Fault.FUNCTION)),
        (MANY, 1, "0F 00 00 00 03", Accepted(b"")),
        (MANY, 1, "0F 00 00 00 02", Wrong(Fault.ECHO)),
    ],
)
def test_only_the_right_answer_is_accepted(
    request_: frames.Request, unit: int, pdu: str, verdict: object
) -> None:
    assert frames.judge(request_, unit, bytes.fromhex(pdu)) == verdict


@given(st.sampled_from([READ, WRITE, MANY]), st.integers(0, 255), st.binary(max_size=260))
def test_nothing_but_the_shape_asked_for_is_accepted(
    request_: frames.Request, unit: int, pdu: bytes
) -> None:
    verdict = frames.judge(request_, unit, pdu)
    if isinstance(verdict, Accepted):
        assert unit == request_.unit
        assert pdu == request_.head + verdict.data
        assert len(pdu) == request_.answer_length


def test_the_two_check_sums_agree() -> None:
    # the codec's own table against the bitwise one of the tests
    assert frames.crc16(b"123456789") == 0x4B37
    assert frame("01 04 00 00 00 0A *") == bytes.fromhex("01 04 00 00 00 0A 70 0D")
