"""Bytes on one side, the words of core and guard.model on the other.

``BUSES`` is the registry: a new protocol is one module here and one entry there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from drivers.modbus.bus import ModbusBus
from drivers.mqtt.bus import MqttPlugs
from drivers.stats import BusStats
from gateway.config import AnyBus, MqttBus, Site
from gateway.core.clock import Clock
from gateway.core.ids import BusId, OutletId
from gateway.guard.model import Sink, WriteResult

__all__ = ["BUSES", "BusDriver", "BusFactory", "BusStats"]


class BusDriver(Protocol):
    """One line or connection, and the only one who speaks on it."""

    @property
    def id(self) -> BusId: ...

    def switch_on(self, outlet: OutletId, for_ms: int) -> None:
        """Queue an ON; it is sent soon or dropped, never late. Returns at once.

        A device with a timer of its own is told to go off by itself after ``for_ms``, or sooner.
        """
        ...

    def keep_on(self, outlet: OutletId, for_ms: int) -> None:
        """Set the timer of a device that is on anew, where it has one; never switches on."""
        ...

    def switch_off(self, outlet: OutletId, *, urgent: bool) -> None:
        """Queue an OFF; it removes a waiting ON. Returns at once."""
        ...

    def room_for_ons(self) -> int:
        """How many more ONs could be sent before they are dropped as late, with room to spare."""
        ...

    async def run(self) -> None:
        """Own the connection until cancelled: poll, switch, reconnect."""
        ...

    def stats(self) -> BusStats: ...

    async def all_off(self) -> list[tuple[OutletId, WriteResult]]:
        """Switch every relay of this bus off, whether ``run`` is running or not.

        Each is tried three times at most; DONE also means that the relay's state was read back
        as off, where it can be read.
        """
        ...


BusFactory = Callable[[AnyBus, Site, Sink, Clock], BusDriver]


def _modbus(bus: AnyBus, site: Site, sink: Sink, clock: Clock) -> BusDriver:
    assert not isinstance(bus, MqttBus)
    return ModbusBus(bus, site, sink, clock)


def _mqtt(bus: AnyBus, site: Site, sink: Sink, clock: Clock) -> BusDriver:
    assert isinstance(bus, MqttBus)
    return MqttPlugs(bus, site, sink, clock)


BUSES: dict[str, BusFactory] = {
    "modbus-rtu": _modbus,
    "modbus-rtu-tcp": _modbus,
    "modbus-tcp": _modbus,
    "mqtt": _mqtt,
}
