"""Late answers on a serial line: none is ever taken for another request's."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.modbus.polling import polling_of
from gateway.config import RtuBus, Site
from gateway.core.ids import BusId, OutletId
from gateway.guard.model import Sample, WriteResult
from tests.support.modbus_script import Line, Stage, frame, play
from tests.support.modbus_site import BOARD, REF10, Recorder, module_site, profile
from tests.support.virtual_loop import run_virtually

LINE = RtuBus(id=BusId("line"), port="/dev/none", baud=9_600, poll_ms=1_000)
KIND = profile(
    REF10,
    channels=2,
    values={
        "relay_on": {"space": "input", "address": 0, "bit": 0, "bit_stride": 1},
        "voltage_v": {"space": "input", "address": 2, "scale": 0.1},
        "current_a": {"space": "input", "address": 3, "stride": 1, "scale": 0.01},
    },
)
ASK = "> 01 04 00 00 00 05 *"
BARRIER = "> 01 04 00 00 00 01 *\n< 20ms 01 04 02 0000 *"
DONE, FAILED, DROPPED = WriteResult.DONE, WriteResult.FAILED, WriteResult.DROPPED


def modules(*units: int) -> Site:
    return module_site(LINE, *units, kind=KIND, outlets=2)


def says(unit: int, relays: int = 0, voltage_dv: int = 2_300) -> str:
    return f"{unit:02x} 04 0a {relays:04x} 0000 {voltage_dv:04x} 0000 0000 *"


def voltages(stage: Stage) -> list[float | None]:
    return [sample.voltage_v for name, sample in stage.recorder.samples if name == "m1-1"]


def test_an_answer_that_comes_during_the_next_read_is_not_its_answer() -> None:
    stage = play(
        LINE,
        modules(1),
        f"""
        {ASK}
        = 900ms
        > 01 04 00 00 00 01 *
        < 5ms {says(1, voltage_dv=9_999)}
        < 20ms 01 04 02 0000 *
        {ASK}
        < 20ms {says(1)}
        = 20ms
        """,
    )
    assert voltages(stage) == [230.0]
    assert stage.bus.stats().errors == {"length": 1}


def test_an_answer_that_comes_while_nobody_asks_is_counted_and_forgotten() -> None:
    stage = play(
        LINE,
        modules(1),
        f"""
        {ASK}
        = 300ms
        < {says(1, voltage_dv=9_999)}
        = 500ms
        {BARRIER}
        {ASK}
        < 20ms {says(1)}
        = 20ms
        """,
    )
    assert voltages(stage) == [230.0]
    assert stage.bus.stats().errors == {"unexpected": 1}


def test_a_barrier_that_is_not_answered_is_followed_by_one_of_another_shape() -> None:
    stage = play(
        LINE,
        modules(1),
        f"""
        {ASK}
        = 900ms
        > 01 04 00 00 00 01 *
        = 900ms
        > 01 04 00 00 00 03 *
        < {says(1, voltage_dv=9_999)}
        < 01 04 02 0000 *
        < 01 04 06 0000 0000 0000 *
        {ASK}
        < 20ms {says(1)}
        = 20ms
        """,
    )
    assert voltages(stage) == [230.0]


def test_a_late_read_during_the_next_off_is_not_its_echo() -> None:
    stage = play(
        LINE,
        modules(1),
        f"""
        {ASK}
        = 300ms
        ! cut m1-1
        > 01 05 00 00 00 00 *
        < {says(1, relays=1)}
        < 20ms 01 05 00 00 00 00 *
        {BARRIER}
        {ASK}
        < 20ms {says(1, relays=0)}
        = 20ms
        """,
    )
    assert stage.recorder.writes == [("m1-1", False, DONE)]
    assert stage.bus.stats().errors == {"function": 1}


def test_a_late_echo_of_the_last_off_is_not_believed() -> None:
    stage = play(
        LINE,
        modules(1),
        f"""
        {ASK}
        < {says(1)}
        = 20ms
        ! cut m1-1
        > 01 05 00 00 00 00 *
        = 200ms
        ! cut m1-1
        > 01 05 00 00 00 00 *
        < 01 05 00 00 00 00 *   # of the first one
        {BARRIER}
        {ASK}
        < 20ms {says(1, relays=1)}   # the relay is still on
        = 20ms
        """,
    )
    assert stage.recorder.writes == [("m1-1", False, FAILED), ("m1-1", False, FAILED)]


def test_an_off_that_cannot_be_read_back_is_not_believed_either() -> None:
    kind = profile(
        KIND.model_dump(exclude_none=True),
        values={
            "voltage_v": {"space": "input", "address": 2, "scale": 0.1},
            "frequency_hz": {"space": "input", "address": 3},
        },
    )
    stage = play(
        LINE,
        module_site(LINE, 1, kind=kind, outlets=2),
        """
        > 01 04 00 02 00 02 *
        = 300ms
        ! cut m1-1
        > 01 05 00 00 00 00 *
        < 01 05 00 00 00 00 *
        = 20ms
        """,
    )
    assert stage.recorder.writes == [("m1-1", False, FAILED)]


def test_another_units_late_answer_is_not_this_ones() -> None:
    stage = play(
        LINE,
        modules(1, 2),
        f"""
        {ASK}
        > 02 04 00 00 00 05 *
        < 5ms {says(1, voltage_dv=9_999)}
        < 20ms {says(2)}
        = 700ms
        {BARRIER}
        {ASK}
        < 20ms {says(1)}
        > 02 04 00 00 00 05 *
        < 20ms {says(2)}
        """,
    )
    assert voltages(stage) == [230.0]
    assert stage.bus.stats().errors == {"unit": 1}


def test_an_answer_that_comes_twice_makes_its_unit_prove_itself() -> None:
    stage = play(
        LINE,
        modules(1),
        f"""
        {ASK}
        < {says(1)}
        < 1ms {says(1, voltage_dv=9_999)}
        = 900ms
        {BARRIER}
        {ASK}
        < 20ms {says(1)}
        = 20ms
        """,
    )
    assert voltages(stage) == [230.0, 230.0]


def test_a_second_answer_glued_to_the_first_is_not_taken() -> None:
    both = frame(says(1)) + frame(says(1, voltage_dv=9_999))
    stage = play(LINE, modules(1), f"{ASK}\n< {both.hex()}\n= 20ms")
    assert voltages(stage) == [230.0]
    assert stage.bus.stats().errors == {"unexpected": 1}


def test_no_on_is_sent_to_a_device_that_owes_an_answer() -> None:
    stage = play(
        LINE,
        modules(1),
        f"""
        {ASK}
        < {says(1)}
        = 900ms
        {ASK}
        = 200ms
        ! on m1-1
        = 500ms
        {BARRIER}
        > 01 05 00 00 ff 00 *
        < 20ms 01 05 00 00 ff 00 *
        {ASK}
        < {says(1, relays=1)}
        """,
    )
    assert stage.recorder.writes == [("m1-1", True, DONE)]


def test_a_device_with_one_shape_of_answer_is_left_alone_for_a_while() -> None:
    stage = play(
        LINE,
        module_site(LINE, 1, kind=profile(BOARD), outlets=2),
        """
        > 01 01 00 00 00 02 *
        = 1800ms
        < 01 01 01 03 *
        = 100ms
        > 01 01 00 00 00 02 *
        < 20ms 01 01 01 00 *
        = 800ms
        > 01 01 00 00 00 02 *
        < 20ms 01 01 01 02 *
        = 20ms
        """,
    )
    assert [sample.relay_on for _, sample in stage.recorder.samples] == [False, False, False, True]


def test_a_device_that_declines_to_be_read_in_parts_comes_back() -> None:
    barriers = "".join(
        f"> 01 04 00 00 00 0{count} *\n< 01 84 03 *\n= 900ms\n" for count in (1, 3, 4)
    )
    stage = play(
        LINE,
        modules(1),
        f"{ASK}\n= 900ms\n{barriers}{ASK}\n< 20ms {says(1)}\n= 20ms",
    )
    assert voltages(stage) == [230.0]
    assert not [detail for _, _, detail in stage.recorder.devices if detail != "answers"]


def test_cut_offs_do_not_keep_a_device_suspect() -> None:
    stage = play(
        LINE,
        module_site(LINE, 1, kind=profile(BOARD), outlets=2),
        """
        > 01 01 00 00 00 02 *
        = 900ms
        ! cut m1-1
        > 01 05 00 00 00 00 *
        < 01 05 00 00 00 00 *
        = 900ms
        ! cut m1-1
        > 01 05 00 00 00 00 *
        < 01 05 00 00 00 00 *
        = 400ms
        ! cut m1-1
        > 01 05 00 00 00 00 *
        < 01 05 00 00 00 00 *
        > 01 01 00 00 00 02 *
        < 01 01 01 00 *
        = 20ms
        """,
    )
    results = [result for _, _, result in stage.recorder.writes]
    assert results == [FAILED, FAILED, DONE]


# Reads that can be confused: registers 3, 4, 30 or 31 alone, 0 and 1, 3 and 4 or 30 and 31
# together, and barriers. Each register but the relays' holds which request asked for it, and its
# own address.
RELAYS = 1
WIDE = profile(
    REF10,
    channels=2,
    read_across=0,
    values={
        "voltage_v": {"space": "input", "address": 0, "scale": 0.1},
        "relay_on": {"space": "input", "address": RELAYS, "bit": 0, "bit_stride": 1},
        "current_a": {"space": "input", "address": 3, "stride": 1, "scale": 0.0001},
        "power_w": {"space": "input", "address": 30, "stride": 1, "scale": 0.1},
        "energy_wh": {"space": "input", "address": 40, "stride": 2, "type": "u16", "poll": "slow"},
    },
)
ADDRESSES = 64
FIRST_ADDRESS = {"voltage_v": 0, "current_a": 3, "power_w": 30, "energy_mwh": 40}
PER_DIGIT = {"voltage_v": 0.1, "current_a": 0.0001, "power_w": 0.1, "energy_mwh": 1_000}
STRIDE = {"voltage_v": 0, "current_a": 1, "power_w": 1, "energy_mwh": 2}


class Slow:
    """A unit that does in order what it is told, each thing as late as it is to be, or never."""

    def __init__(self, line: Line) -> None:
        self._line = line
        self._free_s = dict.fromkeys((1, 2), 0.0)
        self.asked = dict.fromkeys((1, 2), 0)
        self.relays = dict.fromkeys((1, 2), 0b11)

    def ask(self, sent: bytes, delay_ms: int | None) -> None:
        unit = sent[0]
        self.asked[unit] += 1
        if delay_ms is not None:
            loop = asyncio.get_running_loop()
            # in order; a millisecond apart, as bytes don't overtake each other
            at_s = max(loop.time() + delay_ms / 1_000, self._free_s[unit] + 0.001)
            self._free_s[unit] = at_s
            loop.call_at(at_s, self._do, sent, self.asked[unit])

    def _do(self, sent: bytes, number: int) -> None:
        unit = sent[0]
        if sent[1] == 5:
            self._switch(unit, 1 << sent[3], on=sent[4] == 0xFF)
            answer = frame(sent[:6].hex() + "*")
        elif sent[1] == 15:
            self._switch(unit, ((1 << sent[5]) - 1) << sent[3], on=False)
            answer = frame(sent[:6].hex() + "*")
        else:
            first, count = int.from_bytes(sent[2:4], "big"), int.from_bytes(sent[4:6], "big")
            words = [
                self.relays[unit] if at == RELAYS else number * ADDRESSES + at
                for at in range(first, first + count)
            ]
            data = "".join(f"{word:04x}" for word in words)
            answer = frame(f"{unit:02x} 04 {2 * count:02x} {data} *")
        if self._line.on_bytes is not None:
            self._line.on_bytes(answer)

    def _switch(self, unit: int, coils: int, *, on: bool) -> None:
        self.relays[unit] = self.relays[unit] | coils if on else self.relays[unit] & ~coils


@dataclass
class Doubter(Recorder):
    """Sees that a value is its own, of the last request, and that what is DONE was done."""

    slow: Slow = field(init=False)
    wrong: list[str] = field(default_factory=list)

    def on_sample(self, outlet_id: OutletId, sample: Sample) -> None:
        super().on_sample(outlet_id, sample)
        unit, channel = int(outlet_id[1]), int(outlet_id[3])
        number = self.slow.asked[unit]
        for name, first in FIRST_ADDRESS.items():
            value = getattr(sample, name)
            expected = number * ADDRESSES + first + (channel - 1) * STRIDE[name]
            if value is not None and round(value / PER_DIGIT[name]) != expected:
                self.wrong.append(f"{outlet_id}: {name} of {sample} is not of request {number}")
        is_on = bool(self.slow.relays[unit] & 1 << channel - 1)
        if sample.relay_on not in (None, is_on):
            self.wrong.append(f"{outlet_id}: relay of {sample} is not of request {number}")

    def on_write(self, outlet_id: OutletId, wanted_on: bool, result: WriteResult) -> None:
        super().on_write(outlet_id, wanted_on, result)
        is_on = bool(self.slow.relays[int(outlet_id[1])] & 1 << int(outlet_id[3]) - 1)
        if result is DONE and is_on is not wanted_on:
            self.wrong.append(f"{outlet_id}: {wanted_on} is not done")


# up to HOLD_MS: an answer later than that is taken as lost (README.md)
delays = st.one_of(
    st.integers(0, 60), st.integers(0, 1_900), st.sampled_from([130, 140, 150, 160]), st.none()
)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.tuples(
            delays, st.sampled_from(["", "", "off", "cut", "on"]), st.integers(1, 2), st.booleans()
        ),
        min_size=4,
        max_size=60,
    ),
    st.sampled_from([0, 100, 1_000]),
)
def test_whatever_comes_late_nothing_is_taken_for_something_else(
    script: list[tuple[int | None, str, int, bool]], poll_ms: int
) -> None:
    async def main() -> None:
        bus = RtuBus(id=BusId("line"), port="/dev/none", baud=9_600, poll_ms=poll_ms)
        doubter = Doubter()
        stage = Stage(bus, module_site(bus, 1, 2, kind=WIDE, outlets=2), doubter)
        doubter.slow = Slow(stage.line)
        owner = asyncio.create_task(stage.bus.run())
        for delay_ms, call, channel, is_quick in script:
            sent = await stage.line.sent.get()
            outlet = OutletId(f"m{sent[0]}-{channel}")
            if call == "on":
                stage.bus.switch_on(outlet, 60_000)
            elif call:
                stage.bus.switch_off(outlet, urgent=call == "cut")
            doubter.slow.ask(sent, 5 if is_quick else delay_ms)
        owner.cancel()
        await asyncio.wait([owner])
        assert not doubter.wrong

    run_virtually(main())


def test_the_reads_of_that_test_can_be_confused() -> None:
    bus = RtuBus(id=BusId("line"), port="/dev/none", baud=9_600, poll_ms=0)
    module = module_site(bus, 1, kind=WIDE, outlets=2)
    ladder = polling_of(bus, module).ladders[module.devices[0].id]
    asked = [*ladder.whole, *ladder.fast, *ladder.lead(frozenset({OutletId("m1-1")}))]
    shapes: dict[bytes, set[int]] = {}
    for read in asked:
        shapes.setdefault(read.request(1).head, set()).add(read.address)
    assert max(len(addresses) for addresses in shapes.values()) > 1
