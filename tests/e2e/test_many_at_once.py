"""A whole site switched on with one command, over a line that takes seconds for it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.run_stage import PATIENT, Stage, on_stage, outlet_ids, play, until

MODULES = 8


def write_site(folder: Path) -> Path:
    """One slow line of ten-outlet modules."""
    numbers = range(1, MODULES + 1)
    site = {
        "site": {"id": "large", "name": "Many outlets, one line"},
        "limits": {"no_load": {"below_w": 7, "delay_s": 600}},
        "buses": [{"id": "line", "kind": "modbus-rtu", "port": "/dev/null", "baud": 9600}],
        "devices": [
            {"id": f"m{n}", "bus": "line", "unit": n, "profile": "pilegate-ref10"} for n in numbers
        ],
        "stations": [
            {
                "id": "north",
                "name": "North",
                "piles": [
                    {
                        "id": f"n{n}",
                        "module": {
                            "device": f"m{n}",
                            "channels": "1-10",
                            "outlets": f"n{n}-{{channel}}",
                        },
                    }
                    for n in numbers
                ],
            }
        ],
    }
    path = folder / "large.yaml"
    path.write_text(yaml.safe_dump(site), encoding="utf-8")
    return path


@pytest.mark.ahead
@pytest.mark.timeout(400)
def test_one_command_switches_every_outlet_of_a_slow_line_on(tmp_path: Path) -> None:
    async def story(stage: Stage) -> None:
        order = {
            "action": "on",
            "target": {"kind": "station", "id": "north"},
            "lease": {"for_s": 600},
            "reason": "test",
        }
        told = await stage.api.request("POST", "/v1/commands", body=order, key="many")
        assert told.status == 202, told
        command: dict[str, Any] = {}

        async def ended() -> bool:
            command.update((await stage.api.request("GET", f"/v1/commands/{told.body['id']}")).body)
            return command["state"] not in ("recorded", "accepted")

        await until("the command has its verdict", ended, within_s=90)
        parts = {(part["result"], part.get("code")) for part in command["outlets"]}
        assert parts == {("done", "")}, command

        async def all_on() -> bool:
            return all(view.state == "on" for view in (await stage.views()).values())

        await until("all are on", all_on, within_s=60)

    async def main() -> None:
        site = write_site(tmp_path)
        async with on_stage(tmp_path, site, plugged=outlet_ids(site)[::4], limits=PATIENT) as stage:
            await play(stage, story)

    asyncio.run(main())
