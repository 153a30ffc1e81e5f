"""The site file as people write it: one model for each mapping in it.

``SiteFile`` describes a whole file, for the JSON Schema; reading goes part by part, so that
an error in one part does not hide the errors in the others.
"""

from __future__ import annotations

import ipaddress
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, WithJsonSchema

from gateway.config.profile import LIMITS_SCHEMA, FileModel
from gateway.core.ids import NAME_PATTERN

MIN_POLL_MS = 50
MAX_POLL_MS = 60_000
LOCAL_HOST = "localhost"


def _printable(path: str) -> str:
    if not path.isprintable():
        raise ValueError("a path holds no control characters")
    return path


def _absolute(port: str) -> str:
    if not port.startswith("/"):
        raise ValueError(
            f"expected an absolute path such as /dev/serial/by-id/… or /dev/ttyUSB0, not {port!r}"
        )
    return port


def _database(url: str) -> str:
    if not url.startswith(("sqlite:///", "postgresql://")):
        raise ValueError("expected a URL that begins with sqlite:/// or postgresql://")
    return url


def split_listen(listen: str) -> tuple[str, int]:
    """Take ``host:port`` or ``[host]:port`` apart. Raises ValueError with a line for people."""
    host, colon, port = listen.rpartition(":")
    host = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if not colon or not host or not port.isascii() or not port.isdigit() or int(port) > 0xFFFF:
        raise ValueError(f"expected host:port such as 127.0.0.1:8480, not {listen[:60]!r}")
    return host, int(port)


def is_loopback(host: str) -> bool:
    """Say whether only this machine can reach ``host``."""
    if host.lower() == LOCAL_HOST:
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _listen(listen: str) -> str:
    split_listen(listen)
    return listen


Name = Annotated[str, Field(pattern=NAME_PATTERN)]
Title = Annotated[str, Field(min_length=1, max_length=200)]
FilePath = Annotated[str, Field(min_length=1, max_length=4_096), AfterValidator(_printable)]
ChannelNumber = Annotated[int, Field(ge=1, le=256)]
LimitsData = Annotated[Any, WithJsonSchema(LIMITS_SCHEMA)]
PollMs = Annotated[int, Field(ge=MIN_POLL_MS, le=MAX_POLL_MS, examples=[1_000])]
TimeoutMs = Annotated[int, Field(ge=5, le=10_000, examples=[200])]


class SiteItem(FileModel):
    """What this site is called."""

    id: Name = Field(examples=["shed-7"])
    """Id of the site: small letters, digits, '.', '_' and '-'."""
    name: Title | None = None
    """Name for people."""


class PromiseItem(FileModel):
    """What `pilegate check` must find kept."""

    cut_off_ms: int = Field(default=2_500, ge=100, le=60_000)
    """Longest time from an overload to its off frame, in ms."""


class GuardItem(FileModel):
    """Settings of the guard process."""

    socket_group: str | None = Field(default=None, pattern=r"^[a-z_][a-z0-9_-]{0,31}$")
    """Members of this group may use the control socket."""
    journal_max_mb: int = Field(default=512, ge=16, le=1_000_000)
    """Largest size of the journal, in MB."""
    minutes_retention_days: int = Field(default=30, ge=1, le=3_650)
    """How long minute aggregates are kept, in days."""


class TlsItem(FileModel):
    """Certificate and key of the API, PEM; relative to the site file."""

    cert: FilePath
    """Certificate chain."""
    key: FilePath
    """Private key."""


class ServeItem(FileModel):
    """Settings of the serve process."""

    listen: Annotated[str, AfterValidator(_listen)] = Field(
        default="127.0.0.1:8480", examples=["127.0.0.1:8480", "[::1]:8480"]
    )
    """Address and port of the API; other than loopback only with tls."""
    database: Annotated[str, AfterValidator(_database)] = Field(
        default="sqlite:///serve.db", examples=["sqlite:///serve.db"]
    )
    """URL of the business database; a relative SQLite file lies in the state directory."""
    tls: TlsItem | None = None
    """Certificate and key; without them the API speaks plain HTTP, on loopback only."""


class RtuItem(FileModel):
    """A serial line with Modbus RTU."""

    id: Name = Field(examples=["line1"])
    """Id of the bus."""
    kind: Literal["modbus-rtu"]
    """Modbus RTU on a serial line."""
    port: Annotated[FilePath, AfterValidator(_absolute)] = Field(examples=["/dev/ttyUSB0"])
    """Device file, absolute."""
    baud: Literal[1200, 2400, 4800, 9600, 19200, 38400, 57600, 115200, 230400] = 9600
    """Bits a second."""
    parity: Literal["N", "E", "O"] = "N"
    """None, even or odd."""
    stop_bits: Literal[1, 2] = 1
    """Stop bits of a character."""
    poll_ms: PollMs = 1_000
    """One round of reads begins every so often, in ms."""
    timeout_ms: TimeoutMs | None = None
    """Longest wait for an answer, in ms; null: worked out from the baud rate."""


class TcpItem(FileModel):
    """A device or a gateway with Modbus TCP."""

    id: Name = Field(examples=["net1"])
    """Id of the bus."""
    kind: Literal["modbus-tcp"]
    """Modbus TCP."""
    host: str = Field(pattern=r"^[0-9A-Za-z.:_-]{1,253}$", examples=["192.0.2.10"])
    """Host name or address."""
    port: int = Field(default=502, ge=1, le=0xFFFF)
    """TCP port."""
    poll_ms: PollMs = 1_000
    """One round of reads begins every so often, in ms."""
    timeout_ms: TimeoutMs | None = None
    """Longest wait for an answer, in ms; null: the driver's own."""


BusItem = Annotated[RtuItem | TcpItem, Field(discriminator="kind")]


class DeviceItem(FileModel):
    """One device on a bus."""

    id: Name = Field(examples=["m1"])
    """Id of the device."""
    bus: Name
    """Id of its bus."""
    unit: int = Field(ge=1, le=247)
    """Modbus unit."""
    profile: Name = Field(examples=["pilegate-ref10"])
    """Name of its profile."""
    turnaround_ms: int | None = Field(default=None, ge=0, le=1_000)
    """Time it takes before it answers, in ms, where it differs from its profile's."""


class ChannelItem(FileModel):
    """One channel of a device."""

    device: Name
    """Id of the device."""
    channel: ChannelNumber = 1
    """Channel, from 1."""


class ModuleItem(FileModel):
    """Short form: one outlet for each channel of a device that measures and switches."""

    device: Name
    """Id of the device."""
    channels: int | str = Field(examples=["1-10", "1-4,7"])
    """Channels, from 1."""
    outlets: str = Field(default="{pile}-{channel}", max_length=100, examples=["n1-{channel}"])
    """Ids of the outlets; {channel} and {pile} are filled in."""


class OutletItem(FileModel):
    """One outlet. With a device for both, or with a meter and a relay of their own.

    With neither it refines the outlet of the same id that `module` made.
    """

    id: Name = Field(examples=["n1-1"])
    """Id of the outlet."""
    name: Title | None = None
    """Name for people; its id without one."""
    device: Name | None = None
    """Device that measures and switches."""
    channel: ChannelNumber | None = None
    """Channel of that device, from 1."""
    meter: ChannelItem | None = None
    """What measures it."""
    relay: ChannelItem | None = None
    """What switches it."""
    limits: LimitsData = None
    """Limits of this outlet alone."""


class PileHead(FileModel):
    """A pile, with its outlets unread."""

    id: Name = Field(examples=["n1"])
    """Id of the pile."""
    name: Title | None = None
    """Name for people; its id without one."""
    limits: LimitsData = None
    """Limits of its outlets."""
    module: Any = None
    """Short form: one outlet for each channel of a device."""
    outlets: tuple[Any, ...] = ()
    """Outlets written out, and what differs in those of the module."""


class StationHead(FileModel):
    """A station, with its piles unread."""

    id: Name = Field(examples=["north"])
    """Id of the station."""
    name: Title | None = None
    """Name for people; its id without one."""
    limits: LimitsData = None
    """Limits of its outlets."""
    piles: tuple[Any, ...]
    """Piles of the station."""


class SiteHead(FileModel):
    """The keys of a site file, with everything under them unread."""

    site: Any
    """What this site is called."""
    state_dir: Any = None
    """Where journal and sockets lie; relative to the site file."""
    promise: Any = None
    """What `pilegate check` must find kept."""
    profiles: Any = None
    """Folders with profiles of this site's own, relative to the site file."""
    limits: LimitsData = None
    """Limits of all outlets."""
    guard: Any = None
    """Settings of the guard process."""
    serve: Any = None
    """Settings of the serve process."""
    buses: Any
    """Serial lines and connections."""
    devices: Any
    """Devices on them."""
    stations: Any
    """Stations with piles with outlets."""


class PileItem(PileHead):
    """A pile of outlets."""

    module: ModuleItem | None = None
    """Short form: one outlet for each channel of a device."""
    outlets: tuple[OutletItem, ...] = ()
    """Outlets written out, and what differs in those of the module."""


class StationItem(StationHead):
    """A place with piles."""

    piles: tuple[PileItem, ...]
    """Piles of the station."""


class SiteFile(SiteHead):
    """One site: its buses, devices, stations, piles, outlets and limits."""

    site: SiteItem
    """What this site is called."""
    state_dir: FilePath = Field(default="/var/lib/pilegate", examples=["./state"])
    """Where journal and sockets lie; relative to the site file."""
    promise: PromiseItem | None = None
    """What `pilegate check` must find kept."""
    profiles: tuple[FilePath, ...] | None = Field(default=None, examples=[["./profiles"]])
    """Folders with profiles of this site's own, relative to the site file."""
    guard: GuardItem | None = None
    """Settings of the guard process."""
    serve: ServeItem | None = None
    """Settings of the serve process."""
    buses: tuple[BusItem, ...]
    """Serial lines and connections."""
    devices: tuple[DeviceItem, ...]
    """Devices on them."""
    stations: tuple[StationItem, ...]
    """Stations with piles with outlets."""
