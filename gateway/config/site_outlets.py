"""Stations, piles and outlets of a site file."""

from __future__ import annotations

import re
import string
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from gateway.config.channel import Channel
from gateway.config.explain import nearest, shown
from gateway.config.findings import Claims, Findings
from gateway.config.merge import Layer, read_layer
from gateway.config.profile import Quantity
from gateway.config.site_buses import Hardware
from gateway.config.site_file import ModuleItem, OutletItem, PileHead, StationHead
from gateway.config.site_model import Pile, Station
from gateway.config.site_words import ChannelItem
from gateway.config.yaml_source import KeyPath
from gateway.core.ids import DeviceId, OutletId, PileId, StationId, is_name

MAX_CHANNELS = 256


class Place(NamedTuple):
    """Where an outlet belongs, and the limits that hold there, weakest first."""

    station: StationId
    pile: PileId
    layers: tuple[Layer, ...]


@dataclass(slots=True)
class OutletDraft:
    """An outlet before its limits are merged."""

    id: OutletId
    name: str
    path: KeyPath
    place: Place
    relay: Channel
    meter: Channel | None
    own_limits: Layer | None = None


@dataclass(slots=True)
class Layout:
    """What stands where."""

    stations: list[Station] = field(default_factory=list)
    piles: list[Pile] = field(default_factory=list)
    outlets: list[OutletDraft] = field(default_factory=list)


def read_layout(found: Findings, ends: Ends, site_layer: Layer | None) -> Layout:
    """Read stations with their piles and outlets; what is wrong goes to ``found``."""
    reader = _Reader(found, ends)
    layers = () if site_layer is None else (site_layer,)
    for path, entry in found.entries(found.source.data.get("stations", []), ("stations",)):
        reader.station(path, entry, layers)
    if not reader.layout.outlets and not found.problems:
        found.warn(("stations",), "no outlets at all")
    return reader.layout


class Ends:
    """What outlets and circuits are measured and switched by: each end belongs to one of them."""

    def __init__(self, found: Findings, hardware: Hardware) -> None:
        self.hardware = hardware
        self.claims = Claims(found)
        self._found = found
        self._used: set[str] = set()

    def known(self, device: str, path: KeyPath) -> bool:
        """Say whether there is such a device, and take it for used."""
        self._used.add(device)
        if device in self.hardware.device_names:
            return True
        message = f"unknown device {device!r}; {nearest(device, self.hardware.device_names)}"
        self._found.wrong(path, message)
        return False

    def channel(self, item: ChannelItem | None, path: KeyPath, part: str) -> Channel | None:
        """Give a channel as a ``meter``, a ``relay`` or an ``input``, if it can be one."""
        if item is None or not self.known(item.device, (*path, "device")):
            return None
        channel = _channel(item.device, item.channel)
        return channel if self.fits(channel, path, part) else None

    def fits(self, channel: Channel, path: KeyPath, part: str) -> bool:
        """Say whether a channel can be a ``meter``, a ``relay`` or an ``input``."""
        device = self.hardware.devices.get(channel.device)
        if device is None:
            return True
        profile = device.profile
        if part == "relay" and profile.relay is None:
            message = f"{channel.device} has no relay (profile {profile.profile}): name one"
            self._found.wrong((*path, "device"), message)
            return False
        if part == "meter" and not profile.is_meter:
            message = f"{channel.device} measures no current or power (profile {profile.profile})"
            self._found.wrong((*path, "device"), message)
            return False
        if part == "input" and Quantity.INPUT_ON not in profile.values:
            message = f"{channel.device} has no input (profile {profile.profile}): input_on"
            self._found.wrong((*path, "device"), message)
            return False
        if channel.channel > profile.channels:
            key = "channels" if path[-1] == "module" else "channel"
            count = f"channels 1 to {profile.channels}" if profile.channels > 1 else "one channel"
            self._found.wrong(
                (*path, key),
                f"{channel.device} has no channel {channel.channel}: it has {count} "
                f"(profile {profile.profile})",
            )
            return False
        return True

    def warn(self) -> None:
        """Tell what nothing uses."""
        for device, path in self.hardware.paths.items():
            if device not in self._used:
                self._found.warn((*path, "id"), f"no outlet uses device {device!r}")


def _channel(device: str, channel: int) -> Channel:
    return Channel(device=DeviceId(device), channel=channel)


def _channels(written: int | str) -> list[int]:
    """Read ``5``, ``1-10`` or ``1-4,7``; an empty list means that it makes no sense."""
    if isinstance(written, int):
        return [written] if 1 <= written <= MAX_CHANNELS else []
    channels: list[int] = []
    for part in written.replace(" ", "").split(","):
        match = re.fullmatch(r"([0-9]{1,3})(?:-([0-9]{1,3}))?", part)
        if match is None:
            return []
        first, last = int(match[1]), int(match[2] or match[1])
        if not 1 <= first <= last <= MAX_CHANNELS:
            return []
        channels.extend(range(first, last + 1))
    return channels if len(set(channels)) == len(channels) else []


def _template_error(template: str) -> str:
    """Say what is wrong with a template for ids, or nothing."""
    try:
        fields = [
            (name, bool(spec or conversion))
            for _, name, spec, conversion in string.Formatter().parse(template)
            if name is not None
        ]
    except ValueError:
        fields = [("", True)]
    if any(odd or name not in ("channel", "pile") for name, odd in fields):
        return "only {channel} and {pile} are filled in"
    if "channel" not in {name for name, _ in fields}:
        return "{channel} is missing: every outlet needs an id of its own"
    return ""


class _Reader:
    def __init__(self, found: Findings, ends: Ends) -> None:
        self.layout = Layout()
        self._found = found
        self._hardware = ends.hardware
        self._ends = ends
        self._claims = ends.claims

    def station(self, path: KeyPath, entry: dict[str, Any], layers: tuple[Layer, ...]) -> None:
        head: StationHead | None = self._found.read(StationHead, entry, path)
        station_id = StationId(self._claim_id("station", head, path))
        layers = (*layers, *self._layer(entry, path, f"station/{station_id}"))
        before = len(self.layout.piles)
        for pile_path, pile in self._found.entries(entry.get("piles", []), (*path, "piles")):
            self._pile(pile_path, pile, station_id, layers)
        piles = tuple(pile.id for pile in self.layout.piles[before:])
        name = head.name if head and head.name else station_id
        self.layout.stations.append(Station(id=station_id, name=name, piles=piles))

    def _pile(
        self, path: KeyPath, entry: dict[str, Any], station: StationId, layers: tuple[Layer, ...]
    ) -> None:
        head: PileHead | None = self._found.read(PileHead, entry, path)
        pile_id = PileId(self._claim_id("pile", head, path))
        layers = (*layers, *self._layer(entry, path, f"pile/{pile_id}"))
        place = Place(station, pile_id, layers)
        made = self._module(entry, path, place)
        before = len(self.layout.outlets)
        self.layout.outlets.extend(made.values())
        for outlet_path, data in self._found.entries(entry.get("outlets", []), (*path, "outlets")):
            item: OutletItem | None = self._found.read(OutletItem, data, outlet_path)
            if item is not None:
                # After an error in the pile or its module, ids that are not found say nothing.
                sure = head is not None and (bool(made) or "module" not in entry)
                self._outlet(item, outlet_path, place, made, sure=sure)
        outlets = tuple(draft.id for draft in self.layout.outlets[before:])
        name = head.name if head and head.name else pile_id
        self.layout.piles.append(Pile(id=pile_id, name=name, station=station, outlets=outlets))
        if not outlets and not self._found.problems:
            self._found.warn(path, f"pile {pile_id!r} has no outlets")

    def _claim_id(self, kind: str, head: StationHead | PileHead | None, path: KeyPath) -> str:
        if head is None:  # noted already; the name never leaves this module
            return f"{kind}-on-line-{self._found.source.line(path)}"
        message = f"{kind} {head.id!r} stands already on line {{line}}"
        self._claims.claim((kind, head.id), (*path, "id"), message)
        return head.id

    def _layer(self, entry: dict[str, Any], path: KeyPath, origin: str) -> list[Layer]:
        data = entry.get("limits")
        if data is None:
            return []
        return [
            read_layer(data, self._found.source, (*path, "limits"), origin, self._found.problems)
        ]

    # --- the short form

    def _module(
        self, entry: dict[str, Any], pile_path: KeyPath, place: Place
    ) -> dict[str, OutletDraft]:
        if entry.get("module") is None:
            return {}
        path = (*pile_path, "module")
        item: ModuleItem | None = self._found.read(ModuleItem, entry["module"], path)
        if item is None or not self._ends.known(item.device, (*path, "device")):
            return {}
        channels = _channels(item.channels)
        if not channels:
            message = f"expected channels such as 1-10 or 1-4,7, not {shown(item.channels)}"
            self._found.wrong((*path, "channels"), message)
        template_error = _template_error(item.outlets)
        if template_error:
            self._found.wrong((*path, "outlets"), template_error)
            return {}
        made: dict[str, OutletDraft] = {}
        for channel in channels:
            outlet = item.outlets.format(channel=channel, pile=place.pile)
            if not is_name(outlet):
                self._found.wrong((*path, "outlets"), f"{outlet[:70]!r} can't be an id")
                break
            draft = self._switched(outlet, _channel(item.device, channel), path, place)
            if draft is None:
                break
            if not self._claim(draft, (*path, "outlets"), (*path, "device"), (*path, "device")):
                break
            made[outlet] = draft
        return made

    # --- outlets written out

    def _outlet(
        self,
        item: OutletItem,
        path: KeyPath,
        place: Place,
        made: dict[str, OutletDraft],
        *,
        sure: bool,
    ) -> None:
        own = None
        if item.limits is not None:
            origin, limits_path = f"outlet/{item.id}", (*path, "limits")
            own = read_layer(
                item.limits, self._found.source, limits_path, origin, self._found.problems
            )
        if item.device is None and item.meter is None and item.relay is None:
            self._refine(item, path, made, own, sure=sure)
            return
        draft = self._draft(item, path, place)
        if draft is None:
            return
        draft.own_limits = own
        both = item.device is not None
        relay_path = (*path, "channel") if both else (*path, "relay", "channel")
        meter_path = (*path, "channel") if both else (*path, "meter", "channel")
        self._claim(draft, (*path, "id"), relay_path, meter_path)
        self.layout.outlets.append(draft)

    def _refine(
        self,
        item: OutletItem,
        path: KeyPath,
        made: dict[str, OutletDraft],
        own: Layer | None,
        *,
        sure: bool,
    ) -> None:
        draft = made.get(item.id)
        if draft is None:
            if sure:
                message = "relay is missing: write a device, or a relay with its meter"
                hint = f", or the id of an outlet of the module ({nearest(item.id, made)})"
                self._found.wrong(path, message + (hint if made else ""))
            return
        if item.channel is not None:
            self._found.wrong((*path, "channel"), "needs device beside it")
        message = f"outlet {item.id!r} is refined already on line {{line}}"
        self._claims.claim(("refined", item.id), (*path, "id"), message)
        draft.path = path
        draft.name = item.name or draft.name
        draft.own_limits = own

    def _draft(self, item: OutletItem, path: KeyPath, place: Place) -> OutletDraft | None:
        name = item.name or item.id
        if item.device is not None:
            if item.meter is not None or item.relay is not None:
                key = "meter" if item.meter is not None else "relay"
                message = "write either a device for both, or a meter and a relay"
                self._found.wrong((*path, key), message)
                return None
            if not self._ends.known(item.device, (*path, "device")):
                return None
            channel = self._channel_of_device(item, path)
            if channel is None:
                return None
            draft = self._switched(item.id, channel, path, place)
            if draft is not None:
                draft.name = name
            return draft
        if item.channel is not None:
            self._found.wrong((*path, "channel"), "needs device beside it")
        return self._composed(item, name, path, place)

    def _composed(
        self, item: OutletItem, name: str, path: KeyPath, place: Place
    ) -> OutletDraft | None:
        meter = self._ends.channel(item.meter, (*path, "meter"), "meter")
        relay = self._ends.channel(item.relay, (*path, "relay"), "relay")
        if item.relay is None:
            self._found.wrong(
                path, "relay is missing: an outlet that can't be switched can't be protected"
            )
        if item.meter is None:
            self._warn_no_meter(item.id, path)
        if relay is None:
            return None
        return OutletDraft(OutletId(item.id), name, path, place, relay, meter)

    def _channel_of_device(self, item: OutletItem, path: KeyPath) -> Channel | None:
        assert item.device is not None
        device = self._hardware.devices.get(item.device)
        if item.channel is None and device is not None and device.profile.channels > 1:
            self._found.wrong(
                path, f"channel is missing: {item.device} has {device.profile.channels}"
            )
            return None
        return _channel(item.device, item.channel or 1)

    # --- what an outlet refers to

    def _switched(
        self, outlet: str, channel: Channel, path: KeyPath, place: Place
    ) -> OutletDraft | None:
        """Make an outlet of one channel that switches, and measures where it can."""
        device = self._hardware.devices.get(channel.device)
        meter: Channel | None = channel
        if device is not None:
            if not self._ends.fits(channel, path, "relay"):
                return None
            if not device.profile.is_meter:
                meter = None
                self._warn_no_meter(outlet, path)
        return OutletDraft(OutletId(outlet), outlet, path, place, channel, meter)

    def _claim(
        self, draft: OutletDraft, id_path: KeyPath, relay_path: KeyPath, meter_path: KeyPath
    ) -> bool:
        relay, meter = draft.relay, draft.meter
        message = f"outlet {draft.id!r} stands already on line {{line}}"
        if not self._claims.claim(("outlet", draft.id), id_path, message):
            return False
        message = f"relay {relay.channel} of {relay.device} has an outlet already on line {{line}}"
        if not self._claims.claim(("relay", relay), relay_path, message):
            return False
        if meter is None:
            return True
        self._check_protocols(relay, meter, meter_path)
        message = f"meter {meter.channel} of {meter.device} has an outlet already on line {{line}}"
        return self._claims.claim(("meter", meter), meter_path, message)

    def _check_protocols(self, relay: Channel, meter: Channel, path: KeyPath) -> None:
        devices = [self._hardware.devices.get(end.device) for end in (relay, meter)]
        kinds = {type(device) for device in devices if device is not None}
        if len(kinds) > 1:
            message = f"{meter.device} and {relay.device} speak by different protocols: "
            self._found.wrong(path, message + "measure and switch an outlet by the same one")

    # --- what is odd

    def _warn_no_meter(self, outlet: str, path: KeyPath) -> None:
        self._found.warn(
            path, f"outlet {outlet!r} has no meter: nothing can protect it from an overload"
        )
