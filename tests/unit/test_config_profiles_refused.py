"""Profiles that are wrong or odd: every error with file, line and key, all at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.config import Quantity
from gateway.config.profile_files import read_any_profile, read_profile
from gateway.core.errors import CorrectFiles
from tests.support.profile_text import BASE, load


def refused(tmp_path: Path, text: str) -> list[str]:
    with pytest.raises(CorrectFiles) as caught:
        load(tmp_path, text)
    return [str(problem).removeprefix(f"{tmp_path}/") for problem in caught.value.problems]


def with_value(line: str) -> str:
    return BASE.replace("relay: {", f"  {line}\nrelay: {{")


INPUTS = """\
profile: test
name: Test
source: a document
channels: 2
values:
  input_on: {space: discrete, address: 0, stride: 1}
"""


def test_a_board_of_inputs_has_nothing_else(tmp_path: Path) -> None:
    assert set(load(tmp_path, INPUTS).values) == {Quantity.INPUT_ON}
    alone = (
        "test.yaml:6: values.input_on: inputs stand alone: an outlet has none, so leave out "
        "either them or all the rest"
    )
    assert alone in refused(tmp_path, INPUTS + "relay: {style: coil, address: 0}\n")
    with_alarm = INPUTS + "  alarm: {space: discrete, address: 8, stride: 1}\n"
    assert refused(tmp_path, with_alarm) == [alone]
    shared = INPUTS.replace(", stride: 1", "")
    (said,) = refused(tmp_path, shared)
    assert said.startswith("test.yaml:6: values.input_on.stride: 0 gives all 2 channels the same")


BAD = {
    # one value
    "power: {space: input, address: 1}": "8: values.power: unknown key; did you mean power_w?",
    "power_w: {space: input, address: 10, stride: 1, scale: 1e300}": (
        "8: values.power_w.scale: expected a number up to 1000000, not 1e+300"
    ),
    "power_w: {space: input}": "8: values.power_w.address: is missing",
    "power_w: {space: inputs, address: 1, stride: 1}": (
        "8: values.power_w.space: expected coil, discrete, holding or input, not the text 'inputs'"
    ),
    "power_w: {space: input, address: x, stride: 1}": (
        "8: values.power_w.address: expected a whole number, not the text 'x'"
    ),
    "power_w: {space: input, address: 1.5, stride: 1}": (
        "8: values.power_w.address: expected a whole number, not 1.5"
    ),
    "power_w: {space: input, address: 10, strid: 1}": (
        "8: values.power_w.strid: unknown key; did you mean stride?"
    ),
    "power_w: {space: input, address: 10}": (
        "8: values.power_w.stride: 0 gives all 2 channels the same power_w: give its stride"
    ),
    "power_w: {space: input, address: 65535, stride: 1}": (
        "8: values.power_w.address: channel 2 ends at 65536 on the wire: the last address is 65535"
    ),
    "power_w: {space: coil, address: 10, stride: 1}": (
        "8: values.power_w.space: a coil is true or false: power_w is a number"
    ),
    "power_w: {space: input, address: 10, stride: 1, type: u32}": (
        "8: values.power_w.stride: input 11 is power_w (u32 at 11) as well as power_w (u32 at 10)"
    ),
    "power_w: {space: input, address: 3, stride: 4, type: u32}": (
        "8: values.power_w.address: input 4 is power_w (u32 at 3) as well as current_a (u16 at 4)"
    ),
    "power_w: {space: input, address: 5, stride: 1}": (
        "8: values.power_w.address: input 5 is power_w (u16 at 5) as well as current_a (u16 at 5)"
    ),
    "power_w: {space: input, address: 10, stride: 1, scale: 0}": (
        "8: values.power_w.scale: expected a number other than 0"
    ),
    "power_w: {space: input, address: 10, stride: 1, bit: 3}": (
        "8: values.power_w.bit: power_w is a number: a bit can only be relay_on or alarm"
    ),
    "power_w: {space: input, address: 10, stride: 1, invalid: [-1]}": (
        "8: values.power_w.invalid[0]: expected an unsigned pattern of 16 bits"
    ),
    "alarm: {space: input, address: 1, bit: 15, bit_stride: 1}": (
        "8: values.alarm.bit_stride: channel 2 would be bit 16: the highest is 15"
    ),
    "alarm: {space: input, address: 1, bit: 16}": (
        "8: values.alarm.bit: channel 2 would be bit 16: the highest is 15"
    ),
    "alarm: {space: input, address: 1, bit: 32}": (
        "8: values.alarm.bit: expected a number up to 31, not 32"
    ),
    "alarm: {space: input, address: 1, bit_stride: 1}": (
        "8: values.alarm.bit_stride: needs bit, the bit of channel 1"
    ),
    "alarm: {space: input, address: 1, scale: 2}": (
        "8: values.alarm.scale: alarm is true or false: remove it"
    ),
    "alarm: {space: input, address: 10, type: float32, bit: 0}": (
        "8: values.alarm.bit: a float32 has no bits of its own"
    ),
    "alarm: {space: discrete, address: 1, type: u16}": (
        "8: values.alarm.type: has no meaning for a discrete: remove it"
    ),
}


@pytest.mark.parametrize(("line", "expected"), BAD.items(), ids=range(len(BAD)))
def test_a_value_that_is_wrong(tmp_path: Path, line: str, expected: str) -> None:
    assert refused(tmp_path, with_value(line)) == [f"test.yaml:{expected}"]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("channels: 2", "channels: 0", "4: channels: expected a number from 1 up, not 0"),
        ("channels: 2", "channels: '2'", "4: channels: expected a whole number, not the text '2'"),
        ("channels: 2", "channel: 2", "4: channel: unknown key; did you mean channels?"),
        ("profile: test", "profile: other", "1: profile: the file is called test.yaml: give both"),
        ("profile: test", "profile: Te st", "1: profile: expected an id (small letters"),
        ("source: a document\n", "", "1: source: is missing"),
        ("name: Test", "name: ''", "2: name: expected text that is not empty, not"),
        ("name: Test", "name: true", "2: name: expected text, not true"),
        ("style: coil", "style: coils", "8: relay.style: expected coil, register, command, not"),
        ("style: coil, ", "", "8: relay: style is missing: it says which kind it is"),
        ("address: 0}", "address: 0, stride: 0}", "8: relay.stride: 0 gives all 2 channels one"),
        ("address: 0}", "address: 65535}", "8: relay.address: channel 2 ends at 65536"),
        ("address: 0}", "address: 0, on: 1}", "8: relay.on: unknown key; known: address, multiple"),
        (
            "{style: coil, address: 0}",
            "{style: register, address: 0, on: 0}",
            "8: relay.off: on and off are both 0: one must differ",
        ),
        (
            "{style: coil, address: 0}",
            "{style: register, address: 0, function: 5}",
            "8: relay.function: expected 6 or 16, not 5",
        ),
        (
            "relay: {",
            "max_read_registers: 1\nrelay: {",
            None,
        ),
        (
            "stride: 1, scale: 0.01}",
            "stride: 2, type: s32}\nmax_read_registers: 1",
            "7: values.current_a.type: takes 2 registers, but one read gives 1",
        ),
        (
            "channels: 2",
            "channels: 2\nnever_read: {input: [[1, 3], [5, 9]]}",
            "8: values.current_a.address: inside never_read 5 to 9 (on the wire)",
        ),
        (
            "channels: 2",
            "channels: 2\nnever_read: {holding: [[9, 5]]}",
            "5: never_read.holding[0]: expected [first, last] within 0 to 65535",
        ),
        (
            "channels: 2",
            "channels: 2\nnever_read: [[1, 2]]",
            "5: never_read: expected keys with values, not a list",
        ),
        (
            "channels: 2",
            "channels: 2\nmax_read_registers: 126",
            "5: max_read_registers: expected a number up to 125, not 126",
        ),
        (
            "channels: 2",
            "channels: 2\naddress_base: 1",
            "7: values.relay_on.address: expected an address from 1 up: address_base is 1",
        ),
        (
            "channels: 2",
            "channels: 2\nwatchdog: {address: 0, value: 0}",
            "5: watchdog.value: expected a number from 1 up, not 0",
        ),
        (
            "channels: 2",
            "channels: 2\nmodule_limits: [{limit: full.delay_s, address: 0}]",
            "5: module_limits[0].limit: a module can't hold 'full.delay_s'; known: overcurrent",
        ),
        (
            "channels: 2",
            "channels: 2\nmodule_limits: [{limit: overpower.above_w, address: 0, scale: 0.1}]",
            "5: module_limits[0].scale: a limit of 30000 does not fit into u16",
        ),
        (
            "channels: 2",
            (
                "channels: 2\nmodule_limits: [{limit: overpower.above_w, address: 0, type: u32, "
                "stride: 2}]"
            ),
            "5: module_limits[0].function: u32 takes 2 registers: write function: 16",
        ),
        (
            "channels: 2",
            (
                "channels: 2\nmodule_limits: [{limit: overpower.above_w, address: 0}]\n"
                "watchdog: {address: 1, value: 9}"
            ),
            (
                "6: watchdog.address: holding 1 would take the watchdog and overpower.above_w of "
                "channel 2"
            ),
        ),
        (
            "channels: 2",
            "channels: 2\nwatchdog: {address: 65536, value: 9}",
            "5: watchdog.address: is 65536 on the wire: the last address is 65535",
        ),
        (
            "channels: 2",
            "channels: 2\ndefaults: {limits: {overpower: {above: 5}}}",
            "5: defaults.limits.overpower.above: unknown key; did you mean above_w?",
        ),
    ],
)
def test_a_profile_that_is_wrong(tmp_path: Path, old: str, new: str, expected: str | None) -> None:
    text = BASE.replace(old, new, 1)
    assert text != BASE
    if expected is None:
        load(tmp_path, text)
        return
    problems = refused(tmp_path, text)
    assert any(problem.startswith(f"test.yaml:{expected}") for problem in problems), problems


def test_limits_that_collide_are_told_once(tmp_path: Path) -> None:
    limits = "module_limits:\n" + "".join(
        f"  - {{limit: {limit}, address: {address}, stride: 1}}\n"
        for limit, address in (("overcurrent.above_a", 1), ("overpower.above_w", 2))
    )
    many = BASE.replace("channels: 2", f"channels: 8\n{limits}", 1)
    assert refused(tmp_path, many) == [
        (
            "test.yaml:7: module_limits[1].address: holding 2 would take overpower.above_w and "
            "overcurrent.above_a of channel 2"
        )
    ]


def test_a_protocol_that_is_not_known(tmp_path: Path) -> None:
    path = tmp_path / "test.yaml"
    path.write_text(BASE.replace("channels: 2", "channels: 2\nprotocol: canopen"), "utf-8")
    with pytest.raises(CorrectFiles) as caught:
        read_any_profile(path)
    assert str(caught.value) == (
        f"{path}:5: protocol: expected modbus or mqtt, not the text 'canopen'"
    )


def test_all_problems_of_a_profile_come_at_once(tmp_path: Path) -> None:
    problems = refused(
        tmp_path,
        with_value("alarm: {space: input, address: 4, bit: 16}")
        .replace("profile: test", "profile: other")
        .replace("address: 0}", "address: 65535}"),
    )
    assert [problem.split(": ")[1] for problem in problems] == [
        "profile",
        "values.alarm.bit",
        "relay.address",
    ]


def test_a_profile_without_a_purpose_is_refused(tmp_path: Path) -> None:
    text = BASE[: BASE.index("values:")]
    assert refused(tmp_path, text) == [
        "test.yaml:1: neither values nor a relay: nothing to do with this device"
    ]


def test_odd_profiles_are_warned_of(tmp_path: Path) -> None:
    path = tmp_path / "test.yaml"
    path.write_text(
        BASE.replace("  relay_on: {space: coil, address: 0, stride: 1}\n", "")
        .replace("address: 4", "address: 30005")
        .replace("relay: {style: coil, address: 0}", "relay: {style: coil, address: 1}")
        .replace("channels: 2", "channels: 2\naddress_base: 1"),
        encoding="utf-8",
    )
    warnings = [str(warning) for warning in read_profile(path).warnings]
    assert warnings == [
        (
            f"{path}:8: relay: no relay_on among the values: whether the relay followed can't be "
            "read back"
        ),
        (
            f"{path}:7: values.current_a.address: 30005 looks like a document's 30001 or "
            "40001: the "
            "leading digit only names the space, so write 1 for it"
        ),
    ]
