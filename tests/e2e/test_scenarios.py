"""Every scenario, by TCP and by RTU, with guard, serve and simulators as processes of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

SCENARIOS = sorted((Path(__file__).parents[2] / "config" / "scenarios").glob("*.yaml"))
AT_ONCE = 6
"""Scenarios mostly wait: several at once load two cores a little."""
START_AND_STOP_S = 180.0
"""More than the bounds of all waits of a run together."""

Name = tuple[str, str]


@dataclass(frozen=True)
class Played:
    status: int
    output: str
    left_behind: list[str]


def play(scenario: Path, by: str, folder: Path) -> Played:
    duration_s = yaml.safe_load(scenario.read_text(encoding="utf-8"))["duration_s"]
    command = [sys.executable, "-m", "gateway", "demo", "--scenario", str(scenario), "--by", by]
    try:
        done = subprocess.run(
            [*command, "--exit-after", str(duration_s), "--dir", str(folder / "runs")],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=duration_s + START_AND_STOP_S,
            check=False,
            env={**os.environ, "NO_COLOR": "1", "PYTHONUNBUFFERED": "1"},
        )
    except subprocess.TimeoutExpired as late:
        said = late.stdout or b""
        return Played(-1, said if isinstance(said, str) else said.decode(), [])
    return Played(done.returncode, done.stdout, sorted(path.name for path in folder.iterdir()))


@pytest.fixture(scope="session")
def plays(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Mapping[Name, Future[Played]]]:
    """Play what was selected, a few at a time, in the order in which tests ask for it."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        futures: dict[Name, Future[Played]] = {}
        for item in request.session.items:
            params = getattr(getattr(item, "callspec", None), "params", {})
            if "played" in getattr(item, "fixturenames", ()):
                scenario, by = params["scenario"], params["by"]
                folder = tmp_path_factory.mktemp(f"{scenario.stem}-{by}")
                futures[scenario.stem, by] = pool.submit(play, scenario, by, folder)
        yield futures
        pool.shutdown(cancel_futures=True)


@pytest.fixture
def played(plays: Mapping[Name, Future[Played]], scenario: Path, by: str) -> Played:
    return plays[scenario.stem, by].result()


@pytest.mark.timeout(400)
@pytest.mark.parametrize("by", ["tcp", "rtu"])
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda path: path.stem)
def test_a_scenario_passes_and_leaves_nothing_behind(played: Played) -> None:
    assert played.status == 0, played.output
    assert played.output.rstrip().endswith("passed"), played.output
    assert "Traceback" not in played.output
    assert played.left_behind == []
