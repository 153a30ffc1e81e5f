"""Loads a site file: reads, checks, and resolves it into a ``Site``."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.config.channel import Channel
from gateway.config.findings import Findings
from gateway.config.merge import Layer, read_layer
from gateway.config.settings_file import (
    FlightsItem,
    GuardItem,
    ServeItem,
    is_loopback,
    split_listen,
)
from gateway.config.settings_model import (
    BrokerSettings,
    FlightSettings,
    GuardSettings,
    ServeSettings,
    TlsFiles,
)
from gateway.config.site_buses import Hardware, read_folders, read_hardware
from gateway.config.site_circuits import read_circuits, warn_of_budgets
from gateway.config.site_file import PromiseItem, SiteHead, SiteItem
from gateway.config.site_interlocks import read_interlocks
from gateway.config.site_limits import resolve_outlets
from gateway.config.site_model import (
    AnyBus,
    Bus,
    ConverterBus,
    Device,
    MqttBus,
    MqttDevice,
    MqttTls,
    Outlet,
    Pile,
    Point,
    RtuBus,
    Site,
    Station,
    TcpBus,
)
from gateway.config.site_mqtt import read_broker
from gateway.config.site_outlets import Ends, Layout, OutletDraft, read_layout
from gateway.config.site_words import FilePath
from gateway.config.yaml_source import Source, key_text, read_yaml
from gateway.core.errors import CorrectFiles, Problem

DEFAULT_STATE_DIR = "/var/lib/pilegate"

__all__ = [
    "AnyBus",
    "BrokerSettings",
    "Bus",
    "Channel",
    "ConverterBus",
    "Device",
    "FlightSettings",
    "GuardSettings",
    "MqttBus",
    "MqttDevice",
    "MqttTls",
    "Outlet",
    "Pile",
    "Point",
    "RtuBus",
    "ServeSettings",
    "Site",
    "Station",
    "TcpBus",
    "TlsFiles",
    "load_site",
]


def load_site(path: Path) -> Site:
    """Load a site file with the profiles it uses.

    Raises CorrectFiles with every problem in the site file and in those profiles, sorted by
    file and line. Nothing else is raised, whatever the files hold.
    """
    found = Findings(read_yaml(path))
    base = path.absolute().parent
    found.read(SiteHead, found.source.data, ())
    settings = _read_settings(found, base)
    folders = read_folders(found, base)
    broker = read_broker(found, base)
    hardware = read_hardware(found, folders, base)
    ends = Ends(found, hardware)
    layout = read_layout(found, ends, _site_limits(found))
    found.problems.extend(folders.problems)
    outlets = resolve_outlets(found, hardware, _usable(layout, hardware))
    circuits = read_circuits(found, layout, ends)
    interlocks = read_interlocks(found, layout, ends, circuits)
    ends.warn()
    warn_of_budgets(found, circuits, outlets)
    if found.problems or settings is None:
        raise CorrectFiles(_sorted(found.problems, found.source))
    return Site(
        id=settings.id,
        name=settings.name,
        file=path,
        state_dir=settings.state_dir,
        promise_cut_off_ms=settings.promise.cut_off_ms,
        buses=tuple(bus for bus in hardware.buses.values() if not isinstance(bus, MqttBus)),
        devices=tuple(item for item in hardware.devices.values() if isinstance(item, Device)),
        mqtt_buses=tuple(bus for bus in hardware.buses.values() if isinstance(bus, MqttBus)),
        plugs=tuple(item for item in hardware.devices.values() if isinstance(item, MqttDevice)),
        broker=broker,
        outlets=outlets,
        piles=tuple(layout.piles),
        stations=tuple(layout.stations),
        circuits=tuple(circuits),
        interlocks=tuple(interlocks),
        guard=settings.guard,
        serve=settings.serve,
        warnings=tuple(str(warning) for warning in _sorted(found.warnings, found.source)),
        places=dict(_places(found.source)),
    )


@dataclass(frozen=True, slots=True)
class _Settings:
    id: str
    name: str
    state_dir: Path
    promise: PromiseItem
    guard: GuardSettings
    serve: ServeSettings


def _read_settings(found: Findings, base: Path) -> _Settings | None:
    data = found.source.data
    site: SiteItem | None = (
        found.read(SiteItem, data["site"], ("site",)) if "site" in data else None
    )
    state_dir: str | None = found.read(
        FilePath, _or(data.get("state_dir"), DEFAULT_STATE_DIR), ("state_dir",)
    )
    promise: PromiseItem | None = found.read(
        PromiseItem, _or(data.get("promise"), {}), ("promise",)
    )
    guard: GuardItem | None = found.read(GuardItem, _or(data.get("guard"), {}), ("guard",))
    serve = _read_serve(found, base)
    if site is None or state_dir is None or promise is None or guard is None or serve is None:
        return None
    return _Settings(
        id=site.id,
        name=site.name or site.id,
        state_dir=Path(os.path.normpath(base / state_dir)),
        promise=promise,
        guard=GuardSettings(
            socket_group=guard.socket_group,
            journal_max_mb=guard.journal_max_mb,
            minutes_retention_days=guard.minutes_retention_days,
            flights=FlightSettings(**(guard.flights or FlightsItem()).model_dump()),
        ),
        serve=serve,
    )


def _or(data: Any, default: Any) -> Any:
    return default if data is None else data


def _read_serve(found: Findings, base: Path) -> ServeSettings | None:
    item: ServeItem | None = found.read(
        ServeItem, _or(found.source.data.get("serve"), {}), ("serve",)
    )
    if item is None:
        return None
    host, port = split_listen(item.listen)
    if item.tls is None:
        if not is_loopback(host):
            found.wrong(
                ("serve", "listen"),
                f"{host} can be reached from other machines: add tls with cert and key, "
                "or listen on 127.0.0.1",
            )
        return ServeSettings(
            host=host,
            port=port,
            database=item.database,
            events_retention_days=item.events_retention_days,
        )
    tls = TlsFiles(cert=base / item.tls.cert, key=base / item.tls.key)
    for key, file in (("cert", tls.cert), ("key", tls.key)):
        if not os.path.isfile(file):  # noqa: PTH113 - False for every error
            found.warn(("serve", "tls", key), f"no such file yet: {file}")
    return ServeSettings(
        host=host,
        port=port,
        database=item.database,
        tls=tls,
        events_retention_days=item.events_retention_days,
    )


def _site_limits(found: Findings) -> Layer | None:
    data = found.source.data.get("limits")
    if data is None:
        return None
    return read_layer(data, found.source, ("limits",), "site", found.problems)


def _usable(layout: Layout, hardware: Hardware) -> list[OutletDraft]:
    """Give the outlets whose devices are right; those of the others are refused anyway."""
    return [
        draft
        for draft in layout.outlets
        if draft.relay.device in hardware.devices
        and (draft.meter is None or draft.meter.device in hardware.devices)
    ]


def _places(source: Source) -> Iterator[tuple[str, str]]:
    """Say where each bus, device and interlock of a checked file stands."""
    for kind, key in (("bus", "buses"), ("device", "devices"), ("interlock", "interlocks")):
        for index, entry in enumerate(source.data.get(key) or ()):
            at = (key, index)
            yield f"{kind}/{entry['id']}", f"{source.file}:{source.line(at)}: {key_text(at)}"


def _sorted(problems: list[Problem], source: Source) -> list[Problem]:
    """Once each, the site file's first, by line."""
    return sorted(
        dict.fromkeys(problems),
        key=lambda problem: (problem.file != source.file, problem.file, problem.line or 0),
    )
