"""Which profiles fit a device, by what simulated devices of each profile answer."""

from __future__ import annotations

import asyncio
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.modbus import frames
from drivers.modbus.frames import Request
from drivers.modbus.likeness import every_read, likeness, readings
from drivers.modbus.survey import Found, Survey, greetings
from drivers.modbus.visit import Heard, Visit
from gateway.commands.profile_file import known_profiles
from gateway.config import Profile, RtuBus, load_profile
from gateway.config.profile import CoilRelay
from gateway.core.ids import BusId
from tests.support.modbus_site import METER, REF10, profile
from tests.support.sim_answers import Loaded

PROFILES = Path(__file__).parents[2] / "config" / "profiles"
EVERY = known_profiles()
ALIKE = [
    {"pzem-004t-v3", "pzem-014", "pzem-016"},
    {"sdm120", "sdm230"},
    {"sdm630"},
    {"ddsu666"},
    {"dds238-2-zn-sr"},
    {"or-we-504"},
    {"pilegate-ref10"},
    {"waveshare-relay-8", "lc-relay-8", "relay-8-coil-0100"},
    {"waveshare-relay-16"},
    {"relay-8-register"},
    {"r421a08"},
    # a board with relays and inputs: what its inputs are wired to can't be read
    {
        "waveshare-relay-d-contactor",
        "waveshare-io-8",
        "waveshare-relay-8",
        "lc-relay-8",
        "relay-8-coil-0100",
    },
]


class Answers(Visit):
    """A visit to one simulated device (unit 5): nothing is opened."""

    def __init__(self, device: Loaded) -> None:
        super().__init__(RtuBus(id=BusId("b"), port="/dev/none"))
        self._device = device
        self.asked: list[bytes] = []

    async def ask(self, request: Request, *, turnaround_ms: int = 0) -> Heard:
        del turnaround_ms
        assert request.is_read
        self.asked.append(request.pdu)
        if request.unit != 5:
            return Heard(None, "does not answer")
        answer = self._device.ask(request.pdu, 0.1)
        verdict = frames.judge(request, 5, answer)
        if isinstance(verdict, frames.Accepted):
            return Heard(verdict.data, is_there=True)
        return Heard(None, "answers illegal address", is_there=True, is_declined=True)


def look(name: str, unit: int = 5) -> tuple[Found | None, Answers]:
    visit = Answers(Loaded(name))
    return asyncio.run(Survey(visit, EVERY).look(unit)), visit


@pytest.mark.parametrize("kind", EVERY, ids=lambda kind: kind.profile)
def test_a_device_is_known_by_what_it_answers(kind: Profile) -> None:
    found, _ = look(kind.profile)
    assert found is not None
    best = {fit.profile.profile for fit in found.best}
    expected = [names for names in ALIKE if kind.profile in names]
    if kind.profile == "waveshare-io-8":
        assert best == {"waveshare-io-8"}  # its outputs are not simulated
    else:
        assert best in expected


def test_a_known_device_is_asked_for_nothing_twice() -> None:
    found, visit = look("pilegate-ref10")
    assert found is not None
    assert found.best[0].points > 0
    asked = visit.asked[1:]  # the first is the greeting
    assert len(asked) == len(set(asked))


def test_nobody_is_asked_each_kind_of_read_once() -> None:
    found, visit = look("pilegate-ref10", unit=6)
    assert found is None
    assert [pdu[0] for pdu in visit.asked] == [4, 3, 1]


def test_what_keeps_to_the_protocol_comes_first() -> None:
    found, _ = look("relay-8-coil-0100")
    assert found is not None
    assert isinstance(found.fits[0].profile.relay, CoilRelay)
    assert found.fits[-1].profile.profile == "relay-8-coil-0100"


def test_greetings_are_the_shortest_reads_of_the_lowest_address() -> None:
    kinds = [profile(METER), profile(REF10), load_profile(PROFILES / "sdm120.yaml")]
    found = greetings(read for kind in kinds for read in every_read(kind))
    assert [(read.address, read.count) for read in found] == [(0, 5)]


def fits(words: list[int], **changes: object) -> bool:
    kind = profile(METER, **changes)
    (read,) = every_read(kind)
    data = b"".join(word.to_bytes(2, "big") for word in words)
    return likeness(kind, readings(read, read.request(1), data)) is not None


@pytest.mark.parametrize(
    ("words", "fit"),
    [
        ([2300, 1000, 0, 2300, 0], True),
        ([2300, 0, 0, 0, 0], True),
        ([0, 0, 0, 0, 0], False),  # no voltage anywhere
        ([790, 0, 0, 0, 0], False),
        ([2810, 0, 0, 0, 0], False),
        ([2300, 0, 1000, 0, 0], False),  # 65,536 A
        ([2300, 1000, 0, 23000, 0], False),  # ten times what voltage and current give
        ([2300, 0, 0, 80, 0], True),  # a few watts of nothing: the meter's own
    ],
)
def test_what_is_plausible(words: list[int], fit: bool) -> None:
    assert fits(words) is fit


@given(st.data())
def test_no_answer_does_more_than_not_fit(data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(EVERY))
    found = []
    for read in every_read(kind):
        request = read.request(1)
        size = request.answer_length - len(request.head)
        found += readings(read, request, data.draw(st.binary(min_size=size, max_size=size)))
    fit = likeness(kind, found)
    for reading in found:
        assert isinstance(reading.value, (int, float, bool, type(None)))
        assert reading.value is None or math.isfinite(reading.value)
    assert fit is None or len(fit.readings) == len(found)


def test_a_flag_in_a_register_is_0_or_1() -> None:
    alarm = {**METER["values"], "alarm": {"space": "input", "address": 5}}
    good = [2300, 0, 0, 0, 0]
    assert fits([*good, 0xFFFF], values=alarm)
    assert not fits([*good, 17], values=alarm)
    bits = {**METER["values"], "alarm": {"space": "input", "address": 5, "bit": 3}}
    assert fits([*good, 0b1000], values=bits)
    assert not fits([*good, 0b1_0000], values=bits)
