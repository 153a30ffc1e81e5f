"""Scenarios played by the program: start, causes, commands left alone, ends."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.support.sim_program import PATIENCE_S, simulating, write_site

SCENARIO = """
scenario: t
title: T
site: site.yaml
seed: 3
duration_s: 5
over_a: 8
loads: {bike: {kind: cc_cv}}
steps:
  - {at_s: 0.3, id: second, unplug: m-1}
  - {at_s: 0.1, id: first, plug: m-1, load: bike}
  - {at_s: 0.2, id: go, command: on, outlet: m-1, for_s: 60}
"""


def scenario(folder: Path) -> Path:
    write_site(folder, ["id: b, kind: modbus-tcp, host: 127.0.0.1, port: 0"], {"m": ("b", 1)})
    path = folder / "t.yaml"
    path.write_text(SCENARIO)
    return path


def test_steps_are_played_in_order_and_commands_are_left_to_the_runner(tmp_path: Path) -> None:
    with simulating("--scenario", scenario(tmp_path)) as simulator:
        simulator.wait_for("ready")
        started = simulator.wait_for("started")
        first = simulator.wait_for("cause")
        second = simulator.wait_for("cause")
        assert (first["id"], second["id"]) == ("first", "second")
        assert first["step"] == {"at_s": 0.1, "plug": "m-1", "load": "bike"}
        assert first["mono_ns"] >= started["mono_ns"] + 100_000_000
        assert second["mono_ns"] >= started["mono_ns"] + 300_000_000
        assert simulator.end() == 0
        simulator.wait_for("end")
        assert not any(record.get("id") == "go" for record in simulator.records)


def test_time_zero_is_when_start_arrives(tmp_path: Path) -> None:
    with simulating("--scenario", scenario(tmp_path), "--wait-start") as simulator:
        ready = simulator.wait_for("ready")
        simulator.stats()
        assert [record["kind"] for record in simulator.records] == ["ready", "stats"]
        simulator.say({"start": True}, {"start": True})
        started = simulator.wait_for("started")
        assert started["mono_ns"] > ready["mono_ns"]
        simulator.wait_for("cause", id="second")
        assert [record["kind"] for record in simulator.records].count("started") == 1


def test_the_program_ends_with_its_standard_input(tmp_path: Path) -> None:
    with simulating("--scenario", scenario(tmp_path), "--wait-start") as simulator:
        simulator.wait_for("ready")
        assert simulator.process.stdin is not None
        simulator.process.stdin.close()
        simulator.wait_for("end")
        assert simulator.process.wait(PATIENCE_S) == 0
        assert simulator.errors() == ""


def test_the_program_ends_when_nobody_reads_it(tmp_path: Path) -> None:
    with simulating("--scenario", scenario(tmp_path)) as simulator:
        simulator.wait_for("ready")
        silent = subprocess.Popen(
            [sys.executable, "-m", "simulators", "--scenario", str(tmp_path / "t.yaml")],
            cwd=Path(__file__).parents[2],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert silent.stdout is not None
        assert silent.stderr is not None
        silent.stdout.close()
        assert silent.wait(PATIENCE_S) == 0
        assert silent.stderr.read() == b""
        silent.stderr.close()


def test_what_is_not_understood_is_told_and_changes_nothing(tmp_path: Path) -> None:
    with simulating("--scenario", scenario(tmp_path), "--wait-start") as simulator:
        simulator.wait_for("ready")
        assert simulator.process.stdin is not None
        wrong = [
            b"not json\n",
            b"[]\n",
            b'{"unplug": "m-99"}\n',
            b'{"unplug": "m-1", "colour": "red"}\n',
            b'{"command": "off", "outlet": "m-1"}\n',
            b'{"plug": "m-1", "load": "truck"}\n',
            b"[" * 20_000 + b"\n",
            b"\xff\xfe\n",
        ]
        for line in wrong:
            simulator.process.stdin.write(line)
        simulator.process.stdin.flush()
        for _ in wrong:
            assert simulator.wait_for("error")["message"].startswith("not understood: ")
        simulator.say({"unplug": "m-1", "id": "fine"})
        assert simulator.wait_for("cause")["id"] == "fine"


def test_a_trace_is_plugged_in_at_the_start(tmp_path: Path) -> None:
    site = write_site(
        tmp_path, ["id: b, kind: modbus-tcp, host: 127.0.0.1, port: 0"], {"m": ("b", 1)}
    )
    trace = tmp_path / "t.csv"
    trace.write_text("seconds,power_w\n0,100\n60,0\n")
    with simulating("--site", site, "--trace", trace, "--outlet", "m-2") as simulator:
        cause = simulator.wait_for("cause")
        assert cause["step"] == {"plug": "m-2", "load": "trace"}
    with simulating("--site", site, "--trace", trace, "--outlet", "m-77") as simulator:
        assert "has no outlet m-77" in simulator.errors()
        assert simulator.process.returncode == 2
