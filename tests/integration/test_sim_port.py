"""Pseudo-terminals under names of their own: made, taken over, refused, removed."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from gateway.core.errors import FixInstallation
from simulators.pty_port import PtyPort
from tests.support.sim_program import simulating, write_site


def port_at(path: Path) -> PtyPort:
    port = PtyPort(path)
    port.open()
    return port


def test_bytes_go_both_ways_unchanged(tmp_path: Path) -> None:
    port = port_at(tmp_path / "line")
    gateway = os.open(tmp_path / "line", os.O_RDWR | os.O_NOCTTY)
    every_byte = bytes(range(256))
    os.write(gateway, every_byte)
    assert port.read() == every_byte
    assert port.read() == b""
    assert port.write(every_byte)
    assert os.read(gateway, 300) == every_byte
    os.close(gateway)
    assert port.read() == b""
    port.close()
    assert not (tmp_path / "line").is_symlink()


def test_what_nobody_takes_is_lost_and_said(tmp_path: Path) -> None:
    port = port_at(tmp_path / "line")
    written = [port.write(bytes(250)) for _ in range(1000)]
    port.close()
    assert written[0]
    assert not written[-1]


def test_something_else_at_the_path_is_left_alone(tmp_path: Path) -> None:
    file, link = tmp_path / "file", tmp_path / "link"
    file.write_text("precious")
    link.symlink_to("/dev/null")
    with pytest.raises(FixInstallation, match="is there already"):
        PtyPort(file).open()
    with pytest.raises(FixInstallation, match="choose another"):
        PtyPort(link).open()
    assert file.read_text() == "precious"
    assert link.readlink() == Path("/dev/null")


def test_a_folder_that_is_not_there_is_made_and_removed(tmp_path: Path) -> None:
    folder = tmp_path / "new"
    port = port_at(folder / "line")
    assert (folder / "line").exists()
    port.close()
    assert not folder.exists()


def test_a_folder_that_was_there_or_is_used_meanwhile_stays(tmp_path: Path) -> None:
    port = port_at(tmp_path / "line")
    port.close()
    assert tmp_path.exists()
    port = port_at(tmp_path / "new" / "line")
    (tmp_path / "new" / "file").touch()
    port.close()
    assert (tmp_path / "new" / "file").exists()


def test_a_folder_that_can_not_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(FixInstallation, match="can't be made a link"):
        PtyPort(tmp_path / "file" / "line").open()


def test_a_link_that_leads_nowhere_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "line").symlink_to("/dev/pts/99999")
    port = port_at(tmp_path / "line")
    assert (tmp_path / "line").exists()
    port.close()


def test_the_link_of_a_killed_simulator_is_taken_over_but_not_that_of_a_running_one(
    tmp_path: Path,
) -> None:
    path = tmp_path / "line"
    bus = f"id: l, kind: modbus-rtu, port: {path}, baud: 9600"
    site = write_site(tmp_path, [bus], {"m": ("l", 1)})
    with simulating("--site", site) as running:
        running.wait_for("ready")
        with simulating("--site", site) as second:
            told = second.errors().splitlines()
            assert second.process.returncode == 1
        assert len(told) == 1
        assert "belongs to another running simulator" in told[0]
        running.process.kill()
    assert path.is_symlink()
    port = port_at(path)
    assert path.exists()
    port.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_program_and_its_links(tmp_path: Path, number: signal.Signals) -> None:
    path = tmp_path / "line"
    bus = f"id: l, kind: modbus-rtu, port: {path}, baud: 9600"
    with simulating("--site", write_site(tmp_path, [bus], {"m": ("l", 1)})) as simulator:
        simulator.wait_for("ready")
        assert path.is_symlink()
        assert simulator.end(number) == 0
        assert simulator.wait_for("end")["lines"][0]["bus"] == "l"
        assert simulator.errors() == ""
    assert not path.is_symlink()
