"""Recorded loads, shortened, on real wires: by TCP and by RTU, each in processes of its own."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tests.support.run_scenario import play

CONFIG = Path(__file__).parents[2] / "config"
SCENARIO = CONFIG / "scenarios" / "traces" / "recorded.yaml"
WIRES = ["tcp", "rtu"]


@pytest.mark.ahead
@pytest.mark.timeout(400)
@pytest.mark.parametrize("by", WIRES)
def test_charges_end_as_they_did_and_appliances_are_cut(tmp_path: Path, by: str) -> None:
    """Dual pack: full; single pack: unplugged; kettle and vacuum: cut where limits are below."""
    played = play(SCENARIO, tmp_path, "--site", str(CONFIG / "sites" / f"trace-{by}.yaml"))
    played.check()
    assert "10 of 10 events as expected: passed" in played.output, played.output


def test_both_wires_have_the_same_outlets_and_limits() -> None:
    tcp, rtu = (
        yaml.safe_load((CONFIG / "sites" / f"trace-{by}.yaml").read_text(encoding="utf-8"))
        for by in WIRES
    )
    assert {**tcp, "buses": [], "devices": []} == {**rtu, "buses": [], "devices": []}
