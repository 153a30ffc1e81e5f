"""What ``check`` says about interlocks: what trips each of them, how soon, and what it opens."""

from __future__ import annotations

from functools import lru_cache

import click

from drivers.modbus.plan import input_seen_ms
from drivers.mqtt.plan import seen_within
from gateway.config import Interlock, MqttBus, MqttDevice, Site


def print_interlocks(site: Site) -> list[str]:
    """Print a line for each interlock; give a line for each that its bus can't keep."""
    broken: list[str] = []
    on_bus = lru_cache(maxsize=None)(lambda name: _bus_seen_ms(site, name))
    for interlock in site.interlocks:
        device = site.any_device(interlock.input.device)
        if isinstance(device, MqttDevice):
            seen_ms = _plug_seen_ms(site, device)
            is_told_often = not device.profile.is_on_change
        else:
            seen_ms, is_told_often = on_bus(device.bus), True
        click.echo(_line(interlock, seen_ms))
        if is_told_often and seen_ms is not None and seen_ms >= interlock.rule.silence_s * 1_000:
            broken.append(f"{site.place('interlock', interlock.id)}{_broken(interlock, seen_ms)}")
    return broken


def _bus_seen_ms(site: Site, name: str) -> float:
    bus = next(bus for bus in site.buses if bus.id == name)
    return input_seen_ms(bus, site)


def _plug_seen_ms(site: Site, device: MqttDevice) -> float | None:
    bus = site.bus(device.bus)
    assert isinstance(bus, MqttBus)
    return seen_within(device.profile, bus.poll_ms)[0]


def _line(interlock: Interlock, seen_ms: float | None) -> str:
    rule, at = interlock.rule, interlock.input
    opens = [f"{len(interlock.outlets)} outlets", *(f"circuit {c}" for c in interlock.circuits)]
    trips = "on" if rule.trips_when_on else "off"
    lasting = f" for {rule.delay_s:g} s" if rule.delay_s else ""
    seen = "nobody can say how soon" if seen_ms is None else f"after at most {seen_ms:.0f} ms"
    return (
        f"interlock {interlock.id}: {interlock.watches.value.replace('_', ' ')}; "
        f"trips when {at.device}:{at.channel} is {trips}{lasting}, or unread for "
        f"{rule.silence_s:g} s; seen {seen}; opens {' and '.join(opens)}"
    )


def _broken(interlock: Interlock, seen_ms: float) -> str:
    rule, at = interlock.rule, interlock.input
    return (
        f".silence_s: input {at.channel} of {at.device} may not be read for {seen_ms:.0f} ms while "
        f"every device answers, and after {rule.silence_s:g} s it counts as tripped: raise it, "
        "raise the baud rate, or put fewer devices on the bus"
    )
