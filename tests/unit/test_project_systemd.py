"""The units: known to systemd, guard protected from everything else, serve kept from devices."""

from __future__ import annotations

import configparser
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "systemd"
UNITS = sorted(FOLDER.glob("*.service"))
PROGRAM = "/opt/pilegate/bin/pilegate"


class _Unit(configparser.RawConfigParser):
    """A unit file; of a key that stands there several times, the last value counts."""

    def __init__(self, path: Path) -> None:
        super().__init__(strict=False, interpolation=None)
        self.optionxform = str  # type: ignore[assignment, method-assign]
        self.read_string(path.read_text(encoding="utf-8"))


def _unit(name: str) -> _Unit:
    return _Unit(FOLDER / f"{name}.service")


@pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed"
)
def test_systemd_accepts_the_units(tmp_path: Path) -> None:
    for unit in UNITS:
        text = unit.read_text(encoding="utf-8").replace(PROGRAM, "/bin/true")
        (tmp_path / unit.name).write_text(text, encoding="utf-8")
    result = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *sorted(tmp_path.iterdir())],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    ours = [line for line in result.stderr.splitlines() if "pilegate" in line]
    assert ours == []


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.stem)
def test_units_start_commands_that_exist(path: Path) -> None:
    commands = (ROOT / "gateway" / "cli.py").read_text(encoding="utf-8")
    words = _Unit(path)["Service"]["ExecStart"].split()
    assert words[:3] == [PROGRAM, "--site", "/etc/pilegate/site.yaml"]
    assert f'"{words[3]}":' in commands


def test_a_crash_loop_of_the_guard_ends_in_all_off() -> None:
    unit = _unit("pilegate-guard")
    assert unit["Unit"]["OnFailure"] == "pilegate-all-off.service"
    assert unit["Service"]["Restart"] == "always"
    # Without restarts running into the limit the unit would never be "failed".
    burst, interval_s = (int(unit["Unit"][f"StartLimit{key}"]) for key in ("Burst", "IntervalSec"))
    ready_s, restart_s = 10, int(unit["Service"]["RestartSec"])
    assert burst * (ready_s + restart_s) < interval_s


def test_the_guard_comes_first_when_something_is_short() -> None:
    guard, serve = (_unit(f"pilegate-{name}")["Service"] for name in ("guard", "serve"))
    assert guard["CPUSchedulingPolicy"] == "rr", "a busy API must not delay a cut-off"
    assert int(serve["Nice"]) > 0
    assert int(guard["CPUWeight"]) >= 10 * int(serve["CPUWeight"])
    assert int(guard["OOMScoreAdjust"]) < 0 < int(serve["OOMScoreAdjust"])
    assert "MemoryMax" not in guard


def test_what_faces_the_network_touches_no_device() -> None:
    serve = _unit("pilegate-serve")["Service"]
    assert serve["PrivateDevices"] == "yes"
    assert "DeviceAllow" not in serve
    assert serve["User"] != _unit("pilegate-guard")["Service"]["User"]


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.stem)
def test_every_unit_is_confined(path: Path) -> None:
    service = _Unit(path)["Service"]
    assert service["ProtectSystem"] == "strict"
    assert service["NoNewPrivileges"] == "yes"
    assert service["CapabilityBoundingSet"] == ""
    assert service["DevicePolicy"] == "closed"


def test_users_of_the_units_are_made() -> None:
    made = set(re.findall(r"^u (\S+)", (FOLDER / "pilegate.sysusers").read_text(), re.MULTILINE))
    assert {_Unit(path)["Service"]["User"] for path in UNITS} == made


def test_readme_installs_every_file() -> None:
    readme = (FOLDER / "README.md").read_text(encoding="utf-8")
    for path in FOLDER.iterdir():
        if path.name != "README.md":
            assert path.name in readme or (path in UNITS and "pilegate-*.service" in readme)
