"""Driving the buses without a guard: the last way to switch a site off."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import click

from drivers import BUSES
from gateway.commands.failure import Unsuccessful
from gateway.commands.switch import names
from gateway.core.clock import SystemClock
from gateway.core.errors import PilegateError
from gateway.core.ids import BusId, DeviceId, OutletId
from gateway.guard.model import BusState, DeviceState, Sample, WriteResult

if TYPE_CHECKING:
    from gateway.config.site import Site

BUS_S = 60.0
"""Bound on one bus: a line of 30 silent modules at 9,600 baud, three tries each, takes less."""


@dataclass(slots=True)
class _Notes:
    """A Sink that keeps what the buses and devices complain about."""

    complaints: dict[str, str] = field(default_factory=dict)

    def on_sample(self, outlet: OutletId, sample: Sample) -> None:
        """Ignored: nothing is measured here."""

    def on_alive(self, outlet: OutletId, at_ms: int) -> None:
        """Ignored: an OFF is sent to whoever is there or not."""

    def on_write(self, outlet: OutletId, wanted_on: bool, result: WriteResult) -> None:
        """Ignored: the results come back from ``all_off`` itself."""

    def on_device(self, device: DeviceId, state: DeviceState, detail: str) -> None:
        if state is not DeviceState.ONLINE and detail:
            self.complaints[device] = detail

    def on_bus(self, bus: BusId, state: BusState, detail: str) -> None:
        if state is not BusState.OPEN and detail:
            self.complaints[bus] = detail


@dataclass(frozen=True, slots=True)
class _Outcome:
    bus: str
    done: list[str]
    failed: list[str]
    why: str


def switch_off_all(site: Site, *, guard_pid: int | None) -> None:
    """Send OFF to every outlet of every bus, all buses at once, and print how it went.

    Raises Unsuccessful when the device of some outlet did not take it.
    """
    # What the drivers log is told by the outcomes, once.
    logging.getLogger().addHandler(logging.NullHandler())
    outcomes = asyncio.run(_all_buses(site))
    for outcome in outcomes:
        click.echo(_line(outcome))
    left = sum(len(outcome.failed) for outcome in outcomes)
    if not left:
        return
    held = (
        f"the guard (pid {guard_pid}) may hold the line: end it with 'kill -9 {guard_pid}' and "
        "run all-off again, or "
        if guard_pid is not None
        else ""
    )
    raise Unsuccessful(f"{left} outlets did not take the off: {held}open the feed's breaker")


def _line(outcome: _Outcome) -> str:
    names_ = (*outcome.done, *outcome.failed)
    what = "outlets and contactors" if any("/" in name for name in names_) else "outlets"
    line = f"{outcome.bus}: {len(outcome.done)} of {len(names_)} {what} took the off"
    if not outcome.failed:
        return line
    return f"{line}; not {names(outcome.failed)}: {outcome.why}"


async def _all_buses(site: Site) -> list[_Outcome]:
    return list(await asyncio.gather(*(_one_bus(site, bus.id) for bus in site.all_buses)))


async def _one_bus(site: Site, bus_id: str) -> _Outcome:
    """Switch one bus off. One broken bus never keeps the others from being switched off."""
    bus = next(each for each in site.all_buses if each.id == bus_id)
    devices = {device.id for device in site.all_devices if device.bus == bus_id}
    outlets = [
        str(point.id)
        for point in site.points_on(bus_id)
        if point.relay is not None and point.relay.device in devices
    ]
    notes = _Notes()
    try:
        driver = BUSES[bus.kind](bus, site, notes, SystemClock())
        async with asyncio.timeout(BUS_S):
            results = dict(await driver.all_off())
    except TimeoutError:
        return _Outcome(bus_id, [], outlets, f"not finished within {BUS_S:g} s")
    except (PilegateError, OSError) as error:
        return _Outcome(bus_id, [], outlets, " ".join(str(error).split()))
    except Exception as error:  # noqa: BLE001 - a bug in one driver must not stop the other buses
        return _Outcome(bus_id, [], outlets, f"unexpected {type(error).__name__}: {error}")
    done = [each for each in outlets if results.get(OutletId(each)) is WriteResult.DONE]
    failed = [each for each in outlets if each not in done]
    why = "; ".join(notes.complaints.values()) or "no answer"
    return _Outcome(bus_id, done, failed, why)
