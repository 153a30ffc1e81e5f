"""A site whose state directory is a small disk that gets full, and fails and is read-only then:
told by a process in a mount namespace of its own. Exit status 1 and a traceback when something
is not so."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from gateway.core.errors import TryLater
from tests.support.run_full_disk import fill, mount
from tests.support.run_stage import PATIENT, Stage, on_stage, play, until
from tests.support.run_worst_hour import (
    WANTED,
    WITHIN_S,
    Hour,
    endure,
    figures,
    guard_lives,
    on,
    write_site,
)
from tests.support.run_worst_troubles import unwritable


@asynccontextmanager
async def full(stage: Stage) -> AsyncIterator[None]:
    """Not a byte fits any more, and then there is room again."""
    filler = stage.place.state_dir / "filler"
    await asyncio.to_thread(fill, filler)
    try:
        yield
    finally:
        filler.unlink()


@asynccontextmanager
async def read_only(stage: Stage) -> AsyncIterator[None]:
    """Writes fail, and the disk is read-only from then on: what ext4 does (errors=remount-ro)."""
    folder = str(stage.place.state_dir)

    async def failed() -> bool:
        with suppress(TryLater):
            await on(stage, WANTED)
        return not (await figures(stage))["pilegate_journal_ok"]

    async with unwritable(stage):
        await until("a write fails", failed, within_s=WITHIN_S)
        await asyncio.to_thread(_mounts, ["mount", "--bind", folder, folder])
        await asyncio.to_thread(_mounts, ["mount", "-o", "remount,ro,bind", folder])
    try:
        yield
    finally:
        # Lazily: somebody may read through it.
        await asyncio.to_thread(_mounts, ["umount", "--lazy", folder])


def _mounts(command: list[str]) -> None:
    subprocess.run(command, check=True)


HOURS = [
    Hour("full", full, stuck="the disk is full: make room"),
    Hour("read-only", read_only, stuck="is read-only"),
]


async def main(folder: Path) -> None:
    slowest_ms: dict[str, float] = {}

    async def story(stage: Stage) -> None:
        async with guard_lives(stage):
            for hour in HOURS:
                slowest_ms[hour.name] = round(await endure(stage, hour), 1)

    async with on_stage(folder, write_site(folder), prepare=mount, limits=PATIENT) as stage:
        await play(stage, story)
    sys.stdout.write(f"over the limit to off frame, the slower wire, ms: {slowest_ms}\n")


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
