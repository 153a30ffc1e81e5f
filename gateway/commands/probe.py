"""``probe``: one device read once, raw and decoded side by side."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Literal

import click

from drivers.modbus.frames import Request
from drivers.modbus.likeness import Reading, every_read, readings
from drivers.modbus.visit import Visit
from gateway.commands.columns import columns
from gateway.commands.failure import Unsuccessful
from gateway.commands.line import Parity, bus_at, is_place, refuse_while_guarded, say_it_once, where
from gateway.commands.profile_file import modbus_profile
from gateway.commands.settings import Settings, global_options, pass_settings
from gateway.config import Bus, Profile, Quantity, TcpBus
from gateway.core.errors import CorrectInput

Row = tuple[Request, list[Reading]]


@click.command()
@click.argument("target")
@click.option("--unit", type=click.IntRange(0, 255), help="Unit number, with a port or HOST:PORT.")
@click.option("--profile", metavar="P", help="Profile's name or file, with a port or HOST:PORT.")
@click.option("--baud", type=click.IntRange(300, 921_600), default=9_600, show_default=True)
@click.option("--parity", type=click.Choice(["N", "E", "O"]), default="N", show_default=True)
@click.option("--stop-bits", type=click.Choice([1, 2]), default=1, show_default=True)
@click.option("--timeout-ms", type=click.IntRange(1, 60_000), help="Longest wait for an answer.")
@global_options()
@pass_settings
def probe(
    settings: Settings,
    target: str,
    *,
    unit: int | None,
    profile: str | None,
    baud: int,
    parity: Parity,
    stop_bits: Literal[1, 2],
    timeout_ms: int | None,
) -> None:
    """Read one device once: raw registers and what its profile makes of them.

    TARGET is a DEVICE of the site file, or a serial port or HOST:PORT with --unit and --profile.
    Only reads are sent. No guard may hold the line.
    """
    if is_place(target):
        if unit is None or profile is None:
            missing = "--unit" if unit is None else "--profile"
            raise CorrectInput(f"{missing} is missing: {target} is no device of the site file")
        bus = bus_at(target, baud=baud, parity=parity, stop_bits=stop_bits, timeout_ms=timeout_ms)
        if unit == 0 and not isinstance(bus, TcpBus):
            raise CorrectInput("--unit 0 means every device of a line, and none answers")
        known = modbus_profile(profile)
        turnaround_ms = known.turnaround_ms
    else:
        bus, unit, known, turnaround_ms = _of_site(settings, target)
        known = known if profile is None else modbus_profile(profile)
    refuse_while_guarded(settings, bus)
    say_it_once()
    rows, complaints = asyncio.run(_read(bus, unit, known, turnaround_ms))
    if rows:
        click.echo(f"unit {unit} on {where(bus)}, profile {known.profile}")
        _print(rows)
    if complaints:
        raise Unsuccessful(f"unit {unit} on {where(bus)}: {'; '.join(complaints)}")


def _of_site(settings: Settings, device_id: str) -> tuple[Bus, int, Profile, int]:
    site = settings.site()
    if any(plug.id == device_id for plug in site.plugs):
        raise CorrectInput(f"{device_id} is a plug behind a broker: probe reads Modbus devices")
    device = site.device(device_id)
    bus = next(bus for bus in site.buses if bus.id == device.bus)
    return bus, device.unit, device.profile, device.turnaround_ms


async def _read(
    bus: Bus, unit: int, profile: Profile, turnaround_ms: int
) -> tuple[list[Row], list[str]]:
    rows: list[Row] = []
    complaints = []
    async with Visit(bus) as visit:
        for read in every_read(profile):
            request = read.request(unit)
            heard = await visit.ask(request, turnaround_ms=turnaround_ms)
            if heard.data is not None:
                rows.append((request, readings(read, request, heard.data)))
                continue
            advice = f"check profile {profile.profile}"
            if not heard.is_there:
                advice = "check its power, wiring and unit number, and the line's speed"
            complaints.append(f"{read}: {heard.why}: {advice}")
            if not heard.is_there:
                break  # it would be silent as long for each of the rest
        if visit.advice is not None:
            click.echo(f"{where(bus)}: {visit.advice}", err=True)
    return rows, complaints


def _print(rows: Sequence[Row]) -> None:
    table = [("channel", "function", "address", "raw", "decoded")]
    for request, found in rows:
        table += [
            (
                str(reading.channel),
                f"{request.function:02d}",
                f"{reading.address} (0x{reading.address:04X})",
                raw(reading),
                decoded(reading),
            )
            for reading in found
        ]
    for line in columns(table, "  "):
        click.echo(line)


def raw(reading: Reading) -> str:
    """Write registers in hex, a bit as it is."""
    if reading.is_bit:
        return str(reading.raw[0])
    return " ".join(f"{word:04x}" for word in reading.raw)


def decoded(reading: Reading) -> str:
    """Write a value with its unit in its name; energy in Wh, as meters show it."""
    value = reading.value
    if value is None:
        return f"{reading.quantity} unknown"
    if reading.quantity is Quantity.ENERGY_WH:
        value = value / 1_000
    if isinstance(value, bool):
        return f"{reading.quantity} {'true' if value else 'false'}"
    return f"{reading.quantity} {number(value)}"


def number(value: float) -> str:
    """Write a number: ten digits of a counter, the seven that a float of 32 bits has."""
    exact = f"{value:.10g}"
    return exact if len(exact) <= 10 else f"{value:.7g}"
