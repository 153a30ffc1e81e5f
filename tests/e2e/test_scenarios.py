"""Every scenario, by TCP and by RTU, with guard, serve and simulators as processes of their own."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.run_scenario import Played, Show

SCENARIOS = sorted((Path(__file__).parents[2] / "config" / "scenarios").glob("*.yaml"))
SHOWS = [
    Show(f"{scenario.stem}-{by}", scenario, ("--by", by))
    for scenario in SCENARIOS
    for by in ("tcp", "rtu")
]


@pytest.mark.timeout(600)
@pytest.mark.parametrize("show", SHOWS, ids=lambda show: show.name)
def test_a_scenario_passes_and_leaves_nothing_behind(played: Played) -> None:
    played.check()
