"""Every scenario, by TCP and by RTU, with guard, serve and simulators as processes of their own."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.run_scenario import play

SCENARIOS = sorted((Path(__file__).parents[2] / "config" / "scenarios").glob("*.yaml"))


@pytest.mark.ahead
@pytest.mark.timeout(400)
@pytest.mark.parametrize("by", ["tcp", "rtu"])
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda path: path.stem)
def test_a_scenario_passes_and_leaves_nothing_behind(
    scenario: Path, by: str, tmp_path: Path
) -> None:
    play(scenario, tmp_path, "--by", by).check()


@pytest.mark.ahead
@pytest.mark.timeout(400)
@pytest.mark.parametrize("name", ["demo", "noisy-line", "silence"])
def test_a_scenario_passes_on_lines_behind_converters(name: str, tmp_path: Path) -> None:
    scenario = next(path for path in SCENARIOS if path.stem == name)
    play(scenario, tmp_path, "--by", "converter").check()
