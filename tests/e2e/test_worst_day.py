"""One trouble after the other, on real processes: outlets go off, leases end, nothing is lost."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

from tests.support import run_worst_troubles as troubles
from tests.support.namespace import need_namespace, tell
from tests.support.run_stage import PATIENT, Stage, on_stage, play
from tests.support.run_worst_hour import Hour, endure, guard_lives, write_site

HOURS = [
    Hour("locked", troubles.locked, stuck="another program holds it locked"),
    Hour("unwritable", troubles.unwritable, stuck="check the disk"),
    Hour("taken away", troubles.taken_away, stuck="put it back"),
    Hour("broker gone", troubles.broker_gone),
    Hour("serve stopped", troubles.serve_stopped),
    Hour("serve killed", troubles.serve_killed),
    Hour("serve flooded", troubles.serve_flooded),
    Hour("no processor", troubles.no_processor),
]


@pytest.mark.ahead
@pytest.mark.timeout(400)
def test_every_trouble_leaves_outlets_safe_and_facts_whole(tmp_path: Path) -> None:
    slowest_ms: dict[str, float] = {}

    async def story(stage: Stage) -> None:
        async with guard_lives(stage):
            for hour in HOURS:
                slowest_ms[hour.name] = round(await endure(stage, hour), 1)

    async def main() -> None:
        async with on_stage(tmp_path, write_site(tmp_path), limits=PATIENT) as stage:
            await play(stage, story)

    asyncio.run(main())
    sys.stdout.write(f"over the limit to off frame, the slower wire, ms: {slowest_ms}\n")


@pytest.mark.ahead
@pytest.mark.timeout(300)
def test_a_disk_that_is_full_or_read_only_leaves_outlets_safe_and_facts_whole(
    tmp_path: Path,
) -> None:
    """The story is told in a process of its own: see tests/support/run_worst_disk.py."""
    need_namespace(tmp_path)
    sys.stdout.write(tell("tests.support.run_worst_disk", tmp_path))
