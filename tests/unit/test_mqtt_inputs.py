"""Detectors and contacts by MQTT: what they say, and what an interlock makes of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from drivers.mqtt.families import FAMILIES
from drivers.mqtt.plug import Plug, make_plug
from drivers.mqtt.words import Reading, WrongPayload
from gateway.config import Family, InputPoint, MqttProfile, load_plug_profile, load_site
from gateway.config.profile_files import BUILT_IN
from gateway.core.errors import CorrectFiles

ESPHOME = """\
profile: esphome-door
name: A contact on a node of our own
source: its YAML
protocol: mqtt
family: esphome
channels: 2
values:
  input_on: {name: "binary_sensor/door{channel}/state"}
report_s: null
power_on: safe
cut_ms: 1
"""
NATIVE = ESPHOME.replace("esphome", "native").replace(
    '"binary_sensor/door{channel}/state"', "contact"
)


def made(folder: Path, text: str) -> MqttProfile:
    name = text.split()[1]
    (folder / f"{name}.yaml").write_text(text, encoding="utf-8")
    return load_plug_profile(folder / f"{name}.yaml")


def smoke(_: Path) -> MqttProfile:
    return load_plug_profile(BUILT_IN / "zigbee-smoke.yaml")


@pytest.mark.parametrize(
    ("profile_of", "topic", "payload", "told"),
    [
        (smoke, "zigbee2mqtt/d", b'{"smoke":true,"battery":98,"linkquality":70}', {1: True}),
        (smoke, "zigbee2mqtt/d", b'{"smoke":false}', {1: False}),
        (smoke, "zigbee2mqtt/d", b'{"smoke":"ON"}', {1: True}),
        (smoke, "zigbee2mqtt/d", b'{"smoke":null,"battery":98}', {}),
        (smoke, "zigbee2mqtt/d", b'{"battery":98}', {}),
        (smoke, "zigbee2mqtt/d", b'{"smoke":1}', {}),
        (lambda f: made(f, ESPHOME), "d/binary_sensor/door2/state", b"ON", {2: True}),
        (lambda f: made(f, ESPHOME), "d/binary_sensor/door1/state", b"OFF", {1: False}),
        (
            lambda f: made(f, NATIVE),
            "pilegate/d/state",
            b'{"outlets":[{"channel":1,"contact":false},{"channel":2,"contact":true}]}',
            {1: False, 2: True},
        ),
    ],
)
def test_what_an_input_says(
    tmp_path: Path,
    profile_of: Callable[[Path], MqttProfile],
    topic: str,
    payload: bytes,
    told: dict[int, bool],
) -> None:
    profile = profile_of(tmp_path)
    heard = FAMILIES[profile.family]("d", profile, "guard/d").topics[topic](payload)
    assert {reading.channel: reading.input_on for reading in heard.readings} == told


@pytest.mark.parametrize("payload", [b"", b"perhaps", b"ON\xff"])
def test_what_is_no_state_is_none(tmp_path: Path, payload: bytes) -> None:
    codec = FAMILIES[Family.ESPHOME]("d", made(tmp_path, ESPHOME), "guard/d")
    with pytest.raises(WrongPayload):
        codec.topics["d/binary_sensor/door1/state"](payload)


SITE = """\
site: {id: s}
limits: {silence: {delay_s: 60}}
buses:
  - {id: b1, kind: modbus-tcp, host: 127.0.0.1, port: 5020}
  - {id: plugs, kind: mqtt}
devices:
  - {id: m1, bus: b1, unit: 1, profile: pilegate-ref10}
  - {id: d1, bus: plugs, topic: hall, profile: zigbee-smoke}
stations:
  - {id: north, piles: [{id: n1, module: {device: m1, channels: 1-2}}]}
interlocks:
  - {id: smoke, watches: smoke, input: {device: d1}, trips_when: on, guards: [site]}
"""


def test_a_detector_behind_a_broker_is_an_input_and_no_outlet(tmp_path: Path) -> None:
    (tmp_path / "site.yaml").write_text(SITE, encoding="utf-8")
    site = load_site(tmp_path / "site.yaml")
    (point,) = site.points_on("plugs")
    assert isinstance(point, InputPoint)
    assert site.interlocks[0].rule.trips_when_on
    assert site.outlets_on("plugs") == ()


def test_a_detector_that_is_there_says_that_all_is_well_without_a_change(tmp_path: Path) -> None:
    plug = detector(tmp_path)
    (kept,) = said(plug, b'{"smoke":false}')
    plug.remember((kept,))
    plug.is_vouched = True
    assert [each.input_on for each in plug.news((kept,), 1_000)] == [False]
    assert [each.input_on for each in plug.news((kept,), 2_000)] == [False]


def test_what_a_bridge_repeats_of_a_detector_that_may_be_gone_is_no_news(tmp_path: Path) -> None:
    plug = detector(tmp_path)
    (well,) = said(plug, b'{"smoke":false}')
    assert [each.input_on for each in plug.news((well,), 1_000)] == [None]
    plug.is_vouched = True
    plug.gone()
    assert [each.input_on for each in plug.news((well,), 2_000)] == [None]
    (fire,) = said(plug, b'{"smoke":true}')
    assert [each.input_on for each in plug.news((fire,), 3_000)] == [True]


def detector(folder: Path) -> Plug:
    (folder / "site.yaml").write_text(SITE, encoding="utf-8")
    site = load_site(folder / "site.yaml")
    (device,) = site.plugs
    codec = FAMILIES[device.profile.family](device.topic, device.profile, "me")
    return make_plug(site, device, codec, 1_000)


def said(plug: Plug, payload: bytes) -> tuple[Reading, ...]:
    return plug.codec.topics["zigbee2mqtt/hall"](payload).readings


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (ESPHOME.replace("family: esphome", "family: tasmota"), "tasmota has no inputs"),
        (ESPHOME.replace("values:", "values:\n  power_w: {name: p}"), "inputs stand alone"),
    ],
)
def test_what_an_input_can_not_be(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(CorrectFiles, match=told):
        made(tmp_path, text)
