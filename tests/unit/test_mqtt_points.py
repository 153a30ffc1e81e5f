"""Meters and contactors of circuits behind a broker."""

from __future__ import annotations

from pathlib import Path

from drivers.mqtt.families import FAMILIES
from drivers.mqtt.plug import Plug, make_plug
from gateway.config import Site
from tests.support.site_text import load

SITE = """\
site: {id: s}
buses:
  - {id: plugs, kind: mqtt}
devices:
  - {id: t1, bus: plugs, topic: tasmota_1, profile: tasmota-plug, power_on: safe}
  - {id: t2, bus: plugs, topic: tasmota_2, profile: tasmota-plug, power_on: safe}
  - {id: t3, bus: plugs, topic: tasmota_3, profile: tasmota-plug, power_on: safe}
stations:
  - {id: a, piles: [{id: p, outlets: [{id: o1, device: t1}]}]}
circuits:
  - {id: feed, feeds: [site], power_w: 9000, meter: {device: t2}, contactor: {device: t3}}
"""


def plug(site: Site, name: str) -> Plug:
    device = next(each for each in site.plugs if each.id == name)
    codec = FAMILIES[device.profile.family](device.topic, device.profile, "me")
    return make_plug(site, device, codec, 1_000)


def test_a_plug_may_be_the_meter_of_a_circuit(tmp_path: Path) -> None:
    meter = plug(load(tmp_path, SITE), "t2")
    (end,) = meter.ends[1]
    assert end.outlet == "circuit/feed/meter"
    assert "power_w" in end.fields
    assert "relay_on" not in end.fields
    assert meter.channels == {}


def test_a_plug_may_hold_the_contactor_of_a_circuit(tmp_path: Path) -> None:
    contactor = plug(load(tmp_path, SITE), "t3")
    (end,) = contactor.ends[1]
    assert end.outlet == "circuit/feed/contactor"
    assert "relay_on" in end.fields
    assert "power_w" not in end.fields
    assert contactor.channels[1].outlet == "circuit/feed/contactor"


def test_an_outlet_is_told_of_as_before(tmp_path: Path) -> None:
    outlet = plug(load(tmp_path, SITE), "t1")
    (end,) = outlet.ends[1]
    assert end.outlet == "o1"
    assert {"relay_on", "power_w"} <= set(end.fields)
