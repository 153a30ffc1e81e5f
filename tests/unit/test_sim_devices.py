"""Every shipped model answers as its documents say: register by register."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from gateway.core.errors import CorrectFiles
from simulators.mqtt.families import PLUGS
from simulators.mqtt.places import is_plug_profile, read_plug_profile
from simulators.profiles import read_profile
from tests.support.sim_world import ROOT, demo_bench

REF = ("net1", 1)
PZEM = ("net3", 11)
WAVESHARE = ("net3", 20)
DDS = ("net3", 30)
SDM = ("net3", 31)

PROFILES = sorted((ROOT / "config" / "profiles").glob("*.yaml"))


@pytest.mark.parametrize("path", PROFILES, ids=lambda path: path.stem)
def test_shipped_profiles_can_be_simulated(path: Path) -> None:
    if is_plug_profile(path):
        plug = read_plug_profile(path)
        assert plug.name == path.stem
        assert plug.family in PLUGS
        return
    profile = read_profile(path)
    assert profile.name == path.stem
    assert profile.values


def test_reference_module_in_one_read() -> None:
    bench = demo_bench()
    bench.do(0.0, plug="n1-3", load="kettle")
    assert bench.ask(*REF, "05 0002 FF00", 1.0) == "050002ff00"
    words = bench.words(*REF, "04 0000 002C", 3601.0)

    assert words[0] == 0b100
    assert words[1] == 0
    assert words[2] == 2300
    assert words[3] == 250
    assert words[4:14] == [0, 0, 1000, 0, 0, 0, 0, 0, 0, 0]
    assert words[14:24] == [0, 0, 23000, 0, 0, 0, 0, 0, 0, 0]
    assert words[24 + 4 : 24 + 6] == [0, pytest.approx(2300, abs=1)]


def test_reference_module_switches_many_in_one_write() -> None:
    bench = demo_bench()
    assert bench.ask(*REF, "0F 0000 000A 02 0503", 1.0) == "0f0000000a"
    assert bench.words(*REF, "04 0000 0001", 1.1) == [0b1100000101]
    assert bench.ask(*REF, "01 0000 000A", 1.1) == "01020503"
    assert bench.ask(*REF, "0F 0001 0002 01 02", 2.0) == "0f00010002"
    assert bench.words(*REF, "04 0000 0001", 2.1) == [0b1100000101]


@pytest.mark.parametrize(
    ("pdu", "answer"),
    [
        ("04 0000 003D", "8403"),  # longer than it reads
        ("04 0002 003C", "8402"),  # beyond its map
        ("04 002C 0001", "8402"),
        ("02 0000 0001", "8202"),
        ("01 0000 000B", "8102"),
        ("05 000A FF00", "8502"),
        ("05 0000 0001", "8503"),
        ("0F 0005 000A 02 FFFF", "8f02"),
        ("06 0001 0001", "8602"),
        ("10 0009 0002 04 0001 0001", "9002"),
        ("42", "c201"),
        ("2B 0E 01 00", "ab01"),
    ],
)
def test_reference_module_refuses(pdu: str, answer: str) -> None:
    bench = demo_bench()
    assert bench.ask(*REF, pdu, 1.0) == answer
    assert bench.relays() == []


def test_a_refused_write_changes_nothing() -> None:
    bench = demo_bench()
    # register 20 would be a limit, register 30 does not exist
    assert bench.ask(*REF, "10 001D 0002 04 0011 0011", 1.0) == "9002"
    assert bench.words(*REF, "03 0014 000A", 1.1) == [0] * 10


@pytest.mark.parametrize(("register", "limit"), [("000A", "0320"), ("0014", "04B0")])
def test_reference_module_keeps_its_own_limits(register: str, limit: str) -> None:
    bench = demo_bench()  # 8 A, 1200 W
    bench.ask(*REF, f"06 {register} {limit}", 0.0)
    bench.ask(*REF, "05 0000 FF00", 1.0)
    bench.do(2.0, plug="n1-1", load="kettle")
    assert bench.words(*REF, "04 0000 0002", 2.5) == [1, 0]
    bench.world.supervise("m1", 3.0)
    assert bench.words(*REF, "04 0000 0002", 4.0) == [1, 0]
    assert bench.words(*REF, "04 0000 0002", 4.6) == [1, 1]
    assert bench.words(*REF, "04 0000 0005", 4.7) == [0, 1, 2300, 250, 0]
    assert bench.relays()[-1] == ("n1-1", False, "module")
    bench.ask(*REF, "05 0000 0000", 5.0)
    assert bench.words(*REF, "04 0000 0002", 5.1) == [0, 0]


def test_a_short_excess_does_not_trip_the_module() -> None:
    bench = demo_bench()
    bench.ask(*REF, "06 000A 0320", 0.0)
    bench.ask(*REF, "05 0000 FF00", 1.0)
    for start_s in (2.0, 5.0):
        bench.do(start_s, plug="n1-1", load="kettle")
        for part in range(4):
            bench.world.supervise("m1", start_s + part * 0.5)
        bench.do(start_s + 1.9, unplug="n1-1")
        bench.world.supervise("m1", start_s + 2.5)
    assert bench.relays() == [("n1-1", True, "frame")]


def test_watchdog_opens_all_relays_of_the_module() -> None:
    bench = demo_bench()
    bench.ask(*REF, "06 0000 000A", 0.0)
    bench.ask(*REF, "0F 0000 000A 02 0300", 1.0)
    bench.world.supervise("m1", 11.0)
    assert len(bench.relays()) == 10
    bench.world.supervise("m1", 11.1)
    assert bench.relays()[10:] == [("n1-1", False, "watchdog"), ("n1-2", False, "watchdog")]
    bench.world.supervise("m1", 30.0)
    assert len(bench.relays()) == 12


def test_any_valid_frame_feeds_the_watchdog() -> None:
    bench = demo_bench()
    bench.ask(*REF, "06 0000 000A", 0.0)
    bench.ask(*REF, "05 0000 FF00", 1.0)
    for now_s in range(2, 60, 8):
        bench.ask(*REF, "04 0000 0001", now_s)
        bench.world.supervise("m1", now_s + 7.9)
    assert bench.relays() == [("n1-1", True, "frame")]


def test_pzem_has_the_low_word_first_and_resets_its_energy() -> None:
    bench = demo_bench()
    bench.ask(*WAVESHARE, "05 0000 FF00", 0.0)
    bench.do(1.0, plug="n3-1", load="kettle")
    words = bench.words(*PZEM, "04 0000 000A", 1.0 + 40 * 3600)

    assert words[0] == 2300
    assert words[1:3] == [10_000, 0]
    assert words[3:5] == [23_000, 0]
    assert words[5] + (words[6] << 16) == pytest.approx(92_000, abs=1)
    assert words[6] == 1
    assert words[7] == 500
    assert words[8] == 100
    assert words[9] == 0
    assert bench.ask(*PZEM, "42", 1.0 + 40 * 3600) == "42"
    assert bench.words(*PZEM, "04 0005 0002", 1.0 + 40 * 3600) == [0, 0]


def test_pzem_understands_few_functions() -> None:
    bench = demo_bench()
    assert bench.words(*PZEM, "03 0001 0002", 1.0) == [23_000, 1]
    assert bench.ask(*PZEM, "06 0001 07D0", 1.0) == "06000107d0"
    assert bench.words(*PZEM, "03 0001 0001", 1.0) == [2000]
    assert bench.ask(*PZEM, "10 0001 0001 02 0001", 1.0) == "9001"
    assert bench.ask(*PZEM, "05 0000 FF00", 1.0) == "8501"
    assert bench.ask(*PZEM, "04 0000 000B", 1.0) == "8403"


def test_waveshare_relays() -> None:
    bench = demo_bench()
    assert bench.ask(*WAVESHARE, "05 0000 FF00", 0.0) == "050000ff00"
    assert bench.ask(*WAVESHARE, "0F 0001 0002 01 03", 1.0) == "0f00010002"
    assert bench.ask(*WAVESHARE, "01 0000 0008", 2.0) == "010107"
    assert bench.ask(*WAVESHARE, "05 0001 5500", 3.0) == "0500015500"
    assert bench.ask(*WAVESHARE, "01 0000 0008", 4.0) == "010105"
    assert bench.ask(*WAVESHARE, "05 00FF 0000", 5.0) == "0500ff0000"
    assert bench.ask(*WAVESHARE, "01 0000 0008", 6.0) == "010100"
    assert bench.ask(*WAVESHARE, "04 0000 0001", 6.0) == "8401"
    assert bench.ask(*WAVESHARE, "05 0008 FF00", 6.0) == "8502"


def test_waveshare_flashes_on_by_its_own_timer() -> None:
    bench = demo_bench()
    assert bench.ask(*WAVESHARE, "05 0200 0032", 1.0) == "0502000032"
    assert bench.ask(*WAVESHARE, "01 0000 0008", 5.9) == "010101"
    bench.world.supervise("w1", 6.0)
    assert bench.ask(*WAVESHARE, "01 0000 0008", 6.1) == "010100"
    assert bench.relays() == [("n3-1", True, "frame"), ("n3-1", False, "module")]


def test_an_ordinary_write_ends_a_flash() -> None:
    bench = demo_bench()
    bench.ask(*WAVESHARE, "05 0200 0032", 1.0)
    bench.ask(*WAVESHARE, "05 0000 FF00", 2.0)
    bench.world.supervise("w1", 60.0)
    assert bench.ask(*WAVESHARE, "01 0000 0008", 60.0) == "010101"


def test_dds238_is_switched_by_function_16_only() -> None:
    bench = demo_bench()
    bench.do(0.0, plug="n4-1", load="kettle")
    assert bench.ask(*DDS, "06 001A 0001", 1.0) == "8601"
    assert bench.ask(*DDS, "10 001A 0001 02 0002", 1.0) == "9003"
    assert bench.ask(*DDS, "10 001A 0001 02 0001", 1.0) == "10001a0001"
    assert bench.words(*DDS, "03 001A 0001", 1.1) == [1]
    assert bench.words(*DDS, "03 000C 0003", 1.1) == [2300, 1000, 2300]
    assert bench.words(*DDS, "03 0000 0002", 1.0 + 3600) == [0, 230]
    assert bench.ask(*DDS, "04 000C 0001", 1.1) == "8401"
    assert bench.words(*DDS, "03 0015 0001", 1.1) == [0x0101]
    assert bench.ask(*DDS, "03 000C 0010", 1.1) == "8302"  # the last register is 1A


def test_sdm120_speaks_floats_with_the_high_word_first() -> None:
    bench = demo_bench()
    bench.ask(*WAVESHARE, "05 0002 FF00", 0.0)
    bench.do(1.0, plug="n4-2", load="kettle")

    def value(address: str, now_s: float) -> float:
        answer = bench.ask(*SDM, f"04 {address} 0002", now_s)
        assert answer is not None
        return float(struct.unpack(">f", bytes.fromhex(answer)[2:])[0])

    assert value("0000", 2.0) == pytest.approx(230)
    assert value("0006", 2.0) == pytest.approx(10)
    assert value("000C", 2.0) == pytest.approx(2300)
    assert value("001E", 2.0) == pytest.approx(1)
    assert value("0046", 2.0) == pytest.approx(50, abs=0.1)
    assert value("0048", 1.0 + 3600) == pytest.approx(2.3, rel=0.001)  # kWh
    assert bench.ask(*SDM, "04 004A 0002", 2.0) == "8402"


def test_nobody_answers_for_a_unit_that_is_not_there() -> None:
    bench = demo_bench()
    assert bench.ask("net1", 2, "04 0000 0001", 1.0) is None
    assert bench.ask("elsewhere", 1, "04 0000 0001", 1.0) is None


def test_a_broadcast_reaches_every_unit_of_its_bus() -> None:
    bench = demo_bench()
    bench.world.broadcast("net3", bytes.fromhex("05 0001 FF00"), 1.0, 1)
    assert bench.relays() == [("n3-2", True, "frame")]


def profile(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "p.yaml"
    path.write_text("profile: p\nname: P\nsource: s\nprotocol: modbus\n" + text)
    return path


@pytest.mark.parametrize(
    ("text", "line", "key"),
    [
        ("values: {volts: {space: input, address: 0}}", 5, "values.volts"),
        ("values:\n  power_w: {space: inputs, address: 0}", 6, "values.power_w.space"),
        ("values:\n  power_w: {space: input, address: -1}", 6, "values.power_w.address"),
        ("values:\n  power_w: {space: input}", 6, "values.power_w.address"),
        ("values:\n  power_w: {space: input, address: 0, type: u8}", 6, "values.power_w.type"),
        ("address_base: 1\nvalues: {power_w: {space: input, address: 0}}", 6, "address"),
        ("relay: {style: pulse, address: 0}", 5, "relay.style"),
        ("channels: true", 5, "channels"),
    ],
)
def test_bad_profiles_say_where(tmp_path: Path, text: str, line: int, key: str) -> None:
    with pytest.raises(CorrectFiles) as wrong:
        read_profile(profile(tmp_path, text))

    problem = wrong.value.problems[0]
    assert problem.line == line
    assert key in problem.key


SITE = """
site: {{id: t, name: T}}
profiles: [.]
buses: [{{id: b, kind: modbus-tcp, host: 127.0.0.1, port: 1}}]
devices: [{{id: d, bus: b, unit: 1, profile: p}}]
stations:
  - id: s
    piles: [{{id: n, module: {{device: d, channels: {channels}, outlets: "o{{channel}}"}}}}]
"""


def custom(tmp_path: Path, text: str, channels: str = "1-2") -> Path:
    profile(tmp_path, text)
    site = tmp_path / "site.yaml"
    site.write_text(SITE.format(channels=channels))
    return site


def test_addresses_that_count_from_one_bits_holes_and_offsets(tmp_path: Path) -> None:
    text = """
address_base: 1
channels: 2
read_across: 2
never_read: {input: [[31, 32]]}
values:
  temperature_c: {space: input, address: 1, type: s16, scale: 0.1, offset: -40}
  voltage_v: {space: input, address: 4, scale: 1}
  relay_on: {space: discrete, address: 10001, stride: 1}
  power_w: {space: input, address: 9, stride: 2, type: s32, scale: 1}
  current_a: {space: input, address: 30, stride: 2, type: u16, scale: 0.1}
relay: {style: register, address: 40001, stride: 1, on: 85, off: 170}
"""
    bench = demo_bench(custom(tmp_path, text))
    bench.do(0.0, plug="o2", load="kettle")
    at = ("b", 1)
    assert bench.ask(*at, "06 9C41 0055", 1.0) == "069c410055"
    assert bench.ask(*at, "06 9C41 0056", 1.0) == "8603"
    assert bench.words(*at, "03 9C40 0002", 1.1) == [170, 85]
    assert bench.ask(*at, "02 2710 0002", 1.1) == "020102"
    assert bench.words(*at, "04 0000 0004", 1.1) == [650, 0, 0, 230]
    assert bench.words(*at, "04 0008 0004", 1.1) == [0, 0, 0, 2300]
    assert bench.ask(*at, "04 0004 0001", 1.1) == "8402"  # wider than read_across
    assert bench.ask(*at, "04 001D 0003", 1.1) == "8402"  # touches what must never be read
    assert bench.words(*at, "04 001D 0001", 1.1) == [0]


@pytest.mark.parametrize(
    ("function", "on", "off", "bad"),
    [
        ("coil", "05 0001 0100", "05 0001 0200", "05 0001 FF00"),
        ("register", "06 0001 0100", "06 0001 0200", "06 0001 0001"),
    ],
)
def test_relays_by_command_code(tmp_path: Path, function: str, on: str, off: str, bad: str) -> None:
    text = f"""
channels: 2
values: {{relay_on: {{space: discrete, address: 0, stride: 1}}}}
relay: {{style: command, function: {function}, address: 0, stride: 1, on: 0x0100, off: 0x0200}}
"""
    bench = demo_bench(custom(tmp_path, text))
    assert bench.ask("b", 1, on, 1.0) == on.replace(" ", "").lower()
    assert bench.ask("b", 1, "02 0000 0002", 1.1) == "020102"
    refused = bench.ask("b", 1, bad, 1.2)
    assert refused is not None
    assert refused.endswith("03")
    bench.ask("b", 1, off, 2.0)
    assert bench.ask("b", 1, "02 0000 0002", 2.1) == "020100"


def test_values_beyond_their_type_saturate(tmp_path: Path) -> None:
    text = """
channels: 2
values:
  power_w: {space: input, address: 0, stride: 1, type: u16, scale: 0.01}
  current_a: {space: input, address: 4, stride: 1, type: s16, scale: 0.0001}
relay: {style: coil, address: 0}
"""
    bench = demo_bench(custom(tmp_path, text))
    bench.do(0.0, plug="o1", load="kettle")
    bench.ask("b", 1, "05 0000 FF00", 1.0)
    assert bench.words("b", 1, "04 0000 0001", 2.0) == [0xFFFF]
    assert bench.words("b", 1, "04 0004 0001", 2.0) == [0x7FFF]


@pytest.mark.parametrize(
    ("channels", "outlets"),
    [("1-2", ["o1", "o2"]), ("2", ["o2"]), ("[2, 1]", ["o2", "o1"]), ('"2,1"', ["o2", "o1"])],
)
def test_channels_of_a_module(tmp_path: Path, channels: str, outlets: list[str]) -> None:
    text = "channels: 2\nvalues: {power_w: {space: input, address: 0, stride: 1}}"
    assert [*demo_bench(custom(tmp_path, text, channels)).world.outlets] == outlets


def test_a_site_without_what_is_needed_says_so(tmp_path: Path) -> None:
    site = tmp_path / "site.yaml"
    site.write_text("site: {id: t}\nbuses: []\n")
    with pytest.raises(CorrectFiles, match="pilegate check"):
        demo_bench(site)


def test_a_profile_that_is_not_there_is_named_with_its_line(tmp_path: Path) -> None:
    site = tmp_path / "site.yaml"
    site.write_text(SITE.format(channels="1"))
    with pytest.raises(CorrectFiles, match=r"site.yaml:5: devices\[0\].profile: .*p.yaml"):
        demo_bench(site)
