"""Recorded loads, shortened, on real wires: by TCP and by RTU, each in processes of its own."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tests.support.run_scenario import Played, Show

CONFIG = Path(__file__).parents[2] / "config"
SCENARIO = CONFIG / "scenarios" / "traces" / "recorded.yaml"
WIRES = ["tcp", "rtu"]
SHOWS = [
    Show(f"recorded-{by}", SCENARIO, ("--site", str(CONFIG / "sites" / f"trace-{by}.yaml")))
    for by in WIRES
]


@pytest.mark.timeout(600)
@pytest.mark.parametrize("show", SHOWS, ids=lambda show: show.name)
def test_charges_end_as_they_did_and_appliances_are_cut(played: Played) -> None:
    """Dual pack: full; single pack: unplugged; kettle and vacuum: cut where limits are below."""
    played.check()
    assert "10 of 10 events as expected: passed" in played.output, played.output


def test_both_wires_have_the_same_outlets_and_limits() -> None:
    tcp, rtu = (
        yaml.safe_load((CONFIG / "sites" / f"trace-{by}.yaml").read_text(encoding="utf-8"))
        for by in WIRES
    )
    assert {**tcp, "buses": [], "devices": []} == {**rtu, "buses": [], "devices": []}
