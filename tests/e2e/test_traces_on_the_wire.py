"""Recorded loads, shortened, on real wires: by TCP and by RTU, each in processes of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest
import yaml

CONFIG = Path(__file__).parents[2] / "config"
SCENARIO = CONFIG / "scenarios" / "traces" / "recorded.yaml"
START_AND_STOP_S = 100.0
WIRES = ["tcp", "rtu"]


def play(by: str, folder: Path) -> subprocess.CompletedProcess[str]:
    duration_s = yaml.safe_load(SCENARIO.read_text(encoding="utf-8"))["duration_s"]
    command = [sys.executable, "-m", "gateway", "demo", "--scenario", str(SCENARIO)]
    site = CONFIG / "sites" / f"trace-{by}.yaml"
    return subprocess.run(
        [*command, "--site", str(site), "--exit-after", str(duration_s), "--dir", str(folder)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=duration_s + START_AND_STOP_S,
        check=False,
        env={**os.environ, "NO_COLOR": "1"},
    )


@pytest.fixture(scope="module")
def plays(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[dict[str, Future[subprocess.CompletedProcess[str]]]]:
    """Play on both wires at once: they mostly wait."""
    with ThreadPoolExecutor(len(WIRES)) as pool:
        yield {by: pool.submit(play, by, tmp_path_factory.mktemp(by)) for by in WIRES}


@pytest.mark.timeout(400)
@pytest.mark.parametrize("by", WIRES)
def test_charges_end_as_they_did_and_appliances_are_cut(
    plays: dict[str, Future[subprocess.CompletedProcess[str]]], by: str
) -> None:
    """Dual pack: full; single pack: unplugged; kettle and vacuum: cut where limits are below."""
    played = plays[by].result()
    assert played.returncode == 0, played.stdout
    assert "10 of 10 events as expected: passed" in played.stdout, played.stdout


def test_both_wires_have_the_same_outlets_and_limits() -> None:
    tcp, rtu = (
        yaml.safe_load((CONFIG / "sites" / f"trace-{by}.yaml").read_text(encoding="utf-8"))
        for by in WIRES
    )
    assert {**tcp, "buses": [], "devices": []} == {**rtu, "buses": [], "devices": []}
