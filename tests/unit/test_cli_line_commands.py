"""``profile`` and what ``scan-bus`` and ``probe`` make of their arguments: no hardware."""

from __future__ import annotations

from pathlib import Path

import pytest

from drivers.modbus.likeness import Likeness
from drivers.modbus.survey import Found
from gateway.cli import run
from gateway.commands.failure import Exit
from gateway.commands.line import bus_at, is_place, where
from gateway.commands.scan_bus import Place, snippet, told, unit_numbers
from gateway.config import ConverterBus, RtuBus, TcpBus, load_profile
from gateway.config.profile_files import BUILT_IN
from gateway.core.errors import CorrectInput

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests" / "golden" / "modbus"


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    status = run(arguments)
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def transcript(folder: Path, text: str) -> str:
    path = folder / "t.txt"
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_a_profile_that_agrees(capsys: pytest.CaptureFixture[str]) -> None:
    file = str(ROOT / "config" / "profiles" / "pzem-016.yaml")
    told = str(GOLDEN / "documents" / "pzem-016.txt")
    status, out, err = said(capsys, "profile", "test", file, "--transcript", told)
    assert (status, err) == (Exit.OK, "")
    assert out == (
        "ok     pzem-016.txt:2: unit 1, function 04, read input 0-9: voltage_v 220.0, "
        "current_a 1.0, power_w 220.0, energy_mwh 0, frequency_hz 50.0, power_factor 1.0, "
        "alarm False\npzem-016: 1 exchanges, 7 values: all ok\n"
    )


def test_a_profile_that_does_not_agree(capsys: pytest.CaptureFixture[str]) -> None:
    told = str(GOLDEN / "documents" / "pzem-016.txt")
    status, out, err = said(capsys, "profile", "test", "sdm120", "-q", "--transcript", told)
    assert status == Exit.FAILED
    assert "wrong  pzem-016.txt:4: x voltage_v: expected 220.0, the profile makes " in out
    assert err.startswith("pilegate: profile sdm120 and ")
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("hello", "t.txt:1: expected >, <, !, ?, = or # at its beginning, not 'hello'"),
        ("", "t.txt: no exchange in it: write requests (>) and answers (<)"),
        ("> 01 04 00 00 00 0A *\n< zz", "t.txt:2: expected bytes in hex"),
    ],
)
def test_what_is_no_transcript(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, expected: str
) -> None:
    file = transcript(tmp_path, text)
    status, _, err = said(capsys, "profile", "test", "sdm120", "--transcript", file)
    assert status == Exit.WRONG_INPUT
    assert err.startswith(f"pilegate: {tmp_path}/{expected}")
    assert err.count("\n") == 1


def test_a_transcript_that_is_no_text(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "t.txt").write_bytes(b"\xff\xfe")
    file = str(tmp_path / "t.txt")
    status, _, err = said(capsys, "profile", "test", "sdm120", "--transcript", file)
    assert (status, err) == (Exit.WRONG_INPUT, f"pilegate: {file}: is no text in UTF-8\n")


@pytest.mark.parametrize(
    ("profile", "expected"),
    [
        ("sdm121", "no profile 'sdm121': name a file, or did you mean sdm120?"),
        ("./no.yaml", "no.yaml: no such profile file"),
    ],
)
def test_profiles_that_are_not_there(
    capsys: pytest.CaptureFixture[str], profile: str, expected: str
) -> None:
    told = str(GOLDEN / "documents" / "sdm120.txt")
    status, _, err = said(capsys, "profile", "test", profile, "--transcript", told)
    assert (status, err) == (Exit.WRONG_INPUT, f"pilegate: {expected}\n")


def test_a_profile_with_errors_names_its_lines(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "my.yaml").write_text("profile: my\nname: M\nsource: s\nchannels: 0\n")
    told = str(GOLDEN / "documents" / "sdm120.txt")
    file = str(tmp_path / "my.yaml")
    status, _, err = said(capsys, "profile", "test", file, "--transcript", told)
    assert status == Exit.WRONG_INPUT
    assert f"{file}:4: channels: " in err


def test_delivered_profiles_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = said(capsys, "profile", "list")
    assert status == Exit.OK
    names = {path.stem for path in (ROOT / "config" / "profiles").glob("*.yaml")}
    assert {line.split()[0] for line in out.splitlines()} == names
    assert "Chint DDSU666 meter, one phase" in out


@pytest.mark.parametrize(
    ("written", "numbers"),
    [("7", [7]), ("1-3", [1, 2, 3]), ("5, 1,2-3,2", [1, 2, 3, 5]), ("0,254-255", [0, 254, 255])],
)
def test_unit_numbers(written: str, numbers: list[int]) -> None:
    assert unit_numbers(written) == numbers


@pytest.mark.parametrize("written", ["", "0-256", "256", "3-1", "1-", "a", "1,,2", "-1"])
def test_what_are_no_unit_numbers(written: str) -> None:
    with pytest.raises(CorrectInput, match="--units: expected 1-247"):
        unit_numbers(written)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("--baud", "100"), "--baud: expected 300 to 921600, not '100'"),
        (("--baud", "9600,x"), "--baud: expected 300 to 921600, not '9600,x'"),
        (("--parity", "X"), "--parity: expected N, E or O, not 'X'"),
        (("--units", "9-1"), "--units: expected 1-247 or 1,5,10-20, not '9-1'"),
        (("--units", "0-9"), "--units: unit 0 means every device of a line, and none answers"),
    ],
)
def test_options_of_a_scan_that_are_wrong(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], expected: str
) -> None:
    status, _, err = said(capsys, "scan-bus", "/dev/none", *arguments)
    assert (status, err) == (Exit.WRONG_INPUT, f"pilegate: {expected}\n")


def test_a_port_without_its_folder_is_named() -> None:
    with pytest.raises(CorrectInput, match="'null' is no HOST:PORT: did you mean /dev/null"):
        bus_at("null", baud=9_600, parity="N", stop_bits=1, timeout_ms=None)


def test_a_reserved_number_is_told_and_gets_no_line() -> None:
    bus = bus_at("/dev/ttyUSB0", baud=9_600, parity="N", stop_bits=1, timeout_ms=None)
    fit = Likeness(load_profile(BUILT_IN / "waveshare-relay-8.yaml"), 0, ())
    place = Place(bus, Found(255, (fit,), "", is_understood=True))
    assert "unit 255 (9600 baud, N1), a reserved number: set it to one of 1 to 247" in told(place)
    assert list(snippet([place])) == []


@pytest.mark.parametrize(
    ("answering", "kept"),
    [((0,), [0]), ((255,), [255]), ((0, 255), [255]), ((0, 1, 2, 255), [1, 2])],
)
def test_a_device_with_a_connection_of_its_own_gets_one_line(
    answering: tuple[int, ...], kept: list[int]
) -> None:
    bus = bus_at("192.0.2.7", baud=9_600, parity="N", stop_bits=1, timeout_ms=None)
    fit = Likeness(load_profile(BUILT_IN / "sdm120.yaml"), 0, ())
    places = [Place(bus, Found(unit, (fit,), "", is_understood=True)) for unit in answering]
    assert not any("reserved" in told(place) for place in places)
    devices = [line for line in snippet(places) if "profile: sdm120" in line]
    assert [int(line.split("unit: ")[1].split(",")[0]) for line in devices] == kept


def test_places() -> None:
    def at(target: str) -> str:
        return where(bus_at(target, baud=2_400, parity="E", stop_bits=1, timeout_ms=None))

    assert at("/dev/ttyUSB0") == "/dev/ttyUSB0 at 2400 baud, E1"
    assert at("192.0.2.7") == "192.0.2.7:502"
    assert at("meter.example:5020") == "meter.example:5020"
    bus = bus_at("[2001:db8::1]:503", baud=9_600, parity="N", stop_bits=1, timeout_ms=7)
    assert isinstance(bus, TcpBus)
    assert (bus.host, bus.port, bus.timeout_ms) == ("2001:db8::1", 503, 7)
    bus = bus_at("rtu://192.0.2.7:8899", baud=2_400, parity="E", stop_bits=1, timeout_ms=None)
    assert isinstance(bus, ConverterBus)
    assert (bus.host, bus.port, bus.baud, bus.parity) == ("192.0.2.7", 8_899, 2_400, "E")
    assert where(bus) == "192.0.2.7:8899, a line at 2400 baud, E1"
    for target in ("rtu://192.0.2.7", "rtu:///dev/ttyUSB0"):
        with pytest.raises(CorrectInput, match="rtu://HOST:PORT"):
            bus_at(target, baud=2_400, parity="E", stop_bits=1, timeout_ms=None)
    assert isinstance(bus_at("./tty", baud=9_600, parity="N", stop_bits=1, timeout_ms=None), RtuBus)
    assert [is_place(each) for each in ("m1", "/dev/x", "a:1", "192.0.2.7")] == [
        False,
        True,
        True,
        True,
    ]
    for wrong in ("a b:1", "a:0", "a:70000", ":1", "a:b"):
        with pytest.raises(CorrectInput, match="is neither a serial port"):
            at(wrong)
