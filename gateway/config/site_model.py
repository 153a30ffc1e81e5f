"""A site as the program sees it: everything resolved, checked and frozen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Literal

from gateway.config.channel import Channel
from gateway.config.circuit_model import Circuit, FeedPoint, feed_points
from gateway.config.interlock_model import InputPoint, Interlock, input_point
from gateway.config.mqtt_profile import MqttProfile, PowerOn
from gateway.config.profile import Profile
from gateway.config.settings_model import BrokerSettings, GuardSettings, ServeSettings
from gateway.core.errors import NotKnown
from gateway.core.ids import BusId, CircuitId, DeviceId, OutletId, PileId, StationId
from gateway.guard.limits import Limits


@dataclass(frozen=True, slots=True, kw_only=True)
class RtuBus:
    """A serial line."""

    id: BusId
    port: str
    """Device file, absolute."""
    baud: int = 9_600
    parity: Literal["N", "E", "O"] = "N"
    stop_bits: Literal[1, 2] = 1
    poll_ms: int = 1_000
    """One round of reads begins every so often."""
    timeout_ms: int | None = None
    """Longest wait for an answer; None: worked out from the baud rate."""
    kind: Literal["modbus-rtu"] = "modbus-rtu"

    @property
    def place(self) -> str:
        """Say where it is."""
        return f"{self.port} at {self.baud} baud"


@dataclass(frozen=True, slots=True, kw_only=True)
class TcpBus:
    """A Modbus TCP connection."""

    id: BusId
    host: str
    port: int = 502
    poll_ms: int = 1_000
    """One round of reads begins every so often."""
    timeout_ms: int | None = None
    """Longest wait for an answer; None: the driver's own."""
    kind: Literal["modbus-tcp"] = "modbus-tcp"

    @property
    def place(self) -> str:
        """Say where it is."""
        return f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ConverterBus:
    """A serial line behind a converter that carries its bytes over TCP as they are."""

    id: BusId
    host: str
    port: int
    baud: int = 9_600
    """Of the line; set in the converter."""
    parity: Literal["N", "E", "O"] = "N"
    stop_bits: Literal[1, 2] = 1
    poll_ms: int = 1_000
    """One round of reads begins every so often."""
    timeout_ms: int | None = None
    """Longest wait for an answer; None: worked out from the baud rate and the network."""
    kind: Literal["modbus-rtu-tcp"] = "modbus-rtu-tcp"

    @property
    def place(self) -> str:
        """Say where it is."""
        return f"{self.host}:{self.port}, a line at {self.baud} baud"


Bus = RtuBus | TcpBus | ConverterBus
"""A line or connection with Modbus."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MqttTls:
    """TLS to a broker; without ``ca`` the system's authorities are trusted."""

    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MqttBus:
    """A connection to a broker, and the plugs behind it."""

    id: BusId
    client_id: str
    host: str = "127.0.0.1"
    port: int = 1_883
    username: str | None = None
    password_file: Path | None = None
    """The password is its first line; read at each connection."""
    tls: MqttTls | None = None
    keepalive_s: int = 15
    poll_ms: int = 1_000
    """Plugs that can be asked are asked this often."""
    promise_cut_off_ms: int | None = None
    """Accepted here instead of the site's promise."""
    kind: Literal["mqtt"] = "mqtt"


AnyBus = Bus | MqttBus


@dataclass(frozen=True, slots=True, kw_only=True)
class MqttDevice:
    """One plug behind a broker."""

    id: DeviceId
    bus: BusId
    topic: str
    """The name it goes by in its family's topics."""
    profile: MqttProfile
    power_on: PowerOn
    """The profile's, unless the site file says otherwise."""
    promise_cut_off_ms: int | None = None
    """Accepted here instead of the bus's or the site's promise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """One Modbus device on a bus."""

    id: DeviceId
    bus: BusId
    unit: int
    """Modbus unit, 1 to 247; 0 or 255 of a single device with Modbus TCP."""
    profile: Profile
    turnaround_ms: int
    """The profile's, unless the site file says otherwise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlet:
    """One outlet: what switches it, what measures it, and what it may do."""

    id: OutletId
    name: str
    pile: PileId
    station: StationId
    relay: Channel
    meter: Channel | None
    limits: Limits
    origins: Mapping[str, str] = field(repr=False)
    """Where each limit comes from: ``{"overpower.above_w": "pile/n1"}``. A rule that is
    switched off stands there under its own name. Origins are ``default``,
    ``profile/<name>``, ``site``, ``station/<id>``, ``pile/<id>`` and ``outlet/<id>``."""

    @property
    def silence_s(self) -> float:
        """It has to be heard more often than this."""
        return self.limits.silence.delay_s


Point = Outlet | FeedPoint | InputPoint
"""What drivers poll and switch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pile:
    """A pile of outlets."""

    id: PileId
    name: str
    station: StationId
    outlets: tuple[OutletId, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Station:
    """A place with piles."""

    id: StationId
    name: str
    piles: tuple[PileId, ...]


@dataclass(frozen=True, kw_only=True)
class Site:
    """Everything that one gateway looks after."""

    id: str
    name: str
    file: Path
    """The file it was read from."""
    state_dir: Path
    promise_cut_off_ms: int
    """Longest time from an overload to its off frame that ``pilegate check`` must find kept."""
    buses: tuple[Bus, ...]
    """With Modbus."""
    devices: tuple[Device, ...]
    """With Modbus."""
    outlets: tuple[Outlet, ...]
    piles: tuple[Pile, ...]
    stations: tuple[Station, ...]
    mqtt_buses: tuple[MqttBus, ...] = ()
    plugs: tuple[MqttDevice, ...] = ()
    """Devices behind a broker."""
    circuits: tuple[Circuit, ...] = ()
    """Feeds, each after its parent."""
    interlocks: tuple[Interlock, ...] = ()
    broker: BrokerSettings | None = None
    """The embedded broker; None: there is none."""
    guard: GuardSettings = field(default_factory=GuardSettings)
    serve: ServeSettings = field(default_factory=ServeSettings)
    warnings: tuple[str, ...] = ()
    """One line each, with file, line and key."""
    places: Mapping[str, str] = field(default_factory=dict)
    """Where buses, devices and interlocks stand (``file:line: key``), by ``bus/ID`` and so on."""

    def place(self, kind: Literal["bus", "device", "interlock"], name: str) -> str:
        """Say where a bus, a device or an interlock stands: its file at the least."""
        return self.places.get(f"{kind}/{name}", str(self.file))

    @property
    def all_buses(self) -> tuple[AnyBus, ...]:
        """Buses of every kind."""
        return (*self.buses, *self.mqtt_buses)

    @property
    def all_devices(self) -> tuple[Device | MqttDevice, ...]:
        """Devices of every kind."""
        return (*self.devices, *self.plugs)

    @cached_property
    def _outlets(self) -> dict[str, Outlet]:
        return {outlet.id: outlet for outlet in self.outlets}

    @cached_property
    def _devices(self) -> dict[str, Device]:
        return {device.id: device for device in self.devices}

    @cached_property
    def _plugs(self) -> dict[str, MqttDevice]:
        return {plug.id: plug for plug in self.plugs}

    @cached_property
    def _buses(self) -> dict[str, AnyBus]:
        return {bus.id: bus for bus in self.all_buses}

    @cached_property
    def _groups(self) -> dict[tuple[str, str], tuple[Outlet, ...]]:
        groups: dict[tuple[str, str], list[Outlet]] = {("site", self.id): list(self.outlets)}
        groups.update({("station", station.id): [] for station in self.stations})
        groups.update({("pile", pile.id): [] for pile in self.piles})
        for outlet in self.outlets:
            groups["outlet", outlet.id] = [outlet]
            groups["pile", outlet.pile].append(outlet)
            groups["station", outlet.station].append(outlet)
        for circuit in self.circuits:
            hanging = self._beneath[circuit.id]
            groups["circuit", circuit.id] = [o for o in self.outlets if o.id in hanging]
        return {key: tuple(members) for key, members in groups.items()}

    @cached_property
    def _circuits(self) -> dict[str, Circuit]:
        return {circuit.id: circuit for circuit in self.circuits}

    @cached_property
    def _beneath(self) -> dict[str, set[OutletId]]:
        """The outlets that a circuit feeds, by itself or by others."""
        beneath = {circuit.id: set(circuit.outlets) for circuit in self.circuits}
        for circuit in reversed(self.circuits):
            if circuit.parent is not None:
                beneath[circuit.parent] |= beneath[circuit.id]
        return {str(circuit): outlets for circuit, outlets in beneath.items()}

    @cached_property
    def feed_points(self) -> tuple[FeedPoint, ...]:
        """Meters and contactors of circuits."""
        return tuple(point for circuit in self.circuits for point in feed_points(circuit))

    @cached_property
    def input_points(self) -> tuple[InputPoint, ...]:
        """Inputs of interlocks."""
        return tuple(input_point(interlock) for interlock in self.interlocks)

    @property
    def other_points(self) -> tuple[FeedPoint | InputPoint, ...]:
        """Whatever is polled or switched and is no outlet."""
        return (*self.feed_points, *self.input_points)

    @cached_property
    def _bus_points(self) -> dict[str, tuple[Point, ...]]:
        by_bus: dict[str, list[Point]] = {
            bus: list(outlets) for bus, outlets in self._bus_outlets.items()
        }
        for point in self.other_points:
            channel = point.relay or point.meter
            assert channel is not None
            by_bus[self.any_device(channel.device).bus].append(point)
        return {bus: tuple(points) for bus, points in by_bus.items()}

    @cached_property
    def _feeding(self) -> dict[OutletId, tuple[CircuitId, ...]]:
        lines: dict[str, tuple[CircuitId, ...]] = {}
        for circuit in self.circuits:
            above = () if circuit.parent is None else lines[circuit.parent]
            lines[circuit.id] = (circuit.id, *above)
        return {outlet: lines[c.id] for c in self.circuits for outlet in c.outlets}

    @cached_property
    def _bus_outlets(self) -> dict[str, tuple[Outlet, ...]]:
        by_bus: dict[str, list[Outlet]] = {bus.id: [] for bus in self.all_buses}
        for outlet in self.outlets:
            channels = (outlet.relay, outlet.meter)
            buses = {self.any_device(channel.device).bus for channel in channels if channel}
            for bus in sorted(buses):
                by_bus[bus].append(outlet)
        return {bus: tuple(members) for bus, members in by_bus.items()}

    def outlet(self, outlet_id: str) -> Outlet:
        """Look up an outlet. Raises NotKnown."""
        found = self._outlets.get(outlet_id)
        if found is None:
            raise NotKnown(f"no outlet {outlet_id!r} in site {self.id}: see `pilegate outlets`")
        return found

    def device(self, device_id: str) -> Device:
        """Look up a Modbus device. Raises NotKnown."""
        found = self._devices.get(device_id)
        if found is None:
            raise NotKnown(f"no device {device_id!r} in site {self.id}: see its site file")
        return found

    def any_device(self, device_id: str) -> Device | MqttDevice:
        """Look up a device of any kind. Raises NotKnown."""
        return self._plugs.get(device_id) or self.device(device_id)

    def circuit(self, circuit_id: str) -> Circuit:
        """Look up a circuit. Raises NotKnown."""
        found = self._circuits.get(circuit_id)
        if found is None:
            raise NotKnown(f"no circuit {circuit_id!r} in site {self.id}: see `pilegate circuits`")
        return found

    def feeding(self, outlet_id: OutletId) -> tuple[CircuitId, ...]:
        """Circuits that feed an outlet, from the nearest to the top of their tree."""
        return self._feeding.get(outlet_id, ())

    def bus(self, bus_id: str) -> AnyBus:
        """Look up a bus. Raises NotKnown."""
        found = self._buses.get(bus_id)
        if found is None:
            raise NotKnown(f"no bus {bus_id!r} in site {self.id}: see its site file")
        return found

    def outlets_of(self, kind: str, target_id: str) -> tuple[Outlet, ...]:
        """Outlets of an outlet, a pile, a station, a circuit or the site. Raises NotKnown."""
        found = self._groups.get((kind, target_id))
        if found is None:
            raise NotKnown(f"no {kind} {target_id!r} in site {self.id}: see `pilegate outlets`")
        return found

    def outlets_on(self, bus_id: str) -> tuple[Outlet, ...]:
        """Outlets that have their relay or their meter on a bus. Raises NotKnown."""
        self.bus(bus_id)
        return self._bus_outlets[bus_id]

    def points_on(self, bus_id: str) -> tuple[Point, ...]:
        """Whatever is polled or switched on a bus: outlets, and circuits' meters and contactors.

        Raises NotKnown.
        """
        self.bus(bus_id)
        return self._bus_points[bus_id]

    def devices_on(self, bus_id: str) -> tuple[Device, ...]:
        """Modbus devices of a bus, in the order of the site file. Raises NotKnown."""
        self.bus(bus_id)
        return tuple(device for device in self.devices if device.bus == bus_id)

    def plugs_on(self, bus_id: str) -> tuple[MqttDevice, ...]:
        """Devices behind the broker of a bus, in the order of the site file. Raises NotKnown."""
        self.bus(bus_id)
        return tuple(plug for plug in self.plugs if plug.bus == bus_id)
