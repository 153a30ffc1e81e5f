"""``all-off`` against simulated hardware, with no guard, a hung one, and one that answers."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from gateway.cli import run
from gateway.commands import all_off
from gateway.core.errors import Refused
from gateway.demo.place import Place, resolve
from gateway.link.messages import OutletState
from tests.integration.cli_fake_guard import fake_guard, view

SITES = Path(__file__).parents[2] / "config" / "sites"
WAIT_S = 30.0


class Simulated:
    """A running ``pilegate sim``, and what it has told."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self._records: list[dict[str, Any]] = []
        self._arrived = threading.Condition()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            with self._arrived:
                self._records.append(json.loads(line))
                self._arrived.notify_all()

    def wait_for(self, **wanted: object) -> None:
        """Wait for a record that has these fields."""
        with self._arrived:
            assert self._arrived.wait_for(
                lambda: any(wanted.items() <= record.items() for record in self._records), WAIT_S
            ), (wanted, self._records)


@contextmanager
def simulated(place: Place) -> Iterator[Simulated]:
    command = [sys.executable, "-m", "gateway", "sim", "--site", str(place.site_file)]
    with subprocess.Popen(
        [*command, "--wait-start"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            simulation = Simulated(process)
            simulation.wait_for(kind="ready")
            yield simulation
        finally:
            process.terminate()
            process.wait(WAIT_S)


def crc(frame: bytes) -> bytes:
    value = 0xFFFF
    for byte in frame:
        value ^= byte
        for _ in range(8):
            value = (value >> 1) ^ (0xA001 if value & 1 else 0)
    return value.to_bytes(2, "little")


def switch_on(place: Place, unit: int, coil: int, by: str) -> None:
    """Close a relay behind everybody's back: FC05, by hand."""
    pdu = bytes([5, 0, coil, 0xFF, 0])
    buses = yaml.safe_load(place.site_file.read_text(encoding="utf-8"))["buses"]
    if by == "tcp":
        with socket.create_connection(("127.0.0.1", buses[0]["port"]), timeout=WAIT_S) as wire:
            wire.sendall(bytes([0, 1, 0, 0, 0, len(pdu) + 1, unit]) + pdu)
            assert wire.recv(64)
        return
    line = os.open(buses[1]["port"], os.O_RDWR | os.O_NOCTTY)
    try:
        frame = bytes([unit]) + pdu
        time.sleep(0.05)  # the silence before a frame
        os.write(line, frame + crc(frame))
        assert os.read(line, 64)
    finally:
        os.close(line)


@pytest.fixture(params=["tcp", "rtu"])
def by(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def place(tmp_path: Path, by: str) -> Place:
    place = resolve(SITES / f"demo-{by}.yaml", tmp_path)
    # Nobody is silent here: an answer that this machine keeps waiting is not late.
    site = yaml.safe_load(place.site_file.read_text(encoding="utf-8"))
    for bus in site["buses"]:
        bus["timeout_ms"] = 5_000
    place.site_file.write_text(yaml.safe_dump(site), encoding="utf-8")
    return place


def all_off_at(place: Place, *options: str) -> int:
    return run(["--site", str(place.site_file), "all-off", *options])


def test_without_a_guard_the_buses_are_driven(
    place: Place, by: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with simulated(place) as hardware:
        switch_on(place, unit=1, coil=3, by=by)
        hardware.wait_for(kind="relay", outlet="n1-4", on=True)
        assert all_off_at(place) == 0
        hardware.wait_for(kind="relay", outlet="n1-4", on=False, by="frame")
    out, err = capsys.readouterr()
    assert "10 of 10 outlets took the off" in out or "20 of 20 outlets took the off" in out
    assert err == ""


def test_a_hung_guard_is_passed_over_and_named(
    place: Place, by: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(all_off, "ANSWER_S", 0.3)
    with fake_guard(place.state_dir) as guard, simulated(place) as hardware:
        guard.hangs = True
        switch_on(place, unit=1, coil=0, by=by)
        hardware.wait_for(kind="relay", outlet="n1-1", on=True)
        assert all_off_at(place) == 0
        hardware.wait_for(kind="relay", outlet="n1-1", on=False)
    err = capsys.readouterr().err
    assert "did not answer within 0.3 s" in err
    assert err.endswith("driving the buses from here\n")


def test_nothing_on_the_bus_is_a_failure_that_names_outlets(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = resolve(SITES / "demo-rtu.yaml", tmp_path)
    assert all_off_at(place) == 1
    out, err = capsys.readouterr()
    assert "line1: 0 of 4 outlets took the off; not n3-1, n3-2, n4-1, n4-2: " in out
    assert err == "pilegate: 24 outlets did not take the off: open the feed's breaker\n"


def test_a_guard_that_answers_switches_off_in_order(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = resolve(SITES / "demo-tcp.yaml", tmp_path)
    with fake_guard(place.state_dir) as guard:

        def off(_params: dict[str, Any]) -> dict[str, Any]:
            guard.views = [view("n1-1"), view("n1-2")]
            return {"outlets": [{"outlet": "n1-1", "result": "done"}]}

        guard.answers["off"] = off
        assert all_off_at(place, "--reason", "drill") == 0
        assert guard.params("off")["target"] == {"kind": "site", "id": "demo"}
        assert guard.params("off")["reason"] == "drill"
    assert "samples show all 1 outlets off" in capsys.readouterr().out


def test_a_broken_site_file_does_not_keep_a_guard_from_switching_off(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = resolve(SITES / "demo-tcp.yaml", tmp_path)
    with place.site_file.open("a", encoding="utf-8") as file:
        file.write("half a li")
    with fake_guard(place.state_dir) as guard:
        guard.answers["off"] = {"outlets": [{"outlet": "n1-1", "result": "done"}]}
        guard.views = [view("n1-1")]
        assert all_off_at(place) == 0
    assert all_off_at(place) == 2
    assert "site.yaml:" in capsys.readouterr().err


def test_outlets_that_stay_on_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(all_off, "CONFIRM_S", 0.2)
    place = resolve(SITES / "demo-tcp.yaml", tmp_path)
    with fake_guard(place.state_dir) as guard:
        guard.answers["off"] = {"outlets": [{"outlet": "n1-1", "result": "done"}]}
        guard.views = [
            view("n1-1", state=OutletState.CUT, relay_on=True),
            view("n1-2", stale=True),
            view("n1-3"),
            view("n1-4", state=OutletState.STOPPING, current_a=0.6),
            view("n1-5", state=OutletState.STOPPING, current_a=0.0),
        ]
        assert all_off_at(place) == 1
    err = capsys.readouterr().err
    assert "n1-1 is cut, n1-2 has no fresh sample, n1-4 is stopping)" in err
    assert err.count("\n") == 1


def test_a_guard_that_refuses_is_passed_over(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = resolve(SITES / "demo-tcp.yaml", tmp_path)
    with fake_guard(place.state_dir) as guard:
        guard.answers["off"] = Refused("the guard is stopping", code="stopping")
        assert all_off_at(place) == 1
        err = capsys.readouterr().err
        assert "the guard is stopping; driving the buses from here" in err
        guard.heard.clear()
        assert all_off_at(place, "--direct") == 1
        assert guard.heard == []
    err = capsys.readouterr().err
    assert f"a guard runs (pid {os.getpid()}); it is passed over" in err
    assert f"end it with 'kill -9 {os.getpid()}'" in err


def test_the_guard_of_another_site_does_not_stand_for_this_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = resolve(SITES / "demo-tcp.yaml", tmp_path)
    text = place.site_file.read_text(encoding="utf-8")
    place.site_file.write_text(text.replace("id: demo", "id: other", 1), encoding="utf-8")
    with fake_guard(place.state_dir) as guard:
        guard.answers["off"] = {"outlets": [{"outlet": "n1-1", "result": "done"}]}
        guard.views = [view("n1-1")]
        assert all_off_at(place) == 1
    out, err = capsys.readouterr()
    assert "samples show all 1 outlets off" in out
    assert "net1: 0 of 10 outlets took the off" in out
    assert "keeps site demo, and" in err
    assert f"driving the buses of {place.site_file}, too" in err


def test_a_guard_that_may_not_be_asked_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    place = resolve(SITES / "demo-tcp.yaml", tmp_path)
    monkeypatch.setattr(all_off, "guard_pid", lambda _path: None)
    monkeypatch.setattr("os.access", lambda *_: False)
    with fake_guard(place.state_dir):
        assert all_off_at(place) == 1
    err = capsys.readouterr().err
    assert "guard.sock: this user may not speak to the guard; driving the buses from here" in err
