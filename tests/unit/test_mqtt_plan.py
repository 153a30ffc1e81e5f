"""What plugs can promise, and what ``check`` says when that is too little."""

from __future__ import annotations

from pathlib import Path

import pytest

from drivers.mqtt.plan import HOP_MS, plan_mqtt, seen_within
from gateway.cli import run
from gateway.config import load_plug_profile
from gateway.config.profile_files import BUILT_IN
from tests.support.mqtt_site import mqtt_bus, plug, plug_site

SITES = Path(__file__).parents[2] / "config" / "sites"


@pytest.mark.parametrize(
    ("profile", "poll_ms", "seen_ms"),
    [
        ("tasmota-plug", 1_000, 3_200 + 1_500),
        ("tasmota-plug", 300, 3_200 + 1_700),  # asked in whole rounds: every 1.2 s
        ("zigbee-plug-tuya-polled", 1_000, 10_000 + HOP_MS),
        ("pilegate-native", 100, 400),
        ("zigbee-plug", 1_000, 10_000 + HOP_MS),
        ("zigbee-plug-asked", 1_000, 3_500),
        ("esphome-plug", 1_000, 2_000 + HOP_MS),
        ("shelly-plug-s", 1_000, 3_000),
    ],
)
def test_an_overload_is_seen_within(profile: str, poll_ms: int, seen_ms: float) -> None:
    found, _ = seen_within(load_plug_profile(BUILT_IN / f"{profile}.yaml"), poll_ms)
    assert found == seen_ms


def test_a_plug_of_which_nothing_is_promised_breaks_every_promise() -> None:
    bus = mqtt_bus(promise_cut_off_ms=60_000)
    silent = plug("a", "zigbee-plug", profile_changes={"change_ms": None})
    [found] = plan_mqtt(bus, plug_site(bus, silent)).plugs
    assert found.worst_cut_ms is None
    assert not found.is_kept
    assert plan_mqtt(bus, plug_site(bus, silent)).worst_cut_ms is None


def test_the_promise_of_a_device_outranks_that_of_its_bus_and_of_the_site() -> None:
    bus = mqtt_bus(promise_cut_off_ms=9_000)
    site = plug_site(
        bus, plug("a", "zigbee-plug", promise_cut_off_ms=12_000), plug("b", "zigbee-plug")
    )
    assert [(each.promise_ms, each.is_kept) for each in plan_mqtt(bus, site).plugs] == [
        (12_000, True),
        (9_000, False),
    ]
    plain = mqtt_bus()
    [only] = plan_mqtt(plain, plug_site(plain, plug("t", "shelly-plus-plug-s"))).plugs
    assert (only.promise_ms, only.is_kept, only.has_timer) == (2_500, True, True)
    [only] = plan_mqtt(plain, plug_site(plain, plug("t", "tasmota-plug"))).plugs
    assert (only.worst_cut_ms, only.is_kept) == (5_000, False)
    assert only.seen_by == "asked every 1 s, its meter up to 3.2 s behind"


@pytest.mark.parametrize(
    ("profile", "messages_s"),
    [
        ("pilegate-native", 2.0),
        ("tasmota-plug", 4.0),  # two questions, two answers
        ("shelly-plug-s", 3.0),  # one question in two seconds, a topic for each of five values
        ("esphome-plug", 0.0),
    ],
)
def test_what_is_said_in_rest(profile: str, messages_s: float) -> None:
    bus = mqtt_bus(poll_ms=1_000)
    assert plan_mqtt(bus, plug_site(bus, plug("a", profile))).messages_s == messages_s


def test_check_prints_each_plug_and_refuses_what_is_too_slow(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["check", str(SITES / "mqtt.yaml")]) == 0
    told = capsys.readouterr().out
    assert "asked every 1 s" in told
    assert "each plug's relay opens within what is promised" in told

    text = (SITES / "mqtt.yaml").read_text(encoding="utf-8")
    bad = tmp_path / "site.yaml"
    bad.write_text(text.replace(", promise: {cut_off_ms: 12000}", ""), encoding="utf-8")
    assert run(["check", str(bad)]) == 2
    refused = capsys.readouterr().err
    assert (
        "promise.cut_off_ms: 2500 ms is not kept by zigbee on bus plugs (relay open after "
        "11100 ms: reports a change within 10 s)" in refused
    )
    assert "write promise: {cut_off_ms: 11100} at the device or at its bus" in refused
