"""The plan of a bus: what one round costs, and how long an overload lasts at worst. Pure.

How the worst times add up, for an outlet whose meter may be on another bus than its relay:

- *The sample's age.* An overload that begins just after its outlet was read is seen one period
  later, when that read's answer is complete. A period is ``poll_ms`` or the longest round there
  may be while outlets are in use, all of them, with a command between any two polls. Where the
  power is read less often than the current and a rule cuts off by it, that age counts. OFFs that
  keep others from harm are no such commands: they go first, and come on top.
- *One foreign transaction* on the relay's bus, the longest there is, as the bus may be busy.
- *The write*, until its last byte is on the wire. For all outlets of a module at once that is
  one joined write where the module can do that, otherwise one write and answer after another.

With a silent device (``…_silent_ms``) one time-out is added to the round, and the foreign
transaction is one that times out. Delays of protection rules come on top of all of these.
"""

from __future__ import annotations

from dataclasses import dataclass

from drivers.modbus.frames import Request
from drivers.modbus.ladder import cuts_by_power
from drivers.modbus.lanes import Lanes
from drivers.modbus.polling import SHARE_OF_SILENCE, Polling, commands_of, polling_of, silence_of
from drivers.modbus.timeline import typical_ms
from drivers.modbus.wire import SerialWire, Wire, turn_ms, wire_of
from drivers.modbus.writes import off_request, relay_of
from gateway.config import Bus, Device, Outlet, Quantity, Site
from gateway.core.ids import BusId, DeviceId, OutletId

_SERIAL_FRAMING = 3
"""Unit and check sum around a PDU."""
_TCP_FRAMING = 7
"""MBAP header."""


@dataclass(frozen=True, slots=True)
class PlannedRequest:
    """One read of a round."""

    device: DeviceId
    unit: int
    what: str
    """Such as ``read input 0-43``."""
    request_bytes: int
    answer_bytes: int
    wire_time_ms: float
    """Both frames and a gap after each, without the turn-around."""
    turnaround_ms: float
    timeout_ms: float


@dataclass(frozen=True, slots=True)
class OutletPlan:
    """Worst times from an overload of one outlet to its off frame."""

    outlet: OutletId
    device: DeviceId
    """Where its relay is."""
    worst_cut_ms: float
    worst_cut_silent_ms: float


@dataclass(frozen=True, slots=True)
class DevicePlan:
    """Worst times for the outlets whose relays are in one device."""

    device: DeviceId
    round_ms: float
    """What it takes of each round."""
    outlets: int
    worst_cut_ms: float
    worst_cut_silent_ms: float
    worst_cut_all_ms: float
    """From the overload of all its outlets at once to the last of their off frames."""
    worst_cut_all_silent_ms: float


@dataclass(frozen=True, slots=True)
class Detection:
    """From an overload (a weld, a relay that is found on) to the end of the answer that shows it.

    Every device answers and nothing but reads is on the wire. *Worst* is whatever outlets are in
    use; *typical* the mean, with every fourth of them in use.
    """

    in_use_worst_ms: float
    in_use_typical_ms: float
    idle_worst_ms: float
    idle_typical_ms: float
    slow_worst_ms: float
    """The longest age of a slow value."""


@dataclass(frozen=True, slots=True)
class BusPlan:
    """What ``pilegate check`` says about one bus. Times in ms; the worst are 0 without outlets."""

    bus: BusId
    kind: str
    poll_ms: float
    requests: tuple[PlannedRequest, ...]
    cycle_ms: float
    """One round of reads, turn-arounds included, nothing else on the bus."""
    period_ms: float
    """Longest time between two samples of an outlet while every device answers."""
    period_silent_ms: float
    """The same with one device silent."""
    utilisation: float
    """Share of the time that rounds take; 1.0 when they follow each other without a break."""
    leads: str | None
    """What is read most often of the outlets in use; None when all is read in every round."""
    detection: Detection
    silence_ms: float
    """The shortest time after which an outlet, or a module's watchdog, takes it for silent."""
    devices: tuple[DevicePlan, ...]
    outlets: tuple[OutletPlan, ...]

    @property
    def worst_cut_ms(self) -> float:
        """One outlet, every device answers."""
        return max((plan.worst_cut_ms for plan in self.devices), default=0.0)

    @property
    def worst_cut_silent_ms(self) -> float:
        """One outlet, one other device is silent."""
        return max((plan.worst_cut_silent_ms for plan in self.devices), default=0.0)

    @property
    def worst_cut_all_ms(self) -> float:
        """All outlets of one module at once, every device answers."""
        return max((plan.worst_cut_all_ms for plan in self.devices), default=0.0)

    @property
    def worst_cut_all_silent_ms(self) -> float:
        """All outlets of one module at once, one other device is silent."""
        return max((plan.worst_cut_all_silent_ms for plan in self.devices), default=0.0)


@dataclass(frozen=True, slots=True)
class _Costs:
    """What things cost on one bus."""

    wire: Wire
    polling: Polling
    reads: dict[DeviceId, tuple[tuple[str, Request], ...]]
    longest_ms: float
    """Longest transaction of any kind."""
    timeout_ms: float
    """Longest time-out."""
    cycle_ms: float
    period_ms: float
    """Longest time between two answers with what leads."""
    fast_ms: float
    """The same with any fast value."""

    def period_of(self, outlet: Outlet) -> float:
        """Give the longest time between two answers with what may cut an outlet off."""
        by_power = cuts_by_power(outlet) and not self.polling.leads(outlet.id, Quantity.POWER_W)
        return self.fast_ms if by_power else self.period_ms


def plan_bus(bus: Bus, site: Site) -> BusPlan:
    """Plan a bus. Raises CorrectInput when a device can't give what its profile promises."""
    own = _costs(bus, site)
    devices = site.devices_on(bus.id)
    outlets = [
        outlet
        for outlet in site.outlets_on(bus.id)
        if site.device(outlet.relay.device).bus == bus.id
    ]
    seen_on = {site.device((outlet.meter or outlet.relay).device).bus for outlet in outlets}
    costs = {bus.id: own} | {
        other.id: _costs(other, site)
        for other in site.buses
        if other.id in seen_on and other.id != bus.id
    }
    outlet_plans = tuple(_outlet_plan(site, costs, bus, outlet) for outlet in outlets)
    return BusPlan(
        bus=bus.id,
        kind=bus.kind,
        poll_ms=own.polling.poll_ms,
        requests=tuple(
            _planned(bus, own.wire, device, what, request)
            for device in devices
            for what, request in own.reads[device.id]
        ),
        cycle_ms=own.cycle_ms,
        period_ms=own.period_ms,
        period_silent_ms=own.period_ms + own.timeout_ms,
        utilisation=min(1.0, own.cycle_ms / own.polling.poll_ms) if own.polling.poll_ms else 1.0,
        leads=own.polling.what_leads,
        detection=_detection(own),
        silence_ms=silence_of(bus, site),
        devices=tuple(_device_plan(site, own, device, outlet_plans) for device in devices),
        outlets=outlet_plans,
    )


def input_seen_ms(bus: Bus, site: Site) -> float:
    """Bound the time from a change of an interlock's input to the end of the answer that shows it.

    Whichever outlets are in use, with a command between any two reads; every device answers.
    Raises CorrectInput as ``plan_bus``.
    """
    costs = _costs(bus, site)
    return costs.polling.input_gap_ms(costs.polling.command_ms) + costs.longest_ms


def input_silence_ms(bus: Bus, site: Site) -> float:
    """Give the shortest silence of an interlock that a bus can keep.

    Two answers in a row may be lost, and the worst wait for one is no silence.
    """
    polling = polling_of(bus, site)
    every_ms = polling.whole_ms if polling.pace else max(polling.poll_ms, polling.whole_ms)
    return max(SHARE_OF_SILENCE * every_ms, input_seen_ms(bus, site))


def _costs(bus: Bus, site: Site) -> _Costs:
    wire = wire_of(bus)
    polling = polling_of(bus, site)
    devices = site.devices_on(bus.id)
    reads = {
        device.id: tuple(
            (str(read), read.request(device.unit)) for read in polling.ladders[device.id].whole
        )
        for device in devices
    }
    longest_ms, timeouts_ms = [polling.command_ms], [0.0]
    for device in devices:
        for _, request in reads[device.id]:
            longest_ms.append(turn_ms(wire, device, request))
            timeouts_ms.append(_timeout_ms(bus, wire, device, request))
        commands = commands_of(site, device)
        timeouts_ms.extend(_timeout_ms(bus, wire, device, request) for request in commands)
    return _Costs(
        wire=wire,
        polling=polling,
        reads=reads,
        longest_ms=max(longest_ms),
        timeout_ms=max(timeouts_ms),
        cycle_ms=polling.whole_ms,
        period_ms=polling.longest_gap_ms(polling.command_ms),
        fast_ms=polling.oldest_ms(polling.command_ms)[0],
    )


def _detection(costs: _Costs) -> Detection:
    polling = costs.polling
    quarter = frozenset(sorted(polling.outlets - polling.inputs)[::4]) | polling.inputs
    in_use_ms, idle_ms = typical_ms(polling, quarter)
    fast_ms, slow_ms = polling.oldest_ms()
    return Detection(
        in_use_worst_ms=polling.longest_gap_ms() + costs.longest_ms,
        in_use_typical_ms=in_use_ms,
        idle_worst_ms=fast_ms + costs.longest_ms,
        idle_typical_ms=idle_ms,
        slow_worst_ms=slow_ms,
    )


def _timeout_ms(bus: Bus, wire: Wire, device: Device, request: Request) -> float:
    return bus.timeout_ms or wire.timeout_ms(request, device.turnaround_ms)


def _planned(bus: Bus, wire: Wire, device: Device, what: str, request: Request) -> PlannedRequest:
    framing = _SERIAL_FRAMING if isinstance(wire, SerialWire) else _TCP_FRAMING
    return PlannedRequest(
        device=device.id,
        unit=device.unit,
        what=what,
        request_bytes=len(request.pdu) + framing,
        answer_bytes=request.answer_length + framing,
        wire_time_ms=wire.transaction_ms(request),
        turnaround_ms=device.turnaround_ms,
        timeout_ms=_timeout_ms(bus, wire, device, request),
    )


def _outlet_plan(site: Site, costs: dict[BusId, _Costs], bus: Bus, outlet: Outlet) -> OutletPlan:
    meter = outlet.meter or outlet.relay
    seen = costs[site.device(meter.device).bus]
    device = site.device(outlet.relay.device)
    own = costs[bus.id]
    address = relay_of(device, outlet.relay.channel).address
    write_ms = own.wire.sent_ms(off_request(device, address, address))
    seen_ms = seen.period_of(outlet) + seen.longest_ms
    return OutletPlan(
        outlet=outlet.id,
        device=device.id,
        worst_cut_ms=seen_ms + own.longest_ms + write_ms,
        worst_cut_silent_ms=seen_ms + seen.timeout_ms + own.timeout_ms + write_ms,
    )


def _device_plan(
    site: Site, costs: _Costs, device: Device, outlets: tuple[OutletPlan, ...]
) -> DevicePlan:
    own = [outlet for outlet in outlets if outlet.device == device.id]
    worst_ms = max((outlet.worst_cut_ms for outlet in own), default=0.0)
    silent_ms = max((outlet.worst_cut_silent_ms for outlet in own), default=0.0)
    single_ms, all_ms = _write_times_ms(site, costs.wire, device)
    return DevicePlan(
        device=device.id,
        round_ms=sum(turn_ms(costs.wire, device, request) for _, request in costs.reads[device.id]),
        outlets=len(own),
        worst_cut_ms=worst_ms,
        worst_cut_silent_ms=silent_ms,
        worst_cut_all_ms=worst_ms - single_ms + all_ms,
        worst_cut_all_silent_ms=silent_ms - single_ms + all_ms,
    )


def _write_times_ms(site: Site, wire: Wire, device: Device) -> tuple[float, float]:
    """Give the time of one off frame, and that of switching all the device's outlets off."""
    relays = {
        outlet.id: relay_of(device, outlet.relay.channel)
        for outlet in site.outlets_on(device.bus)
        if outlet.relay.device == device.id
    }
    lanes = Lanes(relays)
    for outlet in relays:
        lanes.put_off(outlet, urgent=True)
    single_ms = all_ms = last_ms = 0.0
    while (off := lanes.take_cut(lambda _: 0)) is not None:
        request = off_request(device, off.first, off.last)
        single_ms = wire.sent_ms(off_request(device, off.first, off.first))
        all_ms += last_ms + wire.sent_ms(request)
        last_ms = turn_ms(wire, device, request) - wire.sent_ms(request)
    return single_ms, all_ms
