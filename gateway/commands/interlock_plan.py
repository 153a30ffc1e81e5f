"""What ``check`` says about interlocks: what trips each of them, how soon, and what it opens."""

from __future__ import annotations

import math
from functools import cache
from typing import NamedTuple

import click

from drivers.modbus.plan import input_seen_ms, input_silence_ms
from drivers.mqtt.plan import seen_within
from gateway.config import Interlock, MqttBus, MqttDevice, Site


class _Way(NamedTuple):
    """How an input comes here."""

    seen_ms: float | None
    """Until a change is seen, at the latest; None: nobody can say."""
    silence_ms: float
    """The shortest silence that can be kept."""


def print_interlocks(site: Site) -> list[str]:
    """Print a line for each interlock; give a line for each that its bus can't keep."""
    broken: list[str] = []
    on_bus = cache(lambda name: _by_bus(site, name))
    for interlock in site.interlocks:
        device = site.any_device(interlock.input.device)
        plug = isinstance(device, MqttDevice)
        way = _by_plug(site, device) if isinstance(device, MqttDevice) else on_bus(device.bus)
        click.echo(_line(interlock, way.seen_ms))
        if interlock.rule.silence_s * 1_000 < way.silence_ms:
            place = site.place("interlock", interlock.id)
            broken.append(f"{place}.silence_s: {_broken(interlock, way, is_plug=plug)}")
    return broken


def _by_bus(site: Site, name: str) -> _Way:
    bus = next(bus for bus in site.buses if bus.id == name)
    return _Way(input_seen_ms(bus, site), input_silence_ms(bus, site))


def _by_plug(site: Site, device: MqttDevice) -> _Way:
    bus = site.bus(device.bus)
    assert isinstance(bus, MqttBus)
    seen_ms, _ = seen_within(device.profile, bus.poll_ms)
    # Of one that tells changes alone, its availability says whether it is there.
    told_often = seen_ms is not None and not device.profile.is_on_change
    return _Way(seen_ms, seen_ms if told_often and seen_ms is not None else 0.0)


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


def _broken(interlock: Interlock, way: _Way, *, is_plug: bool) -> str:
    at, silence_s = interlock.input, interlock.rule.silence_s
    least_s = math.ceil(way.silence_ms / 100) / 10
    or_else = (
        "or have it tell more often"
        if is_plug
        else "raise the baud rate, or put fewer devices on the bus"
    )
    return (
        f"input {at.channel} of {at.device} can't be read often enough to count as tripped after "
        f"{silence_s:g} s without an answer: give it {least_s:g} s or more, {or_else}"
    )
