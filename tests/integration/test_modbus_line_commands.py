"""``scan-bus`` and ``probe`` on simulated lines: real sockets, a real pseudo-terminal."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gateway.cli import run
from gateway.commands.failure import Exit
from gateway.config import ConverterBus, load_site
from tests.support.ports import free_ports
from tests.support.sim_program import Simulator, simulating

DEVICES = {
    "p14": ("line", 3, "pzem-014"),
    "d6": ("line", 4, "ddsu666"),
    "s6": ("line", 6, "sdm630"),
    "r4": ("net", 7, "r421a08"),
    "rc": ("net", 9, "relay-8-coil-0100"),
    "wc": ("net", 10, "waveshare-relay-d-contactor"),
    "io": ("net", 11, "waveshare-io-8"),
    "p16": ("far", 5, "pzem-016"),
    "i0": ("zero", 0, "waveshare-io-8"),
    "i255": ("last", 255, "waveshare-io-8"),
}
PATIENT = ("--timeout-ms", "10000")
"""For who answers: however long this machine keeps the answer waiting, it is not late."""
SITE = """\
site: {{id: t, name: T}}
state_dir: {folder}/state
buses:
  - {{id: line, kind: modbus-rtu, port: {folder}/tty, baud: 19200, timeout_ms: 10000}}
  - {{id: net, kind: modbus-tcp, host: 127.0.0.1, port: {net}}}
  - {{id: far, kind: modbus-rtu-tcp, host: 127.0.0.1, port: {far}, baud: 19200, timeout_ms: 10000}}
  - {{id: zero, kind: modbus-tcp, host: 127.0.0.1, port: {zero}, timeout_ms: 10000}}
  - {{id: last, kind: modbus-tcp, host: 127.0.0.1, port: {last}, timeout_ms: 10000}}
devices:
{devices}
stations:
  - id: s
    piles:
      - id: p
        outlets:
          - {{id: a, meter: {{device: p14}}, relay: {{device: r4, channel: 1}}}}
          - {{id: b, meter: {{device: d6}}, relay: {{device: r4, channel: 2}}}}
          - {{id: c, meter: {{device: s6, channel: 2}}, relay: {{device: wc, channel: 1}}}}
"""


class Place:
    """The site of the simulated devices, and where they are."""

    def __init__(self, folder: Path, ports: dict[str, int], simulator: Simulator) -> None:
        self.site = folder / "site.yaml"
        self.state = folder / "state"
        self.line = str(folder / "tty")
        self.net, self.zero, self.last = (
            f"127.0.0.1:{ports[bus]}" for bus in ("net", "zero", "last")
        )
        self.far = f"rtu://127.0.0.1:{ports['far']}"
        self.simulator = simulator

    def relays_moved(self) -> bool:
        self.simulator.stats()
        return any(record["kind"] == "relay" for record in self.simulator.records)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("line")
    ports = dict(zip(("net", "far", "zero", "last"), free_ports(4), strict=True))
    devices = "\n".join(
        f"  - {{id: {name}, bus: {bus}, unit: {unit}, profile: {kind}}}"
        for name, (bus, unit, kind) in DEVICES.items()
    )
    site = folder / "site.yaml"
    site.write_text(SITE.format(folder=folder, devices=devices, **ports))
    with simulating("--site", site) as simulator:
        simulator.wait_for("ready")
        yield Place(folder, ports, simulator)


@pytest.fixture(autouse=True)
def _no_site_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PILEGATE_SITE", raising=False)


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    status = run(arguments)
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def snippet_of(out: str) -> str:
    return "buses:" + out.partition("buses:")[2]


def test_a_line_is_scanned_at_several_speeds(
    place: Place, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, out, err = said(
        capsys, "scan-bus", place.line, "--units", "3-6", "--baud", "19200,9600",
        "--timeout-ms", "700",
    )  # fmt: skip
    assert status == Exit.OK, err
    lines = out.splitlines()
    assert lines[0].startswith(
        "unit 3 (19200 baud, N1): pzem-004t-v3, pzem-014 or pzem-016: voltage_v 2"
    )
    assert lines[1].startswith("unit 4 (19200 baud, N1): ddsu666: voltage_v 2")
    assert lines[2].startswith("unit 6 (19200 baud, N1): sdm630: voltage_v 2")
    # a pseudo-terminal has no speed: who was found is not asked again
    assert "19200 baud, N1: 4 units, at most" in err
    assert "9600 baud, N1: 1 unit, at most" in err
    path = tmp_path / "found.yaml"
    path.write_text(f"site: {{id: found}}\n{snippet_of(out)}stations: []\n")
    site = load_site(path)
    assert [(each.unit, each.profile.profile) for each in site.devices] == [
        (3, "pzem-004t-v3"),
        (4, "ddsu666"),
        (6, "sdm630"),
    ]
    (bus,) = site.buses
    assert (bus.kind, getattr(bus, "baud", 0)) == ("modbus-rtu", 19_200)


def test_a_connection_is_scanned_by_reads_alone(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ("--units", "7,9-11", *PATIENT)
    status, out, err = said(capsys, "scan-bus", place.net, *options)
    assert status == Exit.OK, err
    coils = "lc-relay-8, waveshare-relay-8, waveshare-relay-d-contactor, relay-8-coil-0100"
    assert [line for line in out.splitlines() if line.startswith("unit")] == [
        "unit 7: r421a08: relay_on 00000000",
        "unit 9: lc-relay-8, waveshare-relay-8 or relay-8-coil-0100: relay_on 00000000",
        f"unit 10: {coils} or waveshare-io-8: relay_on 00000000",
        "unit 11: waveshare-io-8: input_on 00000000",
    ]
    assert "unit: 7, profile: r421a08}\n" in snippet_of(out)
    assert not place.relays_moved()


def test_a_line_behind_a_converter_is_scanned_and_probed(
    place: Place, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ("--units", "5", "--baud", "19200", *PATIENT)
    status, out, err = said(capsys, "scan-bus", place.far, *options)
    assert status == Exit.OK, err
    assert out.startswith("unit 5: pzem-004t-v3, pzem-014 or pzem-016: voltage_v 2")
    path = tmp_path / "found.yaml"
    path.write_text(f"site: {{id: found}}\n{snippet_of(out)}stations: []\n")
    (bus,) = load_site(path).buses
    assert isinstance(bus, ConverterBus)
    assert (f"rtu://{bus.host}:{bus.port}", bus.baud) == (place.far, 19_200)
    status, out, err = said(capsys, "--site", str(place.site), "probe", "p16")
    assert status == Exit.OK, err
    assert "a line at 19200 baud, N1, profile pzem-016" in out.splitlines()[0]
    assert "voltage_v 2" in out


@pytest.mark.parametrize("unit", [0, 255])
def test_a_device_with_a_connection_of_its_own_is_found_and_probed(
    place: Place, unit: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target, name = (place.zero, "i0") if unit == 0 else (place.last, "i255")
    status, out, err = said(capsys, "scan-bus", target, "--units", f"{unit}", *PATIENT)
    assert status == Exit.OK, err
    assert out.startswith(f"unit {unit}: waveshare-io-8: input_on 00000000\n")
    path = tmp_path / "found.yaml"
    path.write_text(f"site: {{id: found}}\n{snippet_of(out)}stations: []\n")
    assert [each.unit for each in load_site(path).devices] == [unit]
    status, out, err = said(capsys, "--site", str(place.site), "probe", name)
    assert status == Exit.OK, err
    assert out.startswith(f"unit {unit} on {target}, profile waveshare-io-8")


def test_profiles_of_one_s_own_are_tried_first(
    place: Place, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = tmp_path / "own"
    own.mkdir()
    (own / "bells.yaml").write_text(
        "profile: bells\nname: Bells\nsource: a document\nchannels: 2\n"
        "values: {input_on: {space: discrete, address: 6, stride: 1}}\n"
    )
    status, out, err = said(
        capsys, "scan-bus", place.net, "--units", "11", "--profiles", str(own), *PATIENT
    )
    assert status == Exit.OK, err
    assert out.startswith("unit 11: bells or waveshare-io-8: input_on 00\n")
    assert f'profiles: ["{own}"]\n' in out
    path = tmp_path / "found.yaml"
    path.write_text(f"site: {{id: found}}\nprofiles:{out.partition('profiles:')[2]}stations: []\n")
    assert load_site(path).devices[0].profile.profile == "bells"


def test_a_scan_that_finds_nobody_says_what_to_try(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    status, out, err = said(capsys, "scan-bus", place.line, "--units", "20-21", "--baud", "19200")
    assert (status, out) == (Exit.FAILED, "")
    assert "pilegate: no unit of 20-21 answers on" in err
    assert "try --baud" in err
    status, _, err = said(capsys, "scan-bus", place.net, "--units", "20")
    assert status == Exit.FAILED
    assert "the line's speed that is set in the gateway" in err


def test_a_device_is_probed_by_its_name(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, err = said(capsys, "--site", str(place.site), "probe", "s6")
    assert status == Exit.OK, err
    head, columns, *rows = out.splitlines()
    assert head.startswith("unit 6 on ")
    assert head.endswith("tty at 19200 baud, N1, profile sdm630")
    assert columns.split() == ["channel", "function", "address", "raw", "decoded"]
    by_place = {(row.split()[0], row.split()[2]): row for row in rows}
    assert by_place["3", "4"].split()[1:4] == ["04", "4", "(0x0004)"]
    assert "voltage_v 2" in by_place["3", "4"]
    assert "0000 0000" in by_place["2", "348"]
    assert "energy_wh 0" in by_place["2", "348"]


def test_a_device_is_probed_by_its_place(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = said(
        capsys, "probe", place.net, "--unit", "10", "--profile", "waveshare-relay-d-contactor",
        *PATIENT,
    )  # fmt: skip
    assert status == Exit.OK
    assert out.splitlines()[2].split() == ["1", "02", "0", "(0x0000)", "0", "relay_on", "false"]


def test_what_does_not_fit_is_one_line(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, err = said(
        capsys, "probe", place.net, "--unit", "7", "--profile", "sdm120", *PATIENT
    )
    assert (status, out) == (Exit.FAILED, "")
    assert err == (
        f"pilegate: unit 7 on {place.net}: read input 0-31: answers illegal function: check "
        "profile sdm120; read input 70-73: answers illegal function: check profile sdm120\n"
    )


def test_who_does_not_answer_is_one_line(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    status, _, err = said(
        capsys, "probe", place.net, "--unit", "99", "--profile", "sdm120", "--timeout-ms", "200"
    )
    assert status == Exit.FAILED
    assert err == (
        f"pilegate: unit 99 on {place.net}: read input 0-31: does not answer within 200 ms: "
        "check its power, wiring and unit number, and the line's speed\n"
    )


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("/dev/no-such-port", "--unit", "1", "--profile", "sdm120"), "does not exist"),
        (("127.0.0.1:1", "--unit", "1", "--profile", "sdm120"), "refuses the connection"),
        (("127.0.0.1:1", "--profile", "sdm120"), "--unit is missing"),
        (("127.0.0.1:1", "--unit", "1"), "--profile is missing"),
        (("127.0.0.1:99999", "--unit", "1", "--profile", "sdm120"), "is neither a serial port"),
        (("127.0.0.1:1", "--unit", "1", "--profile", "sdm12"), "did you mean sdm120"),
        (("m1",), "no site file"),
    ],
)
def test_what_a_probe_can_t_begin_with(
    arguments: tuple[str, ...], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    status, out, err = said(capsys, "probe", *arguments)
    assert status in (Exit.FAILED, Exit.WRONG_INPUT)
    assert out == ""
    assert err.count("\n") == 1
    assert expected in err


@contextmanager
def nonsense() -> Iterator[str]:
    """Listen as something that answers every request with a function nobody asked for."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                while data := connection.recv(260):
                    connection.sendall(data[:7] + bytes((data[7] ^ 1,)) + data[8:])

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"127.0.0.1:{listener.getsockname()[1]}"
        thread.join(20)


def test_nonsense_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with nonsense() as target:
        status, out, err = said(
            capsys, "probe", target, "--unit", "1", "--profile", "sdm120", "--timeout-ms", "1000"
        )
    assert (status, out) == (Exit.FAILED, "")
    assert err.startswith(
        f"pilegate: unit 1 on {target}: read input 0-31: gives no good answer (wrong: function): "
    )
    assert err.count("\n") == 1


def test_a_scan_names_nonsense(capsys: pytest.CaptureFixture[str]) -> None:
    with nonsense() as target:
        status, out, err = said(capsys, "scan-bus", target, "--units", "1", "--timeout-ms", "1000")
    assert status == Exit.OK, err
    assert out.startswith("unit 1: gives no good answer (wrong: function): two devices may have ")
    assert "fits no known profile" not in out
    assert "buses:" not in out


@contextmanager
def guard_at(state: Path) -> Iterator[int]:
    """Listen where a guard would, in a process of that number: this one."""
    state.mkdir(exist_ok=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        path = state / "guard.sock"
        listener.bind(str(path))
        listener.listen()
        taken: list[socket.socket] = []
        thread = threading.Thread(target=_take, args=(listener, taken), daemon=True)
        thread.start()
        yield os.getpid()
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(20)
        for connection in taken:
            connection.close()
        path.unlink()


def _take(listener: socket.socket, taken: list[socket.socket]) -> None:
    while True:
        try:
            taken.append(listener.accept()[0])
        except OSError:
            return


def test_a_line_that_a_guard_holds_is_left_alone(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    site = ("--site", str(place.site))
    with guard_at(place.state) as pid:
        for arguments in (
            ("scan-bus", place.line, "--units", "3"),
            ("scan-bus", place.net.replace("127.0.0.1", "localhost"), "--units", "7"),
            ("probe", "s6"),
        ):
            status, out, err = said(capsys, *site, *arguments)
            assert (status, out) == (Exit.FAILED, "")
            assert err.startswith(f"pilegate: the guard (pid {pid}) holds ")
            assert err.count("\n") == 1
        # nobody says of which site the guard is, so the line may be its own
        state = ("--state-dir", str(place.state))
        status, out, err = said(capsys, *state, "scan-bus", place.line, "--units", "3")
        assert (status, out) == (Exit.WRONG_INPUT, "")
        assert err.startswith(f"pilegate: a guard (pid {pid}) runs here, and may hold ")
        assert "--site" in err
        # another line is nobody's
        status, _, err = said(capsys, *site, "scan-bus", "127.0.0.1:1", "--units", "3")
        assert "refuses the connection" in err


def test_a_port_that_another_program_holds_is_one_line(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    import fcntl  # noqa: PLC0415 - only here: what a program that opens a port for itself does

    holder = os.open(place.line, os.O_RDWR | os.O_NOCTTY)
    try:
        fcntl.flock(holder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        status, _, err = said(capsys, "scan-bus", place.line, "--units", "3")
    finally:
        os.close(holder)
    assert status == Exit.FAILED
    assert "is taken by another program" in err.splitlines()[-1]
