"""Buses and devices of a site file."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.config.explain import nearest
from gateway.config.findings import Claims, Findings
from gateway.config.merge import Layer
from gateway.config.profile_files import LoadedPlug, LoadedProfile, ProfileFolders
from gateway.config.site_file import (
    BusItem,
    ConverterItem,
    DeviceItem,
    MqttItem,
    PlugItem,
    RtuItem,
    TcpItem,
)
from gateway.config.site_model import (
    AnyBus,
    Bus,
    ConverterBus,
    Device,
    MqttBus,
    MqttDevice,
    RtuBus,
    TcpBus,
)
from gateway.config.site_mqtt import check_power_on, check_topic, read_mqtt_bus
from gateway.config.site_words import LOCAL_HOST, FilePath
from gateway.config.yaml_source import KeyPath
from gateway.core.ids import BusId, DeviceId

FIRST_UNIT = 1
LAST_UNIT = 247
"""MODBUS over Serial Line V1.02, 2.2: 0 is a broadcast, from 248 on numbers are reserved."""
ITSELF = frozenset({0, 255})
"""What a device calls itself that is reached by its address (MODBUS Messaging on TCP/IP
Implementation Guide V1.0b, 4.4.1.2)."""
WATCHDOG_POLLS = 3
"""A module's watchdog outlasts this many rounds, so that one lost frame switches nothing off."""


@dataclass(frozen=True, slots=True)
class Hardware:
    """Buses and devices that are right, and the names of those that are not."""

    buses: Mapping[str, AnyBus]
    devices: Mapping[str, Device | MqttDevice]
    device_names: frozenset[str]
    """Also of devices with errors, to which outlets may refer without a second error."""
    paths: Mapping[str, KeyPath]
    """Where each device stands."""
    limits: Mapping[str, Layer]
    """Limits of each device's profile."""

    def poll_ms(self, device: str) -> int:
        """Longest time between two tellings of a value: the poll of its bus, or its own pace."""
        found = self.devices[device]
        poll_ms = self.buses[found.bus].poll_ms
        if isinstance(found, Device):
            return poll_ms
        return round(found.profile.period_ms(poll_ms) or poll_ms)


def read_hardware(found: Findings, folders: ProfileFolders, base: Path) -> Hardware:
    """Read buses and devices; what is wrong goes to ``found``."""
    data = found.source.data
    buses = _read_buses(found, data.get("buses", []), base)
    bus_names = _names(data.get("buses"))
    entries = list(found.entries(data.get("devices", []), ("devices",)))
    on_bus = Counter(str(entry.get("bus")) for _, entry in entries)
    reader = _Devices(found, folders, buses, bus_names, on_bus)
    for path, entry in entries:
        reader.read(path, entry)
    _warn_unused(found, buses, reader.devices)
    return Hardware(
        buses, reader.devices, frozenset(_names(data.get("devices"))), reader.paths, reader.limits
    )


def _names(entries: Any) -> set[str]:
    if not isinstance(entries, list):
        return set()
    return {str(entry["id"]) for entry in entries if isinstance(entry, dict) and "id" in entry}


def _read_buses(found: Findings, data: Any, base: Path) -> dict[str, AnyBus]:
    buses: dict[str, AnyBus] = {}
    claims = Claims(found)
    for path, entry in found.entries(data, ("buses",)):
        item: RtuItem | ConverterItem | TcpItem | MqttItem | None = found.read(BusItem, entry, path)
        if item is None:
            continue
        new_id = claims.claim(
            ("id", item.id), (*path, "id"), f"bus {item.id!r} stands already on line {{line}}"
        )
        if isinstance(item, MqttItem):
            bus = read_mqtt_bus(found, path, item, base)
            message = f"client id {bus.client_id!r} stands already on line {{line}}: one throws "
            at = (bus.host, bus.port, bus.client_id)
            claims.claim(at, (*path, "client_id"), message + "the other out of the broker")
            if new_id:
                buses[item.id] = bus
            continue
        ends = _end_of(item)
        claims.claim(
            ends, (*path, "port"), f"{ends[1]} is a bus already on line {{line}}: two masters clash"
        )
        if new_id:
            buses[item.id] = _bus(item)
    return buses


def _warn_unused(
    found: Findings, buses: Mapping[str, AnyBus], devices: Mapping[str, Device | MqttDevice]
) -> None:
    used = {device.bus for device in devices.values()}
    for path, entry in found.entries(found.source.data.get("buses", []), ("buses",)):
        name = str(entry.get("id"))
        if name in buses and buses[name].id not in used:
            found.warn((*path, "id"), f"no device on bus {name!r}")


def _end_of(item: RtuItem | ConverterItem | TcpItem) -> tuple[str, str]:
    if isinstance(item, RtuItem):
        return "port", os.path.normpath(item.port)
    host = item.host.lower().rstrip(".")
    return "port", f"{'127.0.0.1' if host == LOCAL_HOST else host}:{item.port}"


def _bus(item: RtuItem | ConverterItem | TcpItem) -> Bus:
    if isinstance(item, ConverterItem):
        return ConverterBus(
            id=BusId(item.id),
            host=item.host,
            port=item.port,
            baud=item.baud,
            parity=item.parity,
            stop_bits=item.stop_bits,
            poll_ms=item.poll_ms,
            timeout_ms=item.timeout_ms,
        )
    if isinstance(item, TcpItem):
        return TcpBus(
            id=BusId(item.id),
            host=item.host,
            port=item.port,
            poll_ms=item.poll_ms,
            timeout_ms=item.timeout_ms,
        )
    return RtuBus(
        id=BusId(item.id),
        port=item.port,
        baud=item.baud,
        parity=item.parity,
        stop_bits=item.stop_bits,
        poll_ms=item.poll_ms,
        timeout_ms=item.timeout_ms,
    )


class _Devices:
    def __init__(
        self,
        found: Findings,
        folders: ProfileFolders,
        buses: Mapping[str, AnyBus],
        bus_names: Iterable[str],
        on_bus: Mapping[str, int],
    ) -> None:
        self.devices: dict[str, Device | MqttDevice] = {}
        self.paths: dict[str, KeyPath] = {}
        self.limits: dict[str, Layer] = {}
        self._found = found
        self._folders = folders
        self._buses = buses
        self._bus_names = set(bus_names)
        self._on_bus = on_bus
        """How many devices each bus has, right or wrong."""
        self._claims = Claims(found)
        self._profiles: dict[str, LoadedProfile | LoadedPlug] = {}

    def read(self, path: KeyPath, entry: dict[str, Any]) -> None:
        bus = self._buses.get(str(entry.get("bus")))
        is_plug = "topic" in entry if bus is None else isinstance(bus, MqttBus)
        model = PlugItem if is_plug else DeviceItem
        item: DeviceItem | PlugItem | None = self._found.read(model, entry, path)
        if item is None:
            return
        new_id = self._claims.claim(
            ("id", item.id), (*path, "id"), f"device {item.id!r} stands already on line {{line}}"
        )
        self._claim_address(path, item)
        if item.bus not in self._bus_names:
            message = f"unknown bus {item.bus!r}; {nearest(item.bus, self._bus_names)}"
            self._found.wrong((*path, "bus"), message)
        loaded = self._profile(item.profile, (*path, "profile"))
        if loaded is None or bus is None or not new_id:
            return
        device = self._device(path, item, bus, loaded)
        if device is not None:
            self.devices[item.id] = device
            self.paths[item.id] = path
            self.limits[item.id] = loaded.limits

    def _claim_address(self, path: KeyPath, item: DeviceItem | PlugItem) -> None:
        if isinstance(item, DeviceItem):
            key, what = "unit", f"unit {item.unit}"
            thing: tuple[str, str, int | str] = ("unit", item.bus, item.unit)
        else:
            key, what = "topic", f"topic {item.topic!r}"
            thing = ("topic", item.bus, item.topic)
        message = f"{what} on bus {item.bus!r} is taken already on line {{line}}"
        self._claims.claim(thing, (*path, key), message)

    def _device(
        self,
        path: KeyPath,
        item: DeviceItem | PlugItem,
        bus: AnyBus,
        loaded: LoadedProfile | LoadedPlug,
    ) -> Device | MqttDevice | None:
        if isinstance(item, PlugItem) and isinstance(loaded, LoadedPlug):
            promise = item.promise
            check_topic(self._found, path, item, loaded.profile)
            return MqttDevice(
                id=DeviceId(item.id),
                bus=bus.id,
                topic=item.topic,
                profile=loaded.profile,
                power_on=check_power_on(self._found, path, item, loaded.profile),
                promise_cut_off_ms=None if promise is None else promise.cut_off_ms,
            )
        if isinstance(item, PlugItem) or isinstance(loaded, LoadedPlug) or isinstance(bus, MqttBus):
            spoken = "MQTT" if isinstance(loaded, LoadedPlug) else "Modbus"
            message = f"{item.profile} is the profile of a device that speaks {spoken}"
            message += f", and bus {bus.id!r} is of kind {bus.kind}"
            self._found.wrong((*path, "profile"), message)
            return None
        self._check_watchdog(path, bus, loaded)
        self._check_unit(path, bus, item.unit)
        profile, turnaround_ms = loaded.profile, item.turnaround_ms
        return Device(
            id=DeviceId(item.id),
            bus=bus.id,
            unit=item.unit,
            profile=profile,
            turnaround_ms=profile.turnaround_ms if turnaround_ms is None else turnaround_ms,
        )

    def _check_unit(self, path: KeyPath, bus: Bus, unit: int) -> None:
        if FIRST_UNIT <= unit <= LAST_UNIT:
            return
        if not isinstance(bus, TcpBus):
            use = "means every device of a line, and none answers" if unit == 0 else "is reserved"
            message = f"unit {unit} {use}: set the device to one of {FIRST_UNIT} to {LAST_UNIT}"
            self._found.wrong((*path, "unit"), message)
        elif unit not in ITSELF:
            message = f"unit {unit} is reserved: {FIRST_UNIT} to {LAST_UNIT}, 0 or 255"
            self._found.wrong((*path, "unit"), message)
        elif self._on_bus[bus.id] > 1:
            message = (
                f"unit {unit} is a device with a connection of its own, and bus {bus.id!r} has "
                f"{self._on_bus[bus.id]} devices: behind a gateway they have {FIRST_UNIT} to "
                f"{LAST_UNIT}, and what is sent to unit 0 all of them obey"
            )
            self._found.wrong((*path, "unit"), message)

    def _profile(self, name: str, path: KeyPath) -> LoadedProfile | LoadedPlug | None:
        loaded = self._folders.find(name)
        if loaded is None:
            if not self._folders.exists(name):
                message = f"unknown profile {name!r}; {self._folders.suggest(name)}"
                self._found.wrong(path, message)
            return None
        if name not in self._profiles:
            self._profiles[name] = loaded
            self._found.warnings.extend(loaded.warnings)
            if self._folders.hidden(name):
                self._found.warn(path, f"{loaded.source.file} hides the built-in profile {name!r}")
        return loaded

    def _check_watchdog(self, path: KeyPath, bus: Bus, loaded: LoadedProfile) -> None:
        watchdog = loaded.profile.watchdog
        if watchdog is not None and watchdog.timeout_ms < WATCHDOG_POLLS * bus.poll_ms:
            self._found.wrong(
                (*path, "profile"),
                f"the watchdog of {loaded.profile.profile} is {watchdog.timeout_ms} ms, shorter "
                f"than {WATCHDOG_POLLS} polls of bus {bus.id!r} ({bus.poll_ms} ms each): "
                "lower poll_ms of the bus or raise the watchdog",
            )


def read_folders(found: Findings, base: Path) -> ProfileFolders:
    """Read the list of the site's own profile folders, relative to the site file."""
    data = found.source.data.get("profiles")
    names: tuple[str, ...] | None = found.read(tuple[FilePath, ...] | None, data, ("profiles",))
    folders: list[Path] = []
    for index, name in enumerate(names or ()):
        folder = base / name
        # os.path gives False for every error, Path.is_dir raises some.
        if not os.path.isdir(folder):  # noqa: PTH112
            found.wrong(("profiles", index), f"no such folder: {folder}")
        elif not os.access(folder, os.R_OK | os.X_OK):
            message = f"{folder} may not be read by this user: check owner and mode"
            found.wrong(("profiles", index), message)
        else:
            folders.append(folder)
    return ProfileFolders(folders)
