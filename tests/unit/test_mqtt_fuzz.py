"""Every decoder with every kind of rubbish: its own error or nothing, and no invented value."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from drivers.mqtt.families import FAMILIES
from drivers.mqtt.payload import BOUNDS, MAX_PAYLOAD, number_in, parse_text
from drivers.mqtt.words import Codec, Heard, Reading, WrongPayload
from gateway.config import MqttProfile, Quantity, load_plug_profile
from gateway.config.profile_files import BUILT_IN

CAPTURES = Path(__file__).parents[1] / "golden" / "mqtt"
NAMES = sorted(
    path.stem
    for path in BUILT_IN.glob("*.yaml")
    if "protocol: mqtt" in path.read_text(encoding="utf-8")
)
TRUE_WORDS = ("on", "true")
FALSE_WORDS = ("off", "false")

WORDS = [
    *("outlets", "channel", "relay_on", "power_w", "current_a", "voltage_v", "energy_wh", "id"),
    *("ENERGY", "Power", "Voltage", "Current", "Total", "Factor", "StatusSNS", "StatusSTS"),
    *("POWER", "POWER1", "POWER2", "PowerOnState", "ON", "OFF", "on", "off", "state", "power"),
    *("method", "NotifyStatus", "NotifyFullStatus", "params", "result", "error", "message"),
    *("switch:0", "switch:1", "switch:99", "output", "apower", "aenergy", "total", "errors"),
    *(
        "initial_state",
        "auto_on",
        "src",
        "SetOption21",
        "power_on_behavior",
        "state_l1",
        "power_l2",
        "power_outage_memory",
        "done",
        "refused",
        "detail",
    ),
]
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.sampled_from(WORDS)
    | st.text(max_size=8)
    | st.sampled_from([10**400, -(10**30), 1e308, -0.0, 1.5, 230])
)
TREES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=6)
        | st.dictionaries(st.sampled_from(WORDS) | st.text(max_size=6), inner, max_size=6)
    ),
    max_leaves=20,
)


HUGE = 1e300
"""A larger number is no reading's; a whole one may be more than a float holds."""


def codec_of(name: str) -> tuple[Codec, MqttProfile]:
    profile = load_plug_profile(BUILT_IN / f"{name}.yaml")
    return FAMILIES[profile.family]("t", profile, "guard/d"), profile


CODECS = {name: codec_of(name) for name in NAMES}


def heard(codec: Codec, payload: bytes) -> Iterator[Heard]:
    """What each topic makes of a payload; anything but the driver's own error fails the test."""
    for decode in codec.topics.values():
        try:
            found = decode(payload)
        except WrongPayload as err:
            wrong = err
        else:
            yield found
            continue
        assert wrong.kind in ("size", "text", "json", "depth", "shape")
        assert len(str(wrong)) < 300
        assert "\n" not in str(wrong)


def numbers_in(tree: Any) -> Iterator[float]:
    if isinstance(tree, dict):
        for value in tree.values():
            yield from numbers_in(value)
    elif isinstance(tree, list):
        for value in tree:
            yield from numbers_in(value)
    elif isinstance(tree, int | float) and not isinstance(tree, bool) and abs(tree) <= HUGE:
        yield tree


def check(profile: MqttProfile, found: Heard, payload: bytes) -> None:
    """Every value lies within bounds and stands in the payload, but for the profile's scale."""
    text = payload.decode(errors="replace").lower()
    for reading in found.readings:
        assert 1 <= reading.channel <= profile.channels
        assert reading.says_something
        if reading.relay_on is not None:
            assert any(word in text for word in (TRUE_WORDS if reading.relay_on else FALSE_WORDS))
        check_numbers(profile, reading, payload)


def numbers_said(payload: bytes) -> list[float]:
    """List the numbers of a payload; none of one that is a word."""
    try:
        return list(numbers_in(json.loads(payload)))
    except ValueError:
        try:
            return [float(payload)]
        except ValueError:
            return []


def check_numbers(profile: MqttProfile, reading: Reading, payload: bytes) -> None:
    said = numbers_said(payload)
    for quantity, value in profile.values.items():
        if quantity.is_flag:
            continue
        if quantity is Quantity.ENERGY_WH:
            raw = None if reading.energy_mwh is None else reading.energy_mwh / 1_000
        else:
            raw = getattr(reading, quantity.value)
        if raw is None:
            continue
        least, most = BOUNDS[quantity]
        assert math.isfinite(raw)
        assert least <= raw <= most
        # Energy is rounded to whole mWh.
        assert any(math.isclose(raw, number * value.scale, abs_tol=0.000_6) for number in said)


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=40, deadline=None)
@given(payload=st.binary(max_size=300))
def test_bytes(name: str, payload: bytes) -> None:
    codec, profile = CODECS[name]
    for found in heard(codec, payload):
        check(profile, found, payload)


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=70, deadline=None)
@given(tree=TREES)
@example(tree={"outlets": 10**310, "power_l2": 0})
def test_json_of_any_form(name: str, tree: Any) -> None:
    codec, profile = CODECS[name]
    payload = json.dumps(tree).encode()
    for found in heard(codec, payload):
        check(profile, found, payload)


def captures() -> list[str]:
    """Every payload of the golden captures."""
    lines = [
        line
        for path in sorted(CAPTURES.glob("*.txt"))
        for line in path.read_text(encoding="utf-8").splitlines()
        if line and not line.startswith((" ", "#")) and "/" in line
    ]
    return [line.partition(" ")[2] for line in lines]


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=70, deadline=None)
@given(data=st.data())
def test_captures_with_a_hole_or_a_splinter(name: str, data: st.DataObject) -> None:
    codec, profile = CODECS[name]
    payload = bytearray(data.draw(st.sampled_from(captures())).encode())
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, max(0, len(payload) - 1)))
        if data.draw(st.booleans()):
            del payload[place : place + data.draw(st.integers(1, 8))]
        else:
            payload[place:place] = data.draw(st.binary(min_size=1, max_size=3))
    for found in heard(codec, bytes(payload)):
        check(profile, found, bytes(payload))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("payload", "kind"),
    [
        (b"{" + b" " * MAX_PAYLOAD + b"}", "size"),
        (b"[" * 10_000, "depth"),
        (b'{"a":' * 300 + b"1" + b"}" * 300, "fine"),
        (b'{"ENERGY":' * 200 + b"}" * 200, "json"),
        (b"\xff\xfe{}", "text"),
        (b"", "any"),
        (b"null", "any"),
        (b'{"outlets":[{"channel":1,"power_w":' + b"9" * 5_000 + b"}]}", "any"),
    ],
)
def test_huge_and_deep(name: str, payload: bytes, kind: str) -> None:
    codec, _ = CODECS[name]
    kinds = set()
    for decode in codec.topics.values():
        try:
            found = decode(payload)
        except WrongPayload as err:
            kinds.add(err.kind)
        else:
            assert not found.readings
    if kind not in ("any", "fine"):
        # Topics of plain words refuse what is long before they look into it.
        assert kinds & {kind, "size", "text"}


@pytest.mark.parametrize("payload", [b"\x1c0", b"0\x00", b"\x0b12", b"1_000", b"0x10", b"1,5"])
def test_what_only_looks_like_a_number_is_none(payload: bytes) -> None:
    with pytest.raises(WrongPayload):
        number_in(parse_text(payload))


def test_blanks_around_a_number_are_not_part_of_it() -> None:
    assert number_in(parse_text(b" 12.5\r\n")) == 12.5
