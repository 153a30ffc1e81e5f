"""The site file as people write it: one model for each mapping in it.

``SiteFile`` describes a whole file, for the JSON Schema; reading goes part by part, so that
an error in one part does not hide the errors in the others.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, WithJsonSchema

from gateway.config.circuit_file import CircuitItem
from gateway.config.interlock_file import InterlockItem
from gateway.config.patterns import (
    CLIENT_PATTERN,
    HOST_PATTERN,
    TOPIC_PATTERN,
)
from gateway.config.profile import LIMITS_SCHEMA, FileModel
from gateway.config.settings_file import BrokerItem, GuardItem, ServeItem
from gateway.config.site_words import ChannelItem, ChannelNumber, FilePath, Name, Title

MIN_POLL_MS = 50
MAX_POLL_MS = 60_000


def _absolute(port: str) -> str:
    if not port.startswith("/"):
        raise ValueError(
            f"expected an absolute path such as /dev/serial/by-id/… or /dev/ttyUSB0, not {port!r}"
        )
    return port


def _topic(topic: str) -> str:
    if topic.startswith(("/", "$")) or topic.endswith("/") or "//" in topic:
        raise ValueError("a topic has no empty parts, and does not begin with $")
    return topic


LimitsData = Annotated[Any, WithJsonSchema(LIMITS_SCHEMA)]
PollMs = Annotated[int, Field(ge=MIN_POLL_MS, le=MAX_POLL_MS, examples=[1_000])]
TimeoutMs = Annotated[int, Field(ge=5, le=10_000, examples=[200])]


class SiteItem(FileModel):
    """What this site is called."""

    id: Name = Field(examples=["shed-7"])
    """Id of the site: small letters, digits, '.', '_' and '-'."""
    name: Title | None = None
    """Name for people."""


Baud = Literal[1200, 2400, 4800, 9600, 19200, 38400, 57600, 115200, 230400]


class PromiseItem(FileModel):
    """What `pilegate check` must find kept."""

    cut_off_ms: int = Field(default=2_500, ge=100, le=60_000)
    """Longest time from an overload to its off frame, in ms."""


class RtuItem(FileModel):
    """A serial line with Modbus RTU."""

    id: Name = Field(examples=["line1"])
    """Id of the bus."""
    kind: Literal["modbus-rtu"]
    """Modbus RTU on a serial line."""
    port: Annotated[FilePath, AfterValidator(_absolute)] = Field(
        examples=["/dev/ttyUSB0"], json_schema_extra={"pattern": "^/"}
    )
    """Device file, absolute. A pattern such as /dev/serial/by-id/usb-FTDI_* stands for the one
    port that fits: it finds a converter that comes back under another name."""
    baud: Baud = 9600
    """Bits a second."""
    parity: Literal["N", "E", "O"] = "N"
    """None, even or odd."""
    stop_bits: Literal[1, 2] = 1
    """Stop bits of a character."""
    poll_ms: PollMs = 1_000
    """One round of reads begins every so often, in ms."""
    timeout_ms: TimeoutMs | None = None
    """Longest wait for an answer, in ms; null: worked out from the baud rate."""


class ConverterItem(FileModel):
    """A serial line behind a converter that passes Modbus RTU frames on over TCP as they are."""

    id: Name = Field(examples=["line2"])
    """Id of the bus."""
    kind: Literal["modbus-rtu-tcp"]
    """Modbus RTU over TCP: the converter's transparent mode, as a TCP server."""
    host: str = Field(pattern=HOST_PATTERN, examples=["192.0.2.11"])
    """Host name or address of the converter."""
    port: int = Field(ge=1, le=0xFFFF, examples=[8899])
    """TCP port of the line; each make has its own, such as 4196, 8234 or 8899."""
    baud: Baud = 9600
    """Bits a second on the line, as set in the converter."""
    parity: Literal["N", "E", "O"] = "N"
    """None, even or odd, as set in the converter."""
    stop_bits: Literal[1, 2] = 1
    """Stop bits of a character, as set in the converter."""
    poll_ms: PollMs = 1_000
    """One round of reads begins every so often, in ms."""
    timeout_ms: TimeoutMs | None = None
    """Longest wait for an answer, in ms; null: worked out from the baud rate and the network."""


class TcpItem(FileModel):
    """A device or a gateway with Modbus TCP."""

    id: Name = Field(examples=["net1"])
    """Id of the bus."""
    kind: Literal["modbus-tcp"]
    """Modbus TCP."""
    host: str = Field(pattern=HOST_PATTERN, examples=["192.0.2.10"])
    """Host name or address."""
    port: int = Field(default=502, ge=1, le=0xFFFF)
    """TCP port."""
    poll_ms: PollMs = 1_000
    """One round of reads begins every so often, in ms."""
    timeout_ms: TimeoutMs | None = None
    """Longest wait for an answer, in ms; null: the driver's own."""


class MqttTlsItem(FileModel):
    """TLS to a broker, PEM; relative to the site file."""

    ca: FilePath | None = None
    """Authorities that are trusted; without it the system's."""
    cert: FilePath | None = None
    """Certificate of this client, for brokers that ask for one."""
    key: FilePath | None = None
    """Private key of that certificate."""


class MqttItem(FileModel):
    """A connection to an MQTT broker with plugs behind it."""

    id: Name = Field(examples=["plugs"])
    """Id of the bus."""
    kind: Literal["mqtt"]
    """MQTT 3.1.1."""
    host: str = Field(default="127.0.0.1", pattern=HOST_PATTERN, examples=["127.0.0.1"])
    """Host name or address of the broker."""
    port: int | None = Field(default=None, ge=1, le=0xFFFF, examples=[1883])
    """TCP port; null: 1883, or 8883 with tls."""
    username: str | None = Field(default=None, min_length=1, max_length=200)
    """Name at the broker."""
    password_file: FilePath | None = None
    """File whose first line is the password; relative to the site file."""
    tls: MqttTlsItem | None = None
    """TLS; without it everything is sent in the clear."""
    client_id: str | None = Field(
        default=None, pattern=CLIENT_PATTERN, examples=["pilegate-shed-plugs"]
    )
    """Name of this client, which no other may have; null: pilegate-<site>-<bus>."""
    keepalive_s: int = Field(default=15, ge=5, le=600)
    """A broker that is silent for longer is taken for gone, in s."""
    poll_ms: PollMs = 1_000
    """Plugs that can be asked are asked this often, in ms."""
    promise: PromiseItem | None = None
    """Accepted for the plugs of this bus instead of the site's promise."""


BusItem = Annotated[RtuItem | ConverterItem | TcpItem | MqttItem, Field(discriminator="kind")]


class PlugItem(FileModel):
    """One plug behind a broker."""

    id: Name = Field(examples=["t1"])
    """Id of the device."""
    bus: Name
    """Id of its bus."""
    topic: Annotated[str, AfterValidator(_topic)] = Field(
        pattern=TOPIC_PATTERN, examples=["tasmota_8C2F11", "zigbee-plug-3"]
    )
    """The name it goes by in its family's topics; Tasmota: or its FullTopic with %prefix% in it."""
    profile: Name = Field(examples=["tasmota-plug"])
    """Name of its profile."""
    power_on: Literal["safe"] | None = None
    """safe: a person has seen to it that it stays off when the mains come back."""
    promise: PromiseItem | None = None
    """Accepted for this plug instead of the site's promise."""


class DeviceItem(FileModel):
    """One Modbus device on a bus."""

    id: Name = Field(examples=["m1"])
    """Id of the device."""
    bus: Name
    """Id of its bus."""
    unit: int = Field(ge=0, le=255, examples=[1])
    """Modbus unit, 1 to 247. A single device with Modbus TCP may have 0 or 255 instead."""
    profile: Name = Field(examples=["pilegate-ref10"])
    """Name of its profile."""
    turnaround_ms: int | None = Field(default=None, ge=0, le=1_000)
    """Time it takes before it answers, in ms, where it differs from its profile's."""


class ModuleItem(FileModel):
    """Short form: one outlet for each channel of a device that measures and switches."""

    device: Name
    """Id of the device."""
    channels: (
        Annotated[int, WithJsonSchema({"type": "integer", "minimum": 1})]
        | Annotated[str, WithJsonSchema({"type": "string", "pattern": "^[0-9 ,-]+$"})]
    ) = Field(examples=["1-10", "1-4,7"])
    """Channels, from 1."""
    outlets: str = Field(
        default="{pile}-{channel}",
        max_length=100,
        examples=["n1-{channel}"],
        json_schema_extra={"pattern": r"\{channel\}"},
    )
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
    broker: Any = None
    """The embedded MQTT broker."""
    buses: Any
    """Serial lines and connections."""
    devices: Any
    """Devices on them."""
    stations: Any
    """Stations with piles with outlets."""
    circuits: Any = None
    """Feeds with their limits."""
    interlocks: Any = None
    """Smoke, water and heat detectors, emergency stops."""


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
    broker: BrokerItem | None = None
    """The embedded MQTT broker; absent: there is none."""
    buses: tuple[BusItem, ...]
    """Serial lines and connections."""
    devices: tuple[DeviceItem | PlugItem, ...]
    """Devices on them: with a unit (Modbus), or with a topic (MQTT)."""
    stations: tuple[StationItem, ...]
    """Stations with piles with outlets."""
    circuits: tuple[CircuitItem, ...] | None = None
    """Feeds with their limits: a tree of circuits for each supply."""
    interlocks: tuple[InterlockItem, ...] | None = None
    """Inputs that open what they guard: smoke, heat, water, tilt, emergency stop."""
