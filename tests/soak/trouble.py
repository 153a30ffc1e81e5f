"""What goes wrong during a soak: at random moments, repeatable by a seed."""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from collections.abc import Sequence
from typing import Any

from gateway.core.errors import PilegateError
from gateway.link.client import GuardClient
from tests.bench.processes import Program
from tests.bench.sites import OVERLOAD_W

EACH_S = 0.5
OVERLOAD_S = 2.5
LINK_FAULTS = ("silent", "lost", "late", "corrupt", "truncated", "wrong_unit", "pieces", "babble")


class Trouble:
    """Half of the modules get overloads and pulled plugs, the other half faults of the link.

    A cut-off is judged only where the link is good: through a silent one no off frame goes.
    """

    def __init__(
        self,
        simulator: Program,
        client: GuardClient,
        outlets: Sequence[str],
        modules: int,
        seed: int,
    ) -> None:
        self.made: Counter[str] = Counter()
        self._simulator = simulator
        self._client = client
        self._chance = random.Random(seed)
        good = modules // 2
        self._good = outlets[: len(outlets) * good // modules]
        self._devices = [f"m{number}" for number in range(good + 1, modules + 1)]

    async def make(self) -> None:
        """Make trouble until cancelled."""
        while True:
            outlet = self._chance.choice(self._good)
            await self._chance.choice(
                (self._overload, self._overload, self._replug, self._break_link)
            )(outlet)
            await asyncio.sleep(self._chance.uniform(0.5, 1.5) * EACH_S)

    async def _overload(self, outlet: str) -> None:
        self._play("overload", load_step=outlet, power_w=OVERLOAD_W, for_s=OVERLOAD_S)
        await asyncio.sleep(OVERLOAD_S + 0.5)
        await self._switch_on_again(outlet)

    async def _replug(self, outlet: str) -> None:
        self._play("unplug", unplug=outlet)
        await asyncio.sleep(1.0)
        self._play("plug", plug=outlet, load="steady")

    async def _break_link(self, _outlet: str) -> None:
        device, fault = self._chance.choice(self._devices), self._chance.choice(LINK_FAULTS)
        self._play(fault, fault=fault, device=device, share=0.5, for_s=4.0)

    async def _switch_on_again(self, outlet: str) -> None:
        """Reset and switch on; refused while something else is wrong with the outlet."""
        target = {"kind": "outlet", "id": outlet}
        try:
            await self._client.call("reset", target=target, actor="soak", reason="soak")
            await self._client.call("on", outlet=outlet, for_s=3_600, actor="soak", reason="soak")
        except PilegateError:
            self.made["refused"] += 1

    def _play(self, what: str, **step: Any) -> None:
        self.made[what] += 1
        self._simulator.say(json.dumps(step))
