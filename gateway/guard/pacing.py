"""When an ON may begin: no sooner than its bus can send it while it is fresh.

A bus drops an ON that waited too long, so that none is ever late. A whole station switched on
at once over a slow line must therefore come to the bus a few at a time.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager

from gateway.core.errors import Refused
from gateway.core.ids import OutletId
from gateway.guard.model import Switch

PATIENCE_S = 1.5
"""How long an ON waits for room on its bus. With the disk's share (``commands``) less than
clients wait for an answer."""
_LOOK_S = 0.005


class Pacing:
    """Lets ONs through in the order in which they came, bus by bus."""

    def __init__(self, switches: Mapping[OutletId, Switch]) -> None:
        self._switches = switches
        self._doors: dict[Switch, asyncio.Lock] = {}
        self._granted: Counter[Switch] = Counter()
        """Leases of each bus whose ON is not in its queue yet: the disk comes first."""

    @asynccontextmanager
    async def turn(self, outlet: OutletId) -> AsyncIterator[Callable[[], Callable[[], None]]]:
        """Wait for room on the outlet's bus; nobody else of that bus is let in meanwhile.

        Gives what is to be called when a lease is granted; it gives what is to be called when its
        ON has been handed to the bus, or never will be. Raises Refused (``bus_busy``).
        """
        switch = self._switches[outlet]
        try:
            async with asyncio.timeout(PATIENCE_S) as patience, self._door(switch):
                while self._granted[switch] >= switch.room_for_ons():
                    await asyncio.sleep(_LOOK_S)
                patience.reschedule(None)
                yield lambda: self._grant(switch)
        except TimeoutError as err:
            message = f"{outlet}: its bus has more to switch on than it can now: ask again"
            raise Refused(message, code="bus_busy") from err

    def _door(self, switch: Switch) -> asyncio.Lock:
        return self._doors.setdefault(switch, asyncio.Lock())

    def _grant(self, switch: Switch) -> Callable[[], None]:
        self._granted[switch] += 1

        def handed_over() -> None:
            self._granted[switch] -= 1

        return handed_over
