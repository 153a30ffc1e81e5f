"""Which families of plugs there are, and what connects to a broker for them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from simulators.mqtt.esphome import EsphomePlug
from simulators.mqtt.faults import PlugFaults
from simulators.mqtt.native import NativePlug
from simulators.mqtt.node import Node, PlugNode
from simulators.mqtt.places import PlugPlace
from simulators.mqtt.plug import Fittings, Plug, Report
from simulators.mqtt.settings import EVERYONE, PlugSettings
from simulators.mqtt.shelly_gen1 import ShellyGen1Plug
from simulators.mqtt.shelly_gen2 import ShellyGen2Plug
from simulators.mqtt.tasmota import TasmotaPlug
from simulators.mqtt.zigbee2mqtt import ZigbeeBridge, ZigbeePlug
from simulators.registers import Channel

PLUGS: dict[str, type[Plug]] = {
    "native": NativePlug,
    "tasmota": TasmotaPlug,
    "shelly-gen1": ShellyGen1Plug,
    "shelly-gen2": ShellyGen2Plug,
    "zigbee2mqtt": ZigbeePlug,
    "esphome": EsphomePlug,
}


def make_plug(
    place: PlugPlace,
    settings: Mapping[str, PlugSettings],
    channels: Sequence[Channel],
    *,
    report: Report,
    seed: int,
    now_s: float,
) -> Plug:
    """Make the plug that a site file names."""
    general = settings.get(EVERYONE, PlugSettings())
    own = settings.get(place.id, PlugSettings())
    chosen = general.model_copy(update=own.model_dump(exclude_unset=True))
    make = PLUGS[place.profile.family]
    return make(Fittings(place, chosen, channels, report, PlugFaults(seed), now_s))


def make_nodes(plugs: Iterable[Plug]) -> list[Node]:
    """Make the clients of one broker: Zigbee plugs share their bridge's."""
    nodes: list[Node] = []
    bridges: dict[str, list[ZigbeePlug]] = {}
    for plug in plugs:
        if isinstance(plug, ZigbeePlug):
            bridges.setdefault(plug.base, []).append(plug)
        else:
            nodes.append(PlugNode(plug))
    return [*nodes, *(ZigbeeBridge(base, behind) for base, behind in bridges.items())]
