"""Transcripts against profiles: what agrees, what does not, and what is no transcript."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.modbus import frames
from drivers.modbus.transcript import (
    NotATranscript,
    check_transcript,
    read_transcript,
    request_of,
)
from gateway.config import Profile, load_profile
from tests.support.modbus_site import BOARD, METER, REF10, SETUP, profile

PROFILES = Path(__file__).parents[2] / "config" / "profiles"
READ = "> 01 04 00 00 00 05 *"
ANSWER = "< 01 04 0A 08 FE 04 D2 00 00 0B 12 00 00 *"
METER_PROFILE = profile(METER)
MODULE = profile(REF10, SETUP)
RELAYS = profile(BOARD)


def wrong(kind: Profile, text: str, unit: int | None = None) -> list[str]:
    found = check_transcript(kind, read_transcript(text), unit=unit)
    return [f"{each.line}: {each.text}" for each in found.wrong]


def told(kind: Profile, text: str) -> list[str]:
    found = check_transcript(kind, read_transcript(text))
    assert found.wrong == []
    return [each.text for each in found.verdicts]


def test_an_exchange_says_what_the_profile_makes_of_it() -> None:
    text = f"# a remark\n\n{READ}  # here, too\n{ANSWER}\n? x voltage_v 230.2\n? x relay_on None"
    assert told(METER_PROFILE, text) == [
        "unit 1, function 04, read input 0-4: voltage_v 230.2, current_a 1.234, power_w 283.4"
    ]
    found = check_transcript(METER_PROFILE, read_transcript(text))
    assert (found.exchanges, found.values, found.not_shown) == (1, 2, ())


def test_what_no_answer_shows_is_named() -> None:
    text = "> 01 04 00 00 00 01 *\n< 01 04 02 08 FE *"
    found = check_transcript(METER_PROFILE, read_transcript(text))
    assert found.not_shown == ("current_a", "power_w")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            f"{READ}\n{ANSWER}\n? x voltage_v 23.02",
            "3: x voltage_v: expected 23.02, the profile makes 230.2 of it",
        ),
        (
            f"{READ}\n{ANSWER}\n? x energy_mwh 5",
            "3: x energy_mwh: expected 5, the profile makes None of it",
        ),
        (
            f"{READ}\n{ANSWER}\n? x voltage_v True",
            "3: x voltage_v: expected True, the profile makes 230.2 of it",
        ),
        (
            f"> 01 04 00 00 00 05 31 CA\n{ANSWER}",
            "1: its check sum is 31 ca, that of its bytes is 30 09",
        ),
        (READ, "1: no answer follows"),
        (f"{READ}\n{READ}\n{ANSWER}", "1: no answer follows"),
        (f"{READ}\n< 01 84 02 *", "2: the device declines: illegal address"),
        (f"{READ}\n< 01 03 0A 08 FE 04 D2 00 00 0B 12 00 00 *",
         "2: not the answer to that request (wrong: function)"),
        (f"{READ}\n< 02 04 0A 08 FE 04 D2 00 00 0B 12 00 00 *",
         "2: not the answer to that request (wrong: unit)"),
        (f"{READ}\n< 01 04 08 08 FE 04 D2 00 00 0B 12 *",
         "2: not the answer to that request (wrong: length)"),
        (
            "> 01 04 00 20 00 01 *\n< 01 04 02 00 00 *",
            ("1: unit 1, function 04, read input 32: the profile lists nothing there;"
             " its first input is 0"),
        ),
        (
            "> 01 03 00 00 00 05 *\n< 01 03 0A 08 FE 04 D2 00 00 0B 12 00 00 *",
            ("1: unit 1, function 03, read holding 0-4: the profile lists nothing holding, but"
             " input: which function is it?"),
        ),
        (
            "> 01 06 00 00 00 01 *\n< 01 06 00 00 00 01 *",
            "1: unit 1, function 06: the profile would never write this",
        ),
        ("> 01 42 80 11\n< 01 42 80 11", "1: function 0x42 is none that this driver uses"),
        ("> 01 04 00 00 *\n< 01 04 00 00 *", "1: a request of function 04 is longer than that"),
        ("> 01 04 00 00 00 05 00 *\n< 01 04 00 00 *", "1: a request of function 04 has 8 bytes"),
        ("> 01 10 00 00 00 02 02 00 01 *\n< 01 10 00 00 00 02 *",
         "1: a request of function 16 whose lengths do not agree"),
    ],
)  # fmt: skip
def test_what_does_not_agree(text: str, expected: str) -> None:
    assert wrong(METER_PROFILE, text) == [expected]


def test_an_address_with_the_digit_of_its_table_is_named() -> None:
    kind = profile(METER, values={"voltage_v": {"space": "holding", "address": 40001}})
    (found,) = wrong(kind, "> 01 03 00 00 00 01 *\n< 01 03 02 08 FE *")
    assert found.endswith(
        "the profile lists holding 40001: an address in a frame counts from 0, without the first "
        "digit of its number (40001 is holding 0)"
    )


def test_half_of_a_value_is_no_value() -> None:
    text = "> 01 04 00 00 00 02 *\n< 01 04 04 08 FE 04 D2 *\n? x current_a None"
    assert told(METER_PROFILE, text) == ["unit 1, function 04, read input 0-1: voltage_v 230.2"]


def test_a_read_must_not_touch_what_is_never_read() -> None:
    kind = profile(METER, never_read={"input": [[3, 3]]})
    assert wrong(kind, f"{READ}\n{ANSWER}") == [
        "1: unit 1, function 04, read input 0-4: never_read names 3 to 3"
    ]


def test_other_devices_of_a_line_are_passed_over() -> None:
    other = "> 02 01 00 02 00 01 *\n< 02 01 01 01 *\n? x relay_on True"
    text = f"{READ}\n{ANSWER}\n{other}\n! cut x"
    assert told(METER_PROFILE, text)[1] == "unit 2, another device"
    assert wrong(RELAYS, text, unit=2) == [
        "5: x relay_on: expected True, the profile makes None of it",
        "6: nothing was written for channel 1",
    ]
    found = check_transcript(RELAYS, read_transcript(text.rsplit("\n", 1)[0]), unit=2, channel=3)
    assert found.wrong == []


def test_switching_is_what_was_ordered() -> None:
    text = (
        "! cut x1 x2 x3\n> 01 0F 00 00 00 03 01 00 *\n< 01 0F 00 00 00 03 *\n"
        "! on x2\n> 01 05 00 01 FF 00 *\n< 01 05 00 01 FF 00 *\n"
        "> 01 05 00 01 00 00 *\n< 01 05 00 01 00 00 *"
    )
    assert told(RELAYS, text) == [
        "unit 1, function 15 switches channel 1 off, channel 2 off, channel 3 off",
        "unit 1, function 05 switches channel 2 on",
        "unit 1, function 05 switches channel 2 off",
    ]


def test_switching_that_was_not_ordered_or_not_done() -> None:
    other = "! on x1\n> 01 05 00 01 FF 00 *\n< 01 05 00 01 FF 00 *"
    assert wrong(RELAYS, other) == [
        "2: unit 1, function 05 switches channel 2 on: that was not ordered",
        "1: nothing was written for channel 1",
    ]
    code = "> 01 05 00 01 01 00 *\n< 01 05 00 01 01 00 *"
    assert wrong(RELAYS, code) == ["1: unit 1, function 05: the profile would never write this"]
    beyond = "> 01 05 00 08 FF 00 *\n< 01 05 00 08 FF 00 *"
    assert wrong(RELAYS, beyond) == ["1: unit 1, function 05: the profile would never write this"]


def test_a_module_is_set_up_by_its_watchdog_and_limits() -> None:
    text = (
        "> 01 06 00 00 00 0A *\n< 01 06 00 00 00 0A *\n> 01 06 00 0B 06 40 *\n< 01 06 00 0B 06 40 *"
    )
    assert told(MODULE, text) == ["unit 1, function 06: sets the module up"] * 2
    never = "> 01 06 00 00 00 00 *\n< 01 06 00 00 00 00 *"
    assert wrong(MODULE, never) == ["1: unit 1, function 06: the profile would never write this"]


def test_floats_agree_as_far_as_they_go() -> None:
    kind = load_profile(PROFILES / "sdm230.yaml")
    text = "> 01 04 00 46 00 02 *\n< 01 04 04 42 47 EB 85 *\n? x frequency_hz {}"
    assert wrong(kind, text.format("49.98")) == []
    assert wrong(kind, text.format("49.981")) != []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("hello", "line 1: expected >, <, !, ?, = or # at its beginning, not 'hello'"),
        (ANSWER, "line 1: an answer, but no request before it"),
        ("> 01 04 zz", "line 1: expected bytes in hex, such as 01 04 00 00 00 0A 70 0D"),
        ("> 01 *", "line 1: a frame has 4 to 256 bytes, not 3"),
        (f"> {'01 ' * 257}", "line 1: a frame has 4 to 256 bytes, not 257"),
        ("? x", "line 1: expected a name, a value and what it is: x voltage_v 230.2"),
        ("? x volts 1", "line 1: 'volts' is no value; known: alarm, current_a, energy_mwh, "),
        ("? x voltage_v much", "line 1: expected a number, True, False or None, not 'much'"),
        ("? x2 voltage_v 1", "line 1: x2 is not one of 1 channels"),
        ("! flash x", "line 1: expected on, off or cut, and names"),
        ("! on", "line 1: expected on, off or cut, and names"),
        ("#\n" * 10_001, "line 10001: a transcript has at most 10000 lines"),
    ],
)
def test_what_is_no_transcript(text: str, expected: str) -> None:
    with pytest.raises(NotATranscript) as caught:
        check_transcript(METER_PROFILE, read_transcript(text))
    assert str(caught.value).startswith(expected)


HEX = st.binary(min_size=2, max_size=40).map(lambda data: f"{data.hex(' ')} *")
PIECES = st.one_of(
    st.tuples(st.sampled_from("<>"), HEX).map(" ".join),
    st.sampled_from([READ, ANSWER, "? x voltage_v 1", "! on x1", "= 10ms", "? x7 alarm True"]),
    st.text(max_size=20),
)


@given(st.lists(PIECES, max_size=12).map("\n".join))
def test_no_text_does_more_than_be_wrong(text: str) -> None:
    for kind in (METER_PROFILE, RELAYS, MODULE):
        with contextlib.suppress(NotATranscript):
            found = check_transcript(kind, read_transcript(text))
            assert len(found.verdicts) <= 3 * text.count("\n") + 3


@given(st.binary(min_size=2, max_size=60))
def test_a_request_is_understood_whole_or_refused(body: bytes) -> None:
    frame = body + frames.crc16(body).to_bytes(2, "little")
    try:
        request = request_of(frame)
    except ValueError:
        return
    assert request.rtu == frame
