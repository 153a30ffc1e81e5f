"""A line or connection named on the command line, for commands that ask devices directly."""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import Literal

from gateway.commands.ask import guard_pid
from gateway.commands.settings import Settings
from gateway.config import Bus, ConverterBus, RtuBus, TcpBus
from gateway.core.errors import CorrectInput, Refused
from gateway.core.ids import BusId

Parity = Literal["N", "E", "O"]
DEFAULT_PORT = 502
CONVERTER = "rtu://"
"""Before HOST:PORT of a converter that passes the bytes of a line on as they are."""
_HOST_PORT = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+)(?::(?P<port>[0-9]{1,5}))?\Z")


def is_place(target: str) -> bool:
    """Say whether a target is a port or HOST:PORT, and not the id of a device."""
    return "/" in target or ":" in target or target.count(".") >= 3


def bus_at(
    target: str, *, baud: int, parity: Parity, stop_bits: Literal[1, 2], timeout_ms: int | None
) -> Bus:
    """Make a bus of a port, ``HOST:PORT`` or ``rtu://HOST:PORT``. Raises CorrectInput."""
    if target.startswith(CONVERTER):
        host, port = _host_and_port(target.removeprefix(CONVERTER), None)
        return ConverterBus(
            id=BusId(target),
            host=host,
            port=port,
            baud=baud,
            parity=parity,
            stop_bits=stop_bits,
            timeout_ms=timeout_ms,
        )
    if "/" in target:
        return RtuBus(
            id=BusId(target),
            port=str(Path(target).absolute()),
            baud=baud,
            parity=parity,
            stop_bits=stop_bits,
            timeout_ms=timeout_ms,
        )
    if "." not in target and (Path("/dev") / target).exists():
        raise CorrectInput(
            f"{target!r} is no HOST:PORT: did you mean /dev/{target}?", field="target"
        )
    host, port = _host_and_port(target, DEFAULT_PORT)
    return TcpBus(id=BusId(target), host=host, port=port, timeout_ms=timeout_ms)


def _host_and_port(text: str, default: int | None) -> tuple[str, int]:
    match = _HOST_PORT.match(text)
    port = int(match["port"] or default or 0) if match else 0
    if match is None or not 0 < port < 65_536:
        raise CorrectInput(
            f"{text!r} is neither a serial port (/dev/ttyUSB0) nor HOST:PORT (192.0.2.7:502); "
            f"a converter without Modbus of its own is {CONVERTER}HOST:PORT",
            field="target",
        )
    return match["host"].strip("[]"), port


def where(bus: Bus) -> str:
    """Say where a bus is, with its settings."""
    if isinstance(bus, TcpBus):
        return bus.place
    return f"{bus.place}, {bus.parity}{bus.stop_bits}"


def say_it_once() -> None:
    """Keep what the driver logs to itself: it is told by what the command prints."""
    logging.getLogger().addHandler(logging.NullHandler())


def refuse_while_guarded(settings: Settings, bus: Bus) -> None:
    """Raise Refused while a guard of this machine holds the line: two masters would collide.

    Raises CorrectInput where one runs and nobody says of which site.
    """
    try:
        pid = guard_pid(settings.socket())
    except CorrectInput:
        return  # no site file: no guard that could be known; a serial port is locked by its user
    if pid is None:
        return
    try:
        site = settings.site()
    except CorrectInput as err:
        raise CorrectInput(
            f"a guard (pid {pid}) runs here, and may hold {where(bus)}: {err}"
        ) from err
    if any(_same(bus, other) for other in site.buses):
        raise Refused(
            f"the guard (pid {pid}) holds {where(bus)}: stop it first, as two masters collide "
            "(what it reads: pilegate outlets)",
            code="bus_held",
        )


def _same(one: Bus, other: object) -> bool:
    if isinstance(one, RtuBus):
        return isinstance(other, RtuBus) and bool(_devices(one) & _devices(other))
    return isinstance(other, TcpBus | ConverterBus) and _end(one) == _end(other)


def _devices(bus: RtuBus) -> set[Path]:
    """Find the devices a port means: it may be a symbolic link, or a pattern."""
    found = Path("/").glob(bus.port.lstrip("/"))
    return {path.resolve() for path in (Path(bus.port), *found)}


def _end(bus: TcpBus | ConverterBus) -> tuple[str, int]:
    host = bus.host.lower()
    return "127.0.0.1" if host in ("localhost", "::1") else host, bus.port
