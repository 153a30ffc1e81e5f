"""The requests that switch relays, and those that set a module up. Pure."""

from __future__ import annotations

from dataclasses import replace

from drivers.modbus import frames
from drivers.modbus.lanes import Relay
from drivers.modbus.values import effective_limit, limit_registers
from gateway.config import Device, Outlet, Point, Site
from gateway.config.profile import CoilRelay, ModuleLimit, RegisterRelay
from gateway.core.errors import CorrectInput


def relay_of(device: Device, channel: int) -> Relay:
    """Say where a channel's relay is. Raises CorrectInput when the device has none."""
    style = device.profile.relay
    if style is None:
        raise CorrectInput(
            f"device {device.id}: profile {device.profile.profile} has no relay: give the outlet "
            "another one",
            field="relay",
        )
    # with a stride, the coils in between are nobody's and a joined write would change them
    joinable = isinstance(style, CoilRelay) and style.multiple and style.stride == 1
    return Relay(device.id, style.address_of(channel), joinable)


def switched_by(site: Site, point: Point) -> Relay:
    """Say where the relay of an outlet or a contactor is. Raises CorrectInput when it has none.

    A contactor is never opened by a write that was meant for outlets.
    """
    assert point.relay is not None
    relay = relay_of(site.device(point.relay.device), point.relay.channel)
    return relay if isinstance(point, Outlet) else replace(relay, joinable=False)


def switch_request(device: Device, address: int, *, on: bool) -> frames.Request:
    """Build the write that switches the one relay at ``address``."""
    style = device.profile.relay
    assert style is not None  # relay_of() has seen it
    if isinstance(style, CoilRelay):
        value = frames.COIL_ON if on else frames.COIL_OFF
        return frames.write_coil(device.unit, address, value)
    value = style.on if on else style.off
    if isinstance(style, RegisterRelay):
        return _write(device.unit, address, (value,), style.function)
    if style.function == "coil":
        return frames.write_coil(device.unit, address, value)
    return frames.write_register(device.unit, address, value)


def off_request(device: Device, first: int, last: int) -> frames.Request:
    """Build the write that switches the relays from ``first`` to ``last`` off."""
    if first == last:
        return switch_request(device, first, on=False)
    return frames.write_coils(device.unit, first, (False,) * (last - first + 1))


def setup_requests(site: Site, device: Device) -> tuple[frames.Request, ...]:
    """Build what is written when a device comes online: its watchdog, then the limits.

    A module's limits are those of the outlets it switches; where several share a register,
    the tightest counts.
    """
    requests = []
    watchdog = device.profile.watchdog
    if watchdog is not None:
        words = (watchdog.value,)
        requests.append(_write(device.unit, watchdog.address, words, watchdog.function))
    outlets = [outlet for outlet in site.outlets_on(device.bus) if outlet.relay.device == device.id]
    for spec in device.profile.module_limits:
        requests.extend(_limit_requests(device, spec, outlets))
    return tuple(requests)


def _limit_requests(
    device: Device, spec: ModuleLimit, outlets: list[Outlet]
) -> list[frames.Request]:
    by_address: dict[int, list[float | None]] = {}
    for outlet in outlets:
        address = spec.address_of(outlet.relay.channel)
        limit = effective_limit(outlet.limits, spec.limit, spec.delay_s)
        by_address.setdefault(address, []).append(limit)
    requests = []
    run_address, run = 0, list[int]()
    for address in sorted(by_address):
        words = limit_registers(spec, by_address[address])
        joins = spec.function == 16 and run
        if run and not (joins and address == run_address + len(run) and words is not None):
            requests.append(_write(device.unit, run_address, tuple(run), spec.function))
            run = []
        if words is None:
            continue
        if not run:
            run_address = address
        run.extend(words)
    if run:
        requests.append(_write(device.unit, run_address, tuple(run), spec.function))
    return requests


def _write(unit: int, address: int, words: tuple[int, ...], function: int) -> frames.Request:
    if function == frames.Function.WRITE_REGISTERS or len(words) > 1:
        return frames.write_registers(unit, address, words)
    return frames.write_register(unit, address, words[0])
