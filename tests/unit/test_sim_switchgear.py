"""Meters, relay boards, contactors and inputs answer as their documents say."""

from __future__ import annotations

import struct
from argparse import Namespace
from pathlib import Path

import pytest

from gateway.core.errors import CorrectInput
from simulators.app import make_plan
from simulators.command_codes import orders_of
from tests.support.sim_answers import Loaded
from tests.support.sim_world import demo_bench


def floats(answer: bytes) -> list[float]:
    return [value[0] for value in struct.iter_unpack(">f", answer[2:])]


@pytest.mark.parametrize("name", ["pzem-014", "pzem-016"])
def test_pzem_with_rs485(name: str) -> None:
    meter = Loaded(name)
    answer = meter.ask("04 0000 000A")
    words = [word[0] for word in struct.iter_unpack(">H", answer[2:])]
    assert words[:5] == [2300, 2000, 0, 4600, 0]
    assert words[7:] == [500, 100, 0]
    assert meter.hex("04 0000 000B") == "8403"
    assert meter.hex("04 0000 000A", 3600)[12:16] == "0000"
    assert struct.unpack(">H", meter.ask("04 0005 0001")[2:])[0] == pytest.approx(460, abs=2)
    assert meter.hex("42") == "42"
    assert meter.hex("04 0005 0002", 0.0) == "040400000000"
    assert meter.hex("01 0000 0001") == "8101"


def test_ddsu666_measures_in_kw() -> None:
    meter = Loaded("ddsu666")
    found = floats(meter.ask("03 2000 0010"))
    assert found[:3] == pytest.approx([230.0, 2.0, 0.46])
    assert found[3:5] == [0.0, 0.0]
    assert found[5] == pytest.approx(1.0)
    assert found[7] == pytest.approx(50.0, abs=0.1)
    assert floats(meter.ask("03 4000 0002", 3600)) == pytest.approx([0.46], abs=0.002)
    assert meter.hex("04 2000 0002") == "8401"
    assert meter.hex("03 2000 0011") == "8303"


def test_sdm630_shows_each_phase() -> None:
    meter = Loaded("sdm630")
    found = floats(meter.ask("04 0000 0012"))
    assert found == pytest.approx([230, 230, 230, 2, 4, 6, 460, 920, 1380])
    energy_kwh = floats(meter.ask("04 015A 0006", 3600))
    assert energy_kwh == pytest.approx([0.46, 0.92, 1.38], rel=0.01)


def test_sdm230_is_an_sdm120_with_other_limits() -> None:
    meter = Loaded("sdm230")
    assert floats(meter.ask("04 000C 0002")) == pytest.approx([460.0])
    assert meter.hex("04 0000 0033") == "8403"


def test_a_clone_s_coils_go_on_with_0100_only() -> None:
    board = Loaded("relay-8-coil-0100")
    assert board.hex("05 0002 0100") == "0500020100"
    assert board.hex("01 0000 0008") == "010104"
    assert board.hex("05 0003 FF00") == "8503"
    assert board.hex("05 0002 0000") == "0500020000"
    assert board.hex("01 0000 0008") == "010100"
    assert board.hex("0F 0000 0008 01 FF") == "8f01"
    assert board.hex("05 0008 0100") == "8502"


def test_a_clone_s_registers_are_its_relays() -> None:
    board = Loaded("relay-8-register")
    assert board.hex("06 0007 0001") == "0600070001"
    assert board.hex("03 0000 0008") == "0310" + "0000" * 7 + "0001"
    assert board.hex("06 0007 0002") == "8603"
    assert board.hex("06 0007 0000") == "0600070000"
    assert board.hex("03 0007 0001") == "03020000"
    assert board.hex("01 0000 0008") == "8101"


def test_r421a08_takes_commands_and_shows_states() -> None:
    board = Loaded("r421a08")
    assert board.hex("06 0001 0100") == "0600010100"
    assert board.hex("03 0001 0008") == "03100001" + "0000" * 7
    assert board.hex("06 0001 0200") == "0600010200"
    assert board.hex("03 0001 0001") == "03020000"
    board.ask("06 0002 0300")
    assert board.hex("03 0002 0001") == "03020001"
    board.ask("06 0003 0400")  # latch: all others off
    assert board.hex("03 0001 0003") == "0306" + "0000" * 2 + "0001"
    board.ask("06 0004 0603")
    assert board.hex("03 0004 0001") == "03020001"
    assert board.hex("03 0004 0001", 3.0) == "03020001"  # it notices now that its time is over
    assert board.hex("03 0004 0001", 0.1) == "03020000"
    assert board.told[-1]["by"] == "module"
    for wrong in ("06 0001 0001", "06 0001 0101", "06 0001 0000", "06 0001 0700"):
        assert board.hex(wrong) == "8603"
    assert board.hex("06 0009 0100") == "8602"
    assert board.hex("06 0000 0100") == "8602"


def test_momentary_is_one_second() -> None:
    (order,) = orders_of(0x0500, 2, 8) or []
    assert (order.index, order.on, order.for_s) == (2, True, 1.0)


def contactor() -> Loaded:
    board = Loaded("waveshare-relay-d-contactor")
    assert board.hex("05 0000 FF00") == "050000ff00"
    return board


def test_an_auxiliary_contact_follows_its_contactor() -> None:
    board = contactor()
    assert board.hex("02 0000 0008") == "020101"
    assert board.hex("01 0000 0008") == "010101"
    assert board.hex("0F 0000 0002 01 02") == "0f00000002"
    assert board.hex("02 0000 0008") == "020102"


def test_a_welded_contactor_shows_itself_though_the_board_is_off() -> None:
    board = contactor()
    board.outlets[0].weld(True, 1.0)
    board.ask("05 0000 0000")
    assert board.hex("02 0000 0001") == "020101"
    assert board.hex("01 0000 0001") == "010100"
    board.outlets[0].weld(False, 5.0)
    assert board.hex("02 0000 0001", 5.0) == "020100"


def test_a_contactor_that_does_not_close_shows_itself_though_the_board_is_on() -> None:
    board = Loaded("waveshare-relay-d-contactor")
    board.outlets[0].stick_open(True, 0.0)
    board.ask("05 0000 FF00")
    assert board.hex("02 0000 0001") == "020100"
    assert board.hex("01 0000 0001") == "010101"


SITE = """
site: {id: t, name: T}
buses: [{id: n, kind: modbus-tcp, host: 127.0.0.1, port: 0}]
devices: [{id: io, bus: n, unit: 1, profile: waveshare-io-8}]
stations: []
"""


def test_inputs_are_moved_by_steps(tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("inputs") / "site.yaml"
    path.write_text(SITE)
    bench = demo_bench(path)
    at = ("n", 1)
    assert bench.ask(*at, "02 0000 0008", 1.0) == "020100"
    undo = bench.do(2.0, input="io", channel=3, on=True)
    bench.do(2.0, input="io", channel=8, on=True)
    assert bench.ask(*at, "02 0000 0008", 2.0) == "020184"
    assert undo is not None
    undo(3.0)
    assert bench.ask(*at, "02 0000 0008", 3.0) == "020180"
    assert bench.ask(*at, "02 0000 0009", 3.0) == "8203"
    assert bench.ask(*at, "05 0000 FF00", 3.0) == "8502"
    with pytest.raises(ValueError, match="io has no channel 9: it has 8"):
        bench.do(4.0, input="io", channel=9, on=True)
    with pytest.raises(ValueError, match="no device is called 'no'"):
        bench.do(4.0, input="no", on=True)


def test_a_scenario_names_an_input_that_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "site.yaml").write_text(SITE)
    scenario = tmp_path / "t.yaml"
    scenario.write_text(
        "scenario: t\ntitle: T\nsite: site.yaml\nduration_s: 5\n"
        "steps: [{at_s: 1, input: io, channel: 9, on: true}]\n"
    )
    arguments = Namespace(scenario=scenario, site=None, trace=None)
    with pytest.raises(CorrectInput, match="io has no channel 9: it has 8"):
        make_plan(arguments)
