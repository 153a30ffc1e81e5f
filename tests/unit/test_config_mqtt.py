"""Plugs and brokers in site files: resolved, warned of and refused, each with its line and key."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.config import (
    Family,
    MqttProfile,
    PowerOn,
    Quantity,
    Site,
    load_plug_profile,
    load_site,
)
from gateway.config.profile_files import BUILT_IN, read_any_profile
from gateway.core.errors import CorrectFiles, NotKnown

PLUGS = sorted(
    path.stem
    for path in BUILT_IN.glob("*.yaml")
    if "protocol: mqtt" in path.read_text(encoding="utf-8")
)

SITE = """\
site: {id: shed}
buses:
  - {id: plugs, kind: mqtt}
  - {id: line, kind: modbus-tcp, host: 192.0.2.1}
devices:
  - {id: t1, bus: plugs, topic: tasmota_1, profile: tasmota-plug}
  - {id: m1, bus: line, unit: 1, profile: pilegate-ref10}
stations:
  - id: s
    piles:
      - {id: p, outlets: [{id: a, device: t1}, {id: b, device: m1, channel: 1}]}
"""


def load(tmp_path: Path, *changes: tuple[str, str]) -> Site:
    text = SITE
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    path = tmp_path / "site.yaml"
    path.write_text(text, encoding="utf-8")
    return load_site(path)


def refused(tmp_path: Path, *changes: tuple[str, str]) -> list[str]:
    with pytest.raises(CorrectFiles) as caught:
        load(tmp_path, *changes)
    return [str(problem).removeprefix(f"{tmp_path}/") for problem in caught.value.problems]


def warned(tmp_path: Path, *changes: tuple[str, str]) -> list[str]:
    return [text.removeprefix(f"{tmp_path}/") for text in load(tmp_path, *changes).warnings]


def bus(text: str) -> tuple[str, str]:
    return "{id: plugs, kind: mqtt}", "{id: plugs, kind: mqtt, " + text + "}"


def device(text: str) -> tuple[str, str]:
    return (
        "{id: t1, bus: plugs, topic: tasmota_1, profile: tasmota-plug}",
        "{id: t1, bus: plugs, " + text + "}",
    )


def test_plugs_stand_beside_modbus_devices(tmp_path: Path) -> None:
    site = load(tmp_path)
    assert [each.id for each in site.buses] == ["line"]
    assert [each.id for each in site.devices] == ["m1"]
    [broker], [plug] = site.mqtt_buses, site.plugs
    assert (broker.host, broker.port, broker.client_id) == (
        "127.0.0.1",
        1883,
        "pilegate-shed-plugs",
    )
    assert (plug.topic, plug.profile.family, plug.power_on) == (
        "tasmota_1",
        Family.TASMOTA,
        PowerOn.SET,
    )
    assert site.any_device("t1") is plug
    assert site.any_device("m1") is site.device("m1")
    with pytest.raises(NotKnown):
        site.any_device("t2")
    assert [each.id for each in site.all_buses] == ["line", "plugs"]
    assert [each.id for each in site.outlets_on("plugs")] == ["a"]
    assert site.plugs_on("plugs") == (plug,)
    assert site.broker is None


def test_everything_a_bus_may_say(tmp_path: Path) -> None:
    for name in ("pass", "ca.pem", "c.pem", "k.pem"):
        (tmp_path / name).write_text("", encoding="utf-8")
    site = load(
        tmp_path,
        bus(
            "host: broker.example, username: guard, password_file: pass, client_id: Guard_1, "
            "tls: {ca: ca.pem, cert: c.pem, key: k.pem}, keepalive_s: 30, poll_ms: 500, "
            "promise: {cut_off_ms: 9000}"
        ),
    )
    [broker] = site.mqtt_buses
    assert broker.port == 8883
    assert broker.tls is not None
    assert broker.tls.ca == tmp_path / "ca.pem"
    assert broker.password_file == tmp_path / "pass"
    assert (broker.keepalive_s, broker.poll_ms, broker.promise_cut_off_ms) == (30, 500, 9_000)
    assert site.warnings == ()


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (bus("prot: 1"), "site.yaml:3: buses[0].prot: unknown key; did you mean port?"),
        (
            bus("client_id: a b"),
            "site.yaml:3: buses[0].client_id: expected letters, digits, '.', '_' and",
        ),
        (
            bus("password_file: x"),
            "site.yaml:3: buses[0].password_file: there is no password without a username",
        ),
        (bus("tls: {cert: c.pem}"), "site.yaml:3: buses[0].tls: cert and key go together"),
        (
            device("topic: a/#, profile: tasmota-plug"),
            "site.yaml:6: devices[0].topic: expected a topic of at most 200 characters without",
        ),
        (
            device("topic: /a, profile: tasmota-plug"),
            "site.yaml:6: devices[0].topic: a topic has no empty parts",
        ),
        (
            device("topic: 'shed/%prefix%/%topic%', profile: tasmota-plug"),
            "site.yaml:6: devices[0].topic: %topic% is a token of the device's own settings",
        ),
        (
            device("topic: 'shed/%prefix%/a', profile: pilegate-native"),
            "site.yaml:6: devices[0].topic: %prefix% is a token of the device's own settings",
        ),
        (device("unit: 3, profile: tasmota-plug"), "site.yaml:6: devices[0].unit: unknown key"),
        (device("profile: tasmota-plug"), "site.yaml:6: devices[0].topic: is missing"),
        (
            device("topic: a, profile: pilegate-ref10"),
            (
                "site.yaml:6: devices[0].profile: pilegate-ref10 is the profile of a device that "
                "speaks Modbus, and bus 'plugs' is of kind mqtt"
            ),
        ),
        (
            ("unit: 1, profile: pilegate-ref10", "unit: 1, profile: tasmota-plug"),
            (
                "site.yaml:7: devices[1].profile: tasmota-plug is the profile of a device that "
                "speaks MQTT, and bus 'line' is of kind modbus-tcp"
            ),
        ),
        (
            device("topic: a, profile: esphome-plug"),
            "site.yaml:6: devices[0].profile: esphome-plug may come back on after a blackout",
        ),
        (
            device("topic: a, profile: tasmota-plug, power_on: unknown"),
            "site.yaml:6: devices[0].power_on: expected safe",
        ),
        (
            (
                "  - {id: m1,",
                "  - {id: t2, bus: plugs, topic: tasmota_1, profile: tasmota-plug}\n  - {id: m1,",
            ),
            (
                "site.yaml:7: devices[1].topic: topic 'tasmota_1' on bus 'plugs' is taken already "
                "on line 6"
            ),
        ),
        (
            (
                "  - {id: line,",
                "  - {id: two, kind: mqtt, client_id: pilegate-shed-plugs}\n  - {id: line,",
            ),
            (
                "site.yaml:4: buses[1].client_id: client id 'pilegate-shed-plugs' stands already "
                "on line 3"
            ),
        ),
        (
            (
                "{id: b, device: m1, channel: 1}",
                "{id: b, relay: {device: m1}, meter: {device: t1}}",
            ),
            "t1 and m1 speak by different protocols",
        ),
        (
            ("site: {id: shed}", "site: {id: shed}\nbroker: {listen: '0.0.0.0:1883'}"),
            "site.yaml:2: broker.listen: 0.0.0.0 can be reached from other machines",
        ),
        (
            ("site: {id: shed}", "site: {id: shed}\nbroker: {port: 1}"),
            "site.yaml:2: broker.port: unknown key",
        ),
    ],
)
def test_what_is_refused_and_where(tmp_path: Path, change: tuple[str, str], problem: str) -> None:
    assert any(problem in line for line in refused(tmp_path, change)), refused(tmp_path, change)


@pytest.mark.parametrize(
    ("text", "warning"),
    [
        ("host: 192.0.2.9", "site.yaml:3: buses[0].host: 192.0.2.9 is spoken to without tls"),
        (
            "host: 192.0.2.9, username: g, password_file: nowhere",
            "site.yaml:3: buses[0].host: the password goes to 192.0.2.9 in the clear",
        ),
        (
            "username: g, password_file: nowhere",
            "site.yaml:3: buses[0].password_file: no such file yet",
        ),
        ("username: g", "site.yaml:3: buses[0].username: no password_file for 'g'"),
        ("tls: {ca: nowhere}", "site.yaml:3: buses[0].tls.ca: no such file yet"),
    ],
)
def test_what_is_warned_of(tmp_path: Path, text: str, warning: str) -> None:
    assert any(line.startswith(warning) for line in warned(tmp_path, bus(text)))


def test_the_embedded_broker_listens_on_loopback_or_is_guarded(tmp_path: Path) -> None:
    (tmp_path / "users").write_text("", encoding="utf-8")
    site = load(
        tmp_path,
        (
            "site: {id: shed}",
            "site: {id: shed}\nbroker: {listen: '0.0.0.0:1884', users_file: users}",
        ),
    )
    assert site.broker is not None
    assert (site.broker.host, site.broker.port) == ("0.0.0.0", 1884)
    assert site.broker.users_file == tmp_path / "users"


def test_silence_is_measured_by_the_plug_s_own_pace(tmp_path: Path) -> None:
    (tmp_path / "slow.yaml").write_text(
        (BUILT_IN / "esphome-plug.yaml")
        .read_text(encoding="utf-8")
        .replace("profile: esphome-plug", "profile: slow")
        .replace("report_s: 2 ", "report_s: 60 "),
        encoding="utf-8",
    )
    lines = refused(
        tmp_path,
        ("site: {id: shed}", "site: {id: shed}\nprofiles: [.]\nlimits: {silence: {delay_s: 30}}"),
        device("topic: a, profile: slow, power_on: safe"),
    )
    assert any("silence.delay_s is 30 s, below 2 polls" in line for line in lines)


@pytest.mark.parametrize("name", PLUGS)
def test_every_delivered_profile_of_a_plug_loads(name: str) -> None:
    profile = load_plug_profile(BUILT_IN / f"{name}.yaml")
    assert profile.profile == name
    is_input = Quantity.INPUT_ON in profile.values
    assert profile.is_meter is not is_input
    assert (profile.relay is None) is is_input
    assert isinstance(read_any_profile(BUILT_IN / f"{name}.yaml").profile, MqttProfile)
    assert (Quantity.POWER_W in profile.values) is not is_input


def test_every_family_has_a_profile() -> None:
    found = {load_plug_profile(BUILT_IN / f"{name}.yaml").family for name in PLUGS}
    assert found == set(Family)


@pytest.mark.parametrize(
    ("name", "old", "new", "problem"),
    [
        ("esphome-plug", "timer_s: null", "timer_s: 60", "timer_s: a switch-on of family esphome"),
        ("tasmota-plug", "timer_s: 64800", "timer_s: 64801", "timer_s: family tasmota has timers"),
        ("zigbee-plug-tuya", "timer_s: 43200", "timer_s: 43201", "timers called countdown up to"),
        ("zigbee-plug-tuya", "timer_name: countdown", "timer_name: ''", "timers up to 6553 s"),
        ("tasmota-plug", "min_gap_ms: 0", "timer_name: x", "timer_name: family tasmota has one"),
        ("tasmota-plug", "min_gap_ms: 0", "base_topic: shed", "base_topic: Tasmota's FullTopic"),
        ("shelly-plug-s", "channels: 1", "channels: 1\nbase_topic: 'x/%prefix%'", "only Tasmota"),
        ("esphome-plug", "report_s: 2 ", "ask_ms: 500 ", "ask_ms: family esphome can't be asked"),
        ("esphome-plug", "power_on: unknown", "power_on: set", "can't be set over MQTT"),
        ("zigbee-plug", "availability: true", "availability: false", "can't be told from a dead"),
        ("zigbee-plug-2", "power_l{channel}", "power", "all 2 outlets would share one power_w"),
        ("tasmota-plug", "name: ENERGY.Current", "name: ENERGY.Power", "is called 'ENERGY.Power'"),
        ("tasmota-plug", "scale: 1000", "scale: 0", "scale: expected a number other than 0"),
        ("tasmota-plug", "family: tasmota", "family: sonoff", "family: expected native, tasmota"),
        ("tasmota-plug", "cut_ms: 250", "cut_mss: 250", "cut_mss: unknown key; did you mean"),
    ],
)
def test_what_a_profile_can_get_wrong(
    tmp_path: Path, name: str, old: str, new: str, problem: str
) -> None:
    text = (BUILT_IN / f"{name}.yaml").read_text(encoding="utf-8")
    assert old in text
    path = tmp_path / f"{name}.yaml"
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(CorrectFiles) as caught:
        load_plug_profile(path)
    assert problem in str(caught.value)


def test_a_full_topic_of_tasmota_is_a_topic(tmp_path: Path) -> None:
    change = device("topic: 'shed/%prefix%/plug7', profile: tasmota-plug")
    assert load(tmp_path, change).plugs[0].topic == "shed/%prefix%/plug7"
