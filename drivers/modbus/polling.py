"""How a bus is polled: whole, or by what matters first. Pure.

A bus on which everything can be read within ``poll_ms`` is read whole in every round: nothing
would be gained. Otherwise ``schedule.py`` says what is read when, and the wire never rests.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from drivers.modbus.frames import Request
from drivers.modbus.ladder import Ladder, leading_of
from drivers.modbus.lanes import Lanes
from drivers.modbus.reads import Read, plan_reads, wanted_of
from drivers.modbus.schedule import Menu, Pace, longest_gap_ms, oldest_ms
from drivers.modbus.wire import Wire, turn_ms, wire_of
from drivers.modbus.writes import off_request, setup_requests, switch_request, switched_by
from gateway.config import Bus, Device, InputPoint, Quantity, Site
from gateway.core.ids import DeviceId, OutletId

SLOW_MS = 15_000.0
"""How often slow values are to be read. Energy is counted from the power, and kept within one
step of the register; in fifteen seconds 240 W are 1 Wh, a common step."""
NO_SILENCE_MS = 10_000.0
"""For a bus without an outlet."""
SHARE_OF_SILENCE = 3
"""Values are to be read so many times within the shortest time after which an outlet of the bus,
an interlock or a module's watchdog takes silence for a fault: two answers in a row may be lost."""
LONGEST_SHARE = 0.85
"""Of that time, the bound of their age takes no more than this if the wire allows it."""


@dataclass(frozen=True, slots=True)
class Polling:
    """The reads of a bus, and how often each is made."""

    ladders: Mapping[DeviceId, Ladder]
    poll_ms: float
    """The bus's, or less where an interlock's input has to be read more often."""
    pace: Pace | None
    """None: everything in every round."""
    command_ms: float
    """The longest command of the bus: there may be one between any two reads."""

    @property
    def whole_ms(self) -> float:
        """What reading everything once takes, nothing else on the wire."""
        return sum(ladder.whole_ms for ladder in self.ladders.values())

    def menus(self, in_use: frozenset[OutletId], between_ms: float = 0.0) -> dict[DeviceId, Menu]:
        """Give what turns cost with these outlets in use, and so much between any two reads."""
        return {
            device: _menu(ladder, in_use, between_ms) for device, ladder in self.ladders.items()
        }

    def longest_gap_ms(self, between_ms: float = 0.0) -> float:
        """Bound the time between two answers with what leads of an outlet that is in use."""
        menus = self.menus(self.outlets, between_ms).values()
        if self.pace is None:
            # one round begins on time with nothing between its reads; the next a command late,
            # and with one between any two
            between_all_ms = sum(menu.whole_ms for menu in menus) - self.whole_ms
            return max(self.poll_ms, self.whole_ms) + between_all_ms
        return longest_gap_ms(menus)

    def oldest_ms(self, between_ms: float = 0.0) -> tuple[float, float]:
        """Bound the ages of fast and of slow values, as long as every device answers."""
        if self.pace is None:
            gap_ms = self.longest_gap_ms(between_ms)
            return gap_ms, gap_ms
        menus = self.menus(self.outlets, between_ms).values()
        return oldest_ms(menus, self.pace)

    def input_gap_ms(self, between_ms: float = 0.0) -> float:
        """Bound the time between two reads of an interlock's input, while every device answers.

        While an outlet is in use it is read in every round; while none is, everything is. Between
        the two lies at most the rest of one round and the beginning of another, and each of them
        asks a device once.
        """
        if self.pace is None:
            return self.longest_gap_ms(between_ms)
        menus = self.menus(self.outlets, between_ms).values()
        return 2 * sum(menu.whole_ms for menu in menus)

    def leads(self, outlet: OutletId, quantity: Quantity) -> bool:
        """Say whether a quantity is read as often as any, once the outlet is in use."""
        return self.pace is None or any(
            (outlet, quantity) in ladder.leading for ladder in self.ladders.values()
        )

    @property
    def what_leads(self) -> str | None:
        """Name what is read most often; None when all is read in every round."""
        if self.pace is None:
            return None
        found = {quantity for ladder in self.ladders.values() for _, quantity in ladder.leading}
        return " and ".join(quantity.rpartition("_")[0] for quantity in sorted(found))

    @property
    def outlets(self) -> frozenset[OutletId]:
        """Outlets of which something leads here, and inputs, which always do."""
        return frozenset(outlet for ladder in self.ladders.values() for outlet in ladder.outlets)

    @property
    def inputs(self) -> frozenset[OutletId]:
        """Inputs of interlocks: asked as if in use while any outlet is."""
        leading = (pair for ladder in self.ladders.values() for pair in ladder.leading)
        return frozenset(point for point, quantity in leading if quantity is Quantity.INPUT_ON)


def _menu(ladder: Ladder, in_use: frozenset[OutletId], between_ms: float) -> Menu:
    lead = ladder.lead(in_use & ladder.outlets)
    return Menu(
        ladder.lead_ms(in_use & ladder.outlets) + between_ms * len(lead),
        ladder.fast_ms + between_ms * len(ladder.fast),
        ladder.whole_ms + between_ms * len(ladder.whole),
    )


def polling_of(bus: Bus, site: Site) -> Polling:
    """Plan how a bus is polled. Raises CorrectInput for an impossible plan.

    The power leads beside the current where the site's promise could not be kept otherwise for
    the rule *overpower*: it costs time that the current then has to wait.
    """
    wire = wire_of(bus)
    command_ms = max(
        (
            turn_ms(wire, device, request)
            for device in site.devices_on(bus.id)
            for request in commands_of(site, device)
        ),
        default=0.0,
    )
    without = _polling(bus, site, wire, command_ms, power=False)
    if without.pace is None or without.oldest_ms(command_ms)[0] <= site.promise_cut_off_ms:
        return without
    return _polling(bus, site, wire, command_ms, power=True)


def _polling(bus: Bus, site: Site, wire: Wire, command_ms: float, *, power: bool) -> Polling:
    ladders = {
        device.id: _ladder(site, wire, device, power=power) for device in site.devices_on(bus.id)
    }
    poll_ms = min(float(bus.poll_ms), _input_silence_ms(bus, site) / SHARE_OF_SILENCE)
    at_once = Polling(ladders, poll_ms, None, command_ms)
    if at_once.whole_ms <= poll_ms:
        return at_once
    silence_ms = silence_of(bus, site)
    wanted = Pace(silence_ms / SHARE_OF_SILENCE, 0.0)
    menus = list(at_once.menus(at_once.outlets).values())
    over_ms = oldest_ms(menus, wanted)[0] - LONGEST_SHARE * silence_ms
    least_ms = sum(menu.fast_ms for menu in menus)
    fast_ms = max(wanted.fast_ms - max(0.0, over_ms), least_ms)
    return Polling(ladders, poll_ms, Pace(fast_ms, max(SLOW_MS, fast_ms)), command_ms)


def _ladder(site: Site, wire: Wire, device: Device, *, power: bool) -> Ladder:
    def cost(read: Read) -> float:
        return turn_ms(wire, device, read.request(device.unit))

    wanted = wanted_of(site, device)
    leading = leading_of(wanted, site.outlets_on(device.bus), power=power)
    in_parts = not device.profile.whole_reads
    return Ladder(plan_reads(device.profile, wanted), leading, cost, in_parts)


def silence_of(bus: Bus, site: Site) -> float:
    """Give the shortest time after which silence has consequences on a bus, in ms.

    But for interlocks: their inputs lead, and are read more often than the pace asks for.
    """
    points = site.points_on(bus.id)
    outlets = [point.silence_s * 1_000 for point in points if not isinstance(point, InputPoint)]
    watchdogs = [
        device.profile.watchdog.timeout_ms
        for device in site.devices_on(bus.id)
        if device.profile.watchdog is not None
    ]
    return float(min((*outlets, *watchdogs), default=NO_SILENCE_MS))


def _input_silence_ms(bus: Bus, site: Site) -> float:
    """Give the shortest time after which an interlock takes its input for tripped, unread."""
    points = site.points_on(bus.id)
    silences = (point.silence_s * 1_000 for point in points if isinstance(point, InputPoint))
    return min(silences, default=math.inf)


def commands_of(site: Site, device: Device) -> list[Request]:
    """List the writes that may come in between polls: of the OFFs those that join the most."""
    commands = list(setup_requests(site, device))
    points = site.points_on(device.bus)
    relays = {
        point.id: switched_by(site, point)
        for point in points
        if point.relay and point.relay.device == device.id
    }
    if relays:
        address = next(iter(relays.values())).address
        commands.append(switch_request(device, address, on=True))
    lanes = Lanes(relays)
    for point in relays:
        lanes.put_off(point, urgent=False)
    while (off := lanes.take_off(lambda _: 0)) is not None:
        commands.append(off_request(device, off.first, off.last))
    return commands
