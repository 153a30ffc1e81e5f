"""The simulators as the run sees them: started, told to begin, listened to."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.core.errors import FixInstallation
from gateway.demo.children import Child, Children

READY_S = 30.0
START_S = 20.0

OnRecord = Callable[[dict[str, Any]], None]


@dataclass(slots=True)
class Simulator:
    """A running ``pilegate sim --wait-start``."""

    child: Child
    on_record: OnRecord
    """Called with every JSON line it tells after it is ready."""
    _zero: asyncio.Future[int] | None = None

    async def begin(self) -> int:
        """Set time zero and give it as monotonic ns. Raises FixInstallation."""
        self._zero = asyncio.get_running_loop().create_future()
        stdin = self.child.process.stdin
        assert stdin is not None
        stdin.write(b'{"start":true}\n')
        await stdin.drain()
        try:
            async with asyncio.timeout(START_S):
                return await self._zero
        except TimeoutError:
            raise FixInstallation(f"the simulators did not start within {START_S:g} s") from None

    async def listen(self) -> None:
        """Read records for ever. Raises FixInstallation when the simulators end."""
        stdout = self.child.process.stdout
        assert stdout is not None
        while line := await stdout.readline():
            record = _read(line)
            if record.get("kind") == "started" and self._zero is not None:
                self._zero.set_result(int(record["mono_ns"]))
            self.on_record(record)
        raise FixInstallation("the simulators ended")


async def start_simulator(
    children: Children, scenario: Path, site: Path, on_record: OnRecord
) -> Simulator:
    """Start the simulators of a scenario and wait until every port is open.

    Raises FixInstallation when that does not happen within 30 s.
    """
    arguments = ["sim", "--scenario", str(scenario), "--site", str(site), "--wait-start"]
    child = await children.start("sim", arguments, piped=True)
    stdout = child.process.stdout
    assert stdout is not None
    try:
        async with asyncio.timeout(READY_S):
            while line := await stdout.readline():
                if _read(line).get("kind") == "ready":
                    return Simulator(child, on_record)
    except TimeoutError:
        raise FixInstallation(f"the simulators were not ready after {READY_S:g} s") from None
    raise FixInstallation("the simulators did not start")


def _read(line: bytes) -> dict[str, Any]:
    try:
        record = json.loads(line)
    except ValueError:
        return {}
    return record if isinstance(record, dict) else {}
