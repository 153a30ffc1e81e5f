"""``scan-bus``: which devices are on a line, and the snippet of a site file for them."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

import click

from drivers.modbus import frames
from drivers.modbus.likeness import Likeness
from drivers.modbus.survey import GREETINGS, Found, Survey
from drivers.modbus.visit import USUAL_TURNAROUND_MS, Visit
from drivers.modbus.wire import wire_of
from gateway.commands.failure import Unsuccessful
from gateway.commands.line import (
    CONVERTER,
    Parity,
    bus_at,
    refuse_while_guarded,
    say_it_once,
    where,
)
from gateway.commands.probe import decoded
from gateway.commands.profile_file import known_profiles
from gateway.commands.settings import Settings, global_options, pass_settings
from gateway.config import Bus, ConverterBus, Profile, RtuBus, TcpBus
from gateway.config.site_buses import FIRST_UNIT, ITSELF, LAST_UNIT
from gateway.core.errors import CorrectInput

BAUDS = (300, 921_600)
ON_A_LINE = f"{FIRST_UNIT}-{LAST_UNIT}"
ON_A_CONNECTION = f"{ON_A_LINE},{','.join(str(unit) for unit in sorted(ITSELF))}"
SAME_ANSWER = 4
"""So many units and none missing on a connection: it may be one device for all numbers."""


@dataclass(frozen=True, slots=True)
class Place:
    """A device that was found, and with which settings of the line."""

    bus: Bus
    found: Found


@click.command("scan-bus")
@click.argument("target", metavar="PORT|HOST:PORT|rtu://HOST:PORT")
@click.option(
    "--units",
    help="Such as 1-32 or 1,5,10-20.  [default: 1-247; with HOST:PORT also 0 and 255]",
)
@click.option("--baud", default="9600", show_default=True, help="One or several: 2400,9600.")
@click.option("--parity", default="N", show_default=True, help="N, E or O, or several: N,E.")
@click.option("--stop-bits", type=click.Choice([1, 2]), default=1, show_default=True)
@click.option("--timeout-ms", type=click.IntRange(1, 60_000), help="Longest wait for an answer.")
@click.option(
    "--profiles",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    multiple=True,
    metavar="DIR",
    help="A folder with profiles of your own; may be repeated.",
)
@global_options()
@pass_settings
def scan_bus(
    settings: Settings,
    target: str,
    *,
    units: str | None,
    baud: str,
    parity: str,
    stop_bits: Literal[1, 2],
    timeout_ms: int | None,
    profiles: tuple[Path, ...],
) -> None:
    """Find the devices on a line, and propose their profiles.

    Only reads are sent, never a write. No guard may hold the line. At the end stands what a site
    file needs for what was found.
    """
    buses = [
        bus_at(target, baud=speed, parity=kind, stop_bits=stop_bits, timeout_ms=timeout_ms)
        for speed in _bauds(baud)
        for kind in _parities(parity)
    ]
    if not isinstance(buses[0], RtuBus):
        del buses[1:]  # a connection has neither, and a converter is set by itself
    is_line = not isinstance(buses[0], TcpBus)
    units = units or (ON_A_LINE if is_line else ON_A_CONNECTION)
    numbers = unit_numbers(units)
    if is_line and 0 in numbers:
        raise CorrectInput("--units: unit 0 means every device of a line, and none answers")
    refuse_while_guarded(settings, buses[0])
    say_it_once()
    places = asyncio.run(_scan(buses, numbers, known_profiles(profiles)))
    if not places:
        raise Unsuccessful(
            f"no unit of {units} answers on {target}: check power and wiring (A and B swapped?), "
            f"{_what_else(buses[0])}"
        )
    for line in snippet(places, profiles):
        click.echo(line)
    names = {_names(place.found.best) for place in places if place.found.fits}
    is_same = len(places) == len(numbers) >= SAME_ANSWER and len(names) == 1
    if is_same and not is_line:
        click.echo("every unit asked answers: it may be one device that takes any unit number")


def _what_else(bus: Bus) -> str:
    """Say what may be wrong with a line that nobody answers on."""
    if isinstance(bus, RtuBus):
        return "try --baud 2400,4800,9600,19200 --parity N,E"
    if isinstance(bus, TcpBus):
        return (
            "and the line's speed that is set in the gateway; a converter without Modbus of its "
            f"own is {CONVERTER}{bus.place}"
        )
    return (
        "and the speed and parity that are set in the converter; where it is a Modbus gateway, "
        "ask HOST:PORT"
    )


async def _scan(
    buses: Sequence[Bus], units: Sequence[int], profiles: Sequence[Profile]
) -> list[Place]:
    places: list[Place] = []
    for bus in buses:
        known = {place.found.unit for place in places}
        left = [unit for unit in units if unit not in known]
        _progress(
            f"{where(bus)}: {len(left)} unit{'s' * (len(left) != 1)}, {_duration(bus, len(left))}",
            ends=True,
        )
        async with Visit(bus) as visit:
            survey = Survey(visit, profiles)
            for unit in left:
                _progress(f"{where(bus)}: unit {unit}")
                found = await survey.look(unit)
                if found is not None:
                    places.append(Place(bus, found))
                    _progress("")
                    click.echo(told(places[-1]))
            _progress("")
            if visit.came_late:
                click.echo(
                    "some answers came too late: a longer --timeout-ms may find more", err=True
                )
            if visit.advice is not None:
                click.echo(f"{where(bus)}: {visit.advice}", err=True)
    return places


def _duration(bus: Bus, count: int) -> str:
    """Say how long it takes when nobody answers."""
    wire = wire_of(bus)
    longest = frames.read(1, frames.Function.READ_INPUT, 0, 10)
    each_ms = bus.timeout_ms or wire.timeout_ms(longest, USUAL_TURNAROUND_MS)
    seconds = count * len(GREETINGS) * each_ms / 1_000
    return f"at most {seconds / 60:.0f} min" if seconds > 90 else f"at most {seconds:.0f} s"


def _progress(text: str, *, ends: bool = False) -> None:
    """Show where the scan is: one line that is written over, or lines where nobody looks."""
    if sys.stderr.isatty():
        click.echo(f"\r\x1b[K{text}", err=True, nl=ends)
    elif ends:
        click.echo(text, err=True)


def told(place: Place) -> str:
    """Say in one line what a unit is, and what it measures."""
    found = place.found
    at = f"unit {found.unit}"
    if isinstance(place.bus, RtuBus):
        at = f"{at} ({place.bus.baud} baud, {place.bus.parity}{place.bus.stop_bits})"
    if not _has_place(place):
        at += f", a reserved number: set it to one of 1 to {LAST_UNIT}"
    if not found.is_understood:
        return f"{at}: {found.why_not}"
    if not found.fits:
        refusals = f" ({found.why_not})" if found.why_not else ""
        return (
            f"{at}: answers, but fits no known profile{refusals}: "
            "drivers/modbus/README.md shows how to write one"
        )
    best = found.best
    return f"{at}: {_names(best)}: {', '.join(_values(best[0]))}"


def _has_place(place: Place) -> bool:
    """Say whether a site file may hold a device with this number."""
    is_itself = isinstance(place.bus, TcpBus) and place.found.unit in ITSELF
    return is_itself or place.found.unit <= LAST_UNIT


def _names(fits: Sequence[Likeness]) -> str:
    names = [fit.profile.profile for fit in fits]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} or {names[-1]}"


def _values(fit: Likeness) -> Iterator[str]:
    """Write a quantity once, with what it is on each channel: ``current_a 0/1.2/0``."""
    for quantity, value in fit.profile.values.items():
        found = [each for each in fit.readings if each.quantity is quantity]
        if value.stride == 0 and value.bit_stride == 0:
            del found[1:]  # shared by all channels
        if quantity.is_flag and len(found) > 1:
            yield f"{quantity} {''.join(str(int(bool(each.value))) for each in found)}"
        else:
            words = [decoded(each).removeprefix(f"{quantity} ") for each in found]
            yield f"{quantity} {'/'.join(words)}"


def snippet(places: Sequence[Place], folders: Sequence[Path] = ()) -> Iterator[str]:
    """Write what a site file needs for what was found."""
    by_bus: dict[str, list[Place]] = {}
    for place in places:
        if place.found.fits and _has_place(place):
            by_bus.setdefault(where(place.bus), []).append(place)
    if not by_bus:
        return
    groups = sorted(by_bus.values(), key=len, reverse=True)
    bus = groups[0][0].bus
    name = "net1" if isinstance(bus, TcpBus) else "line1"
    yield ""
    if folders:
        yield f"profiles: [{', '.join(json.dumps(str(folder)) for folder in folders)}]"
    yield "buses:"
    yield f"  - {_bus_line(name, bus)}"
    yield "devices:"
    for place in _once(groups[0]):
        yield f"  - {_device_line(name, place.found)}"
    for group in groups[1:]:
        yield f"  # at another speed, {where(group[0].bus)}: set them to the speed of the others"
        for place in group:
            yield f"  # - {_device_line(name, place.found)}"


def _once(places: Sequence[Place]) -> Sequence[Place]:
    """Leave out what a device with a connection of its own answers as besides: one number does."""
    others = [place for place in places if place.found.unit not in ITSELF]
    return others or places[-1:]


def _bus_line(name: str, bus: Bus) -> str:
    if isinstance(bus, RtuBus):
        return (
            f"{{id: {name}, kind: modbus-rtu, port: {bus.port}, baud: {bus.baud}, "
            f"parity: {bus.parity}, stop_bits: {bus.stop_bits}}}"
        )
    host = f'"{bus.host}"' if ":" in bus.host else bus.host
    line = f"{{id: {name}, kind: {bus.kind}, host: {host}, port: {bus.port}"
    if isinstance(bus, ConverterBus):
        line += f", baud: {bus.baud}, parity: {bus.parity}, stop_bits: {bus.stop_bits}"
    return f"{line}}}"


def _device_line(bus: str, found: Found) -> str:
    best = found.best
    profile = best[0].profile.profile
    device = f"{profile.split('-')[0]}-{found.unit}"
    line = f"{{id: {device}, bus: {bus}, unit: {found.unit}, profile: {profile}}}"
    others = [fit.profile.profile for fit in best[1:]]
    if not others:
        return line
    return f"{line}  # or {', '.join(others)}: see its label"


def unit_numbers(written: str) -> list[int]:
    """Read ``1-247`` or ``1,5,10-20``, from 0 to 255. Raises CorrectInput."""
    numbers: set[int] = set()
    for part in written.replace(" ", "").split(","):
        match = re.fullmatch(r"([0-9]{1,3})(?:-([0-9]{1,3}))?", part)
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
        if not 0 <= first <= last <= 255:
            raise CorrectInput(f"--units: expected 1-247 or 1,5,10-20, not {written!r}")
        numbers.update(range(first, last + 1))
    return sorted(numbers)


def _bauds(written: str) -> list[int]:
    parts = written.replace(" ", "").split(",")
    if not all(part.isdecimal() and BAUDS[0] <= int(part) <= BAUDS[1] for part in parts):
        raise CorrectInput(f"--baud: expected {BAUDS[0]} to {BAUDS[1]}, not {written!r}")
    return list(dict.fromkeys(int(part) for part in parts))


def _parities(written: str) -> list[Parity]:
    parts = written.replace(" ", "").upper().split(",")
    if not all(part in ("N", "E", "O") for part in parts):
        raise CorrectInput(f"--parity: expected N, E or O, not {written!r}")
    return [cast("Parity", part) for part in dict.fromkeys(parts)]
