"""The way from a datasheet to a first reading, as the README of the Modbus room tells it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from drivers.modbus import frames
from drivers.modbus.likeness import Reading, every_read, readings
from gateway.cli import run
from gateway.commands.probe import decoded, raw
from gateway.commands.profile_file import known_profiles
from gateway.config import Profile, load_profile

ROOT = Path(__file__).parents[2]
README = (ROOT / "drivers" / "modbus" / "README.md").read_text(encoding="utf-8")
LIST = (ROOT / "config" / "profiles" / "README.md").read_text(encoding="utf-8")


def block(language: str, beginning: str) -> str:
    found = re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    return next(str(text) for text in found if text.startswith(beginning))


@pytest.fixture
def my_meter(tmp_path: Path) -> Path:
    path = tmp_path / "my-meter.yaml"
    path.write_text(block("yaml", "profile: my-meter"), encoding="utf-8")
    return path


def test_the_example_s_profile_makes_of_the_example_what_it_says(
    my_meter: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    example = tmp_path / "example.txt"
    example.write_text(block("text", "# The example"), encoding="utf-8")
    status = run(["profile", "test", str(my_meter), "--transcript", str(example)])
    out = capsys.readouterr().out
    assert status == 0, out
    assert "not shown by any answer: current_a, power_w, energy_mwh" in out


def _readings(kind: Profile, words: dict[int, str]) -> list[Reading]:
    """Decode an answer in which these registers are not 0."""
    found = []
    for read in every_read(kind):
        data = b"".join(
            bytes.fromhex(words.get(address, "0000"))
            for address in range(read.address, read.address + read.count)
        )
        found += readings(read, read.request(1), data)
    return found


def test_the_example_s_table_is_what_a_probe_prints(my_meter: Path) -> None:
    shown = block("text", "unit 1 on").splitlines()[2:]
    found = _readings(load_profile(my_meter), {0: "4366", 1: "8000", 6: "3f00"})
    told = [(str(each.address), raw(each), decoded(each)) for each in found]
    for line in shown:
        address, registers, value = line.split(maxsplit=4)[2], *line.split("  ")[-2:]
        assert (address, registers.strip(), value.strip()) in told


def test_the_frames_of_the_table_are_frames() -> None:
    request = bytes.fromhex(re.findall(r"`> ([0-9A-F ]+)`", README)[0])
    assert request == frames.rtu_frame(1, request[1:-2])


def test_every_delivered_modbus_profile_is_listed() -> None:
    listed = set(re.findall(r"^\| `([a-z0-9-]+)` \|", LIST, re.MULTILINE))
    assert {kind.profile for kind in known_profiles()} <= listed
    assert listed <= {path.stem for path in (ROOT / "config" / "profiles").glob("*.yaml")}
