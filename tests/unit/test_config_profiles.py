"""Profiles: those delivered describe real hardware, and what a profile says is what is loaded."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.config import Quantity, Space, ValueType, WordOrder, load_profile
from gateway.config.profile import CoilRelay, CommandRelay, ModuleLimit, RegisterRelay
from gateway.config.profile_files import BUILT_IN, read_profile
from tests.support.profile_text import BASE, load

DELIVERED = sorted(
    path.stem
    for path in BUILT_IN.glob("*.yaml")
    if "protocol: mqtt" not in path.read_text(encoding="utf-8")
)


def test_the_issue_s_profiles_are_delivered() -> None:
    wanted = {"pilegate-ref10", "pzem-004t-v3", "waveshare-relay-8", "dds238-2-zn-sr", "sdm120"}
    assert wanted <= set(DELIVERED)


@pytest.mark.parametrize("name", DELIVERED)
def test_every_delivered_profile_loads_without_a_warning(name: str) -> None:
    loaded = read_profile(BUILT_IN / f"{name}.yaml")
    assert loaded.profile.profile == name
    assert loaded.warnings == ()
    assert loaded.profile.address_base == 0
    is_inputs = set(loaded.profile.values) == {Quantity.INPUT_ON}
    assert loaded.profile.is_meter or loaded.profile.relay is not None or is_inputs


def test_reference_module_has_the_map_of_its_document() -> None:
    profile = load_profile(BUILT_IN / "pilegate-ref10.yaml")
    values = profile.values
    first_and_last = {
        quantity.value: (value.address_of(1), value.address_of(10), value.bit_of(10))
        for quantity, value in values.items()
    }
    assert first_and_last == {
        "relay_on": (0, 0, 9),
        "alarm": (1, 1, 9),
        "voltage_v": (2, 2, None),
        "temperature_c": (3, 3, None),
        "current_a": (4, 13, None),
        "power_w": (14, 23, None),
        "energy_wh": (24, 42, None),
    }
    assert values[Quantity.ENERGY_WH].width == 2
    assert isinstance(profile.relay, CoilRelay)
    assert profile.relay.multiple
    assert [(limit.limit, limit.address_of(10)) for limit in profile.module_limits] == [
        ("overcurrent_instant.above_a", 19),
        ("overpower.above_w", 29),
    ]
    assert profile.watchdog is not None
    assert profile.watchdog.timeout_ms == 10_000
    assert (profile.max_read_registers, profile.turnaround_ms) == (60, 5)


def test_pzem_counts_in_low_words_first() -> None:
    values = load_profile(BUILT_IN / "pzem-004t-v3.yaml").values
    assert values[Quantity.CURRENT_A].word_order is WordOrder.LOW_FIRST
    assert values[Quantity.POWER_W].type is ValueType.U32
    assert max(value.address + value.width for value in values.values()) == 10


def test_dds238_is_written_with_function_16() -> None:
    relay = load_profile(BUILT_IN / "dds238-2-zn-sr.yaml").relay
    assert isinstance(relay, RegisterRelay)
    assert (relay.address, relay.function, relay.on, relay.off) == (0x1A, 16, 1, 0)


def test_waveshare_reads_its_coils_back() -> None:
    profile = load_profile(BUILT_IN / "waveshare-relay-8.yaml")
    assert profile.values[Quantity.RELAY_ON].space is Space.COIL
    assert profile.values[Quantity.RELAY_ON].address_of(8) == 7
    assert not profile.is_meter


def test_a_three_phase_meter_is_three_outlets() -> None:
    profile = load_profile(BUILT_IN / "sdm630.yaml")
    third = {quantity.value: value.address_of(3) for quantity, value in profile.values.items()}
    assert third == {
        "voltage_v": 4,
        "current_a": 10,
        "power_w": 16,
        "power_factor": 34,
        "frequency_hz": 70,
        "energy_wh": 350,
    }


def test_clones_of_relay_boards_have_three_command_styles() -> None:
    names = ("relay-8-coil-0100", "relay-8-register", "r421a08")
    coil, register, command = (load_profile(BUILT_IN / f"{name}.yaml").relay for name in names)
    assert isinstance(coil, CommandRelay)
    assert (coil.space, coil.address, coil.on, coil.off) == (Space.COIL, 0, 0x0100, 0)
    assert isinstance(register, RegisterRelay)
    assert (register.function, register.address, register.on, register.off) == (6, 0, 1, 0)
    assert isinstance(command, CommandRelay)
    assert (command.space, command.on, command.off) == (Space.HOLDING, 0x0100, 0x0200)
    assert command.address == 1


def test_a_contactor_is_on_when_its_auxiliary_contact_says_so() -> None:
    profile = load_profile(BUILT_IN / "waveshare-relay-d-contactor.yaml")
    assert profile.relay is not None
    assert profile.relay.space is Space.COIL
    assert profile.values[Quantity.RELAY_ON].space is Space.DISCRETE


def test_addresses_that_count_from_1_are_those_of_the_wire_once_loaded(tmp_path: Path) -> None:
    profile = load(
        tmp_path,
        """\
profile: test
name: Test
source: a document
address_base: 1
channels: 3
never_read: {holding: [[101, 102]]}
values:
  relay_on: {space: discrete, address: 1, stride: 1}
  power_w: {space: holding, address: 5, stride: 2, type: float32, word_order: low_first}
relay: {style: register, address: 21, "on": 0x00FF, "off": 7, function: 16}
module_limits: [{limit: overpower.above_w, address: 31, type: u32, function: 16, stride: 2}]
watchdog: {address: 41, unit: ms, value: 2500}
""",
    )
    assert profile.address_base == 0
    assert profile.values[Quantity.POWER_W].address_of(3) == 8
    assert profile.values[Quantity.RELAY_ON].address == 0
    assert profile.relay is not None
    assert profile.relay.address_of(3) == 22
    assert profile.module_limits[0].address == 30
    assert profile.watchdog is not None
    assert (profile.watchdog.address, profile.watchdog.timeout_ms) == (40, 2500)
    assert profile.never_read == {Space.HOLDING: ((100, 101),)}


@pytest.mark.parametrize(
    ("relay", "space"),
    [
        ("{style: command, function: coil, address: 0, on: 0x0100, off: 0}", Space.COIL),
        ("{style: command, function: register, address: 1, on: 256, off: 512}", Space.HOLDING),
    ],
)
def test_relays_by_command_code(tmp_path: Path, relay: str, space: Space) -> None:
    found = load(tmp_path, BASE.replace("{style: coil, address: 0}", relay)).relay
    assert isinstance(found, CommandRelay)
    assert (found.on, found.space) == (0x0100, space)


def test_module_limits_round_down_and_not_by_a_binary_fraction() -> None:
    limit = ModuleLimit(limit="overcurrent_instant.above_a", address=0, scale=0.01)
    assert (limit.raw(12.0), limit.raw(0.29), limit.raw(8.019)) == (1200, 29, 801)
