"""Site files as the simulators need them: buses, devices, and what each outlet hangs on."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path as FilePath
from typing import Any

from gateway.core.errors import CorrectFiles, Problem
from simulators.mqtt.places import (
    MqttPlace,
    PlugPlace,
    PlugProfile,
    is_plug_profile,
    mqtt_place,
    read_plug_profile,
)
from simulators.profiles import SimProfile, read_profile
from simulators.yaml_lines import Document, Path, read_yaml

_ROOT = FilePath(__file__).resolve().parent.parent
_PACKAGED = _ROOT / "gateway" / "config" / "data" / "profiles"
_CHECKOUT = _ROOT / "config" / "profiles"

BUILT_IN_PROFILES = _PACKAGED if _PACKAGED.is_dir() else _CHECKOUT
"""Folder of the profiles that come with the program: packaged, or in a source checkout."""


@dataclass(frozen=True, slots=True)
class TcpPlace:
    """Where a Modbus TCP bus is listened on."""

    id: str
    host: str
    port: int


@dataclass(frozen=True, slots=True)
class LinePlace:
    """Where a serial line is, and how fast it is. ``char_bits``: start, data, parity, stop."""

    id: str
    port: FilePath
    baud: int
    char_bits: int


@dataclass(frozen=True, slots=True)
class ConverterPlace:
    """Where a converter listens, and how fast the line behind it is."""

    id: str
    host: str
    port: int
    baud: int
    char_bits: int


@dataclass(frozen=True, slots=True)
class DevicePlace:
    """A device on a bus."""

    id: str
    bus: str
    unit: int
    profile: SimProfile
    turnaround_ms: float


@dataclass(frozen=True, slots=True)
class OutletPlace:
    """``(device, channel from 1)`` of an outlet's meter and relay."""

    id: str
    pile: str
    meter: tuple[str, int] | None
    relay: tuple[str, int]
    station: str = ""


@dataclass(frozen=True, slots=True)
class CircuitPlace:
    """A feed: which feed it hangs on, what hangs on it directly, and how it is seen and opened."""

    id: str
    parent: str | None
    outlets: tuple[str, ...]
    meter: tuple[str, int] | None
    contactor: tuple[str, int] | None


@dataclass(frozen=True, slots=True)
class SimSite:
    """What a site file says about the hardware."""

    file: FilePath
    lines: tuple[LinePlace | ConverterPlace, ...]
    tcp: tuple[TcpPlace, ...]
    devices: tuple[DevicePlace, ...]
    outlets: tuple[OutletPlace, ...]
    brokers: tuple[MqttPlace, ...] = ()
    plugs: tuple[PlugPlace, ...] = ()
    circuits: tuple[CircuitPlace, ...] = ()
    quiet_inputs: Mapping[tuple[str, int], bool] = field(default_factory=dict)
    """Inputs of interlocks, by device and channel, and what each is while all is well."""


def read_site(path: FilePath) -> SimSite:
    """Read a site file and the profiles it names. Raises CorrectFiles."""
    document = read_yaml(path)
    try:
        return _SiteReader(path, document).site()
    except (KeyError, TypeError, ValueError, AttributeError) as err:
        told = f"is missing {err}" if isinstance(err, KeyError) else str(err)
        problem = Problem(str(path), None, "", f"{told}; `pilegate check {path}` says where")
        raise CorrectFiles([problem]) from err


class _SiteReader:
    def __init__(self, path: FilePath, document: Document) -> None:
        self._path = path
        self._document = document
        self._data = document.data
        self._profiles: dict[str, SimProfile | PlugProfile] = {}

    def site(self) -> SimSite:
        lines: list[LinePlace | ConverterPlace] = []
        tcp: list[TcpPlace] = []
        brokers: list[MqttPlace] = []
        for bus in self._data["buses"]:
            if bus["kind"] == "modbus-rtu":
                lines.append(self._line(bus))
            elif bus["kind"] == "modbus-rtu-tcp":
                lines.append(self._converter(bus))
            elif bus["kind"] == "modbus-tcp":
                tcp.append(TcpPlace(bus["id"], str(bus["host"]), int(bus.get("port", 502))))
            elif bus["kind"] == "mqtt":
                brokers.append(mqtt_place(bus, self._path.parent))
        devices: list[DevicePlace] = []
        plugs: list[PlugPlace] = []
        for index, item in enumerate(self._data["devices"]):
            profile = self._profile(str(item["profile"]), ("devices", index, "profile"))
            if isinstance(profile, PlugProfile):
                plugs.append(PlugPlace(item["id"], item["bus"], str(item["topic"]), profile))
            else:
                devices.append(_device(item, profile))
        outlets = tuple(self._outlets())
        return SimSite(
            self._path,
            tuple(lines),
            tuple(tcp),
            tuple(devices),
            outlets,
            tuple(brokers),
            tuple(plugs),
            tuple(self._circuits(outlets)),
            dict(self._quiet_inputs()),
        )

    def _quiet_inputs(self) -> Iterator[tuple[tuple[str, int], bool]]:
        for item in self._data.get("interlocks") or []:
            at = item["input"]
            trips_on = item.get("trips_when", "off") == "on"
            yield (str(at["device"]), int(at.get("channel", 1))), not trips_on

    def _circuits(self, outlets: Sequence[OutletPlace]) -> Iterator[CircuitPlace]:
        """Read feeds; of several that name an outlet it hangs on the one farthest from the top."""
        items = {str(item["id"]): item for item in self._data.get("circuits") or []}

        def depth(circuit: str) -> int:
            parent = items[circuit].get("parent")
            return 0 if parent is None else 1 + depth(str(parent))

        fed = {
            outlet.id: circuit
            for circuit in sorted(items, key=depth)
            for written in items[circuit].get("feeds") or []
            for outlet in outlets
            if _hangs_on(outlet, str(written))
        }
        for name, item in items.items():
            yield CircuitPlace(
                id=name,
                parent=item.get("parent"),
                outlets=tuple(outlet for outlet, circuit in fed.items() if circuit == name),
                meter=_place(item["meter"]) if item.get("meter") else None,
                contactor=_place(item["contactor"]) if item.get("contactor") else None,
            )

    def _line(self, bus: dict[str, Any]) -> LinePlace:
        port = FilePath(str(bus["port"]))
        return LinePlace(bus["id"], port, int(bus.get("baud", 9600)), _char_bits(bus))

    def _converter(self, bus: dict[str, Any]) -> ConverterPlace:
        baud = int(bus.get("baud", 9600))
        return ConverterPlace(bus["id"], str(bus["host"]), int(bus["port"]), baud, _char_bits(bus))

    def _profile(self, name: str, path: Path) -> SimProfile | PlugProfile:
        if name not in self._profiles:
            folders = [self._path.parent / folder for folder in self._data.get("profiles") or []]
            files = [folder / f"{name}.yaml" for folder in (*folders, BUILT_IN_PROFILES)]
            found = next((file for file in files if file.is_file()), None)
            if found is None:
                problem = self._document.problem(path, f"no profile file {name}.yaml is there")
                raise CorrectFiles([problem])
            read = read_plug_profile if is_plug_profile(found) else read_profile
            self._profiles[name] = read(found)
        return self._profiles[name]

    def _outlets(self) -> Iterator[OutletPlace]:
        for station in self._data["stations"]:
            for pile in station["piles"]:
                at = str(station["id"]), str(pile["id"])
                module = pile.get("module")
                if module:
                    form = str(module.get("outlets", "{pile}-{channel}"))
                    for channel in _channels(module["channels"]):
                        outlet_id = form.format(pile=at[1], channel=channel)
                        place = (str(module["device"]), channel)
                        yield OutletPlace(outlet_id, at[1], place, place, at[0])
                for outlet in pile.get("outlets") or []:
                    if any(outlet.get(key) for key in ("device", "meter", "relay")):
                        yield self._outlet(*at, outlet)
                    # else it names or limits an outlet of the module

    def _outlet(self, station: str, pile: str, outlet: dict[str, Any]) -> OutletPlace:
        if "device" in outlet:
            place = _place(outlet)
            return OutletPlace(str(outlet["id"]), pile, place, place, station)
        meter = _place(outlet["meter"]) if outlet.get("meter") else None
        return OutletPlace(str(outlet["id"]), pile, meter, _place(outlet["relay"]), station)


def _hangs_on(outlet: OutletPlace, written: str) -> bool:
    """Say whether ``site``, ``station/ID``, ``pile/ID`` or an outlet's id means an outlet."""
    return written in {
        "site",
        f"station/{outlet.station}",
        f"pile/{outlet.pile}",
        f"outlet/{outlet.id}",
        outlet.id,
    }


def _char_bits(bus: dict[str, Any]) -> int:
    """Count start, data, parity and stop bits of a line."""
    parity = str(bus.get("parity", "N")).upper()
    return 9 + (parity != "N") + int(bus.get("stop_bits", 1))


def _device(item: dict[str, Any], profile: SimProfile) -> DevicePlace:
    turnaround_ms = item.get("turnaround_ms")
    return DevicePlace(
        id=item["id"],
        bus=item["bus"],
        unit=int(item["unit"]),
        profile=profile,
        turnaround_ms=profile.turnaround_ms if turnaround_ms is None else float(turnaround_ms),
    )


def _place(item: dict[str, Any]) -> tuple[str, int]:
    return str(item["device"]), int(item.get("channel", 1))


def _channels(written: Any) -> list[int]:
    """Read ``1-10``, ``1-4,7``, a number or a list of numbers."""
    if isinstance(written, list):
        return [int(item) for item in written]
    channels: list[int] = []
    for part in str(written).split(","):
        match = re.fullmatch(r"\s*(\d+)\s*(?:-\s*(\d+))?\s*", part)
        if match is None:
            raise ValueError(f"channels {written!r} are not like 1-10")
        first = int(match[1])
        channels.extend(range(first, int(match[2] or first) + 1))
    return channels
