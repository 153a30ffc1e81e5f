"""Limits: merged by layers, each with its origin, and errors at the layer that made them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gateway.config.merge import ALWAYS_ON, RULES, Layer, Merged, merge, read_layer
from gateway.config.profile_files import BUILT_IN
from gateway.config.site import load_site
from gateway.config.yaml_source import parse_yaml
from gateway.core.errors import CorrectFiles, Problem
from gateway.guard.limits import Action, Limits, Release


def layer(origin: str, text: str) -> Layer:
    source = parse_yaml(f"limits:\n  {text}\n", f"{origin}.yaml")
    problems: list[Problem] = []
    found = read_layer(source.data["limits"], source, ("limits",), origin, problems)
    assert problems == []
    return found


def merged(*layers: Layer) -> Merged:
    problems: list[Problem] = []
    result = merge(layers, problems)
    assert problems == []
    return result


def wrong(data: Any) -> list[str]:
    source = parse_yaml("limits: {}\n", "f")
    problems: list[Problem] = []
    read_layer(data, source, ("limits",), "site", problems)
    return [str(problem).removeprefix("f:1: ") for problem in problems]


def test_without_layers_the_program_s_defaults_hold() -> None:
    result = merged()
    assert result.limits == Limits()
    assert set(result.origins.values()) == {"default"}
    assert result.origins["overcurrent_inverse"] == "default"  # switched off by default
    assert {key.partition(".")[0] for key in result.origins} == set(RULES)


def test_rules_that_hold_always_are_those_without_none() -> None:
    assert {"longest_time", "silence", "welded", "no_reaction"} == ALWAYS_ON


def test_each_field_comes_from_the_last_layer_that_writes_it() -> None:
    result = merged(
        layer("profile/x", "overpower: {above_w: 1000, delay_s: 9}"),
        layer("site", "overpower: {delay_s: 5, action: alarm}"),
        layer("outlet/o", "overpower: {above_w: 1500}"),
    )
    overpower = result.limits.overpower
    assert overpower is not None
    assert (overpower.above_w, overpower.delay_s, overpower.action) == (1500, 5, Action.ALARM)
    assert overpower.release is Release.OPERATOR
    assert {key: value for key, value in result.origins.items() if "overpower" in key} == {
        "overpower.above_w": "outlet/o",
        "overpower.delay_s": "site",
        "overpower.action": "site",
        "overpower.release": "default",
        "overpower.cooldown_s": "default",
    }


def test_defaults_of_a_rule_keep_what_the_program_says_of_that_rule() -> None:
    overvoltage = merged(layer("site", "overvoltage: {above_v: 260}")).limits.overvoltage
    assert overvoltage is not None
    assert overvoltage.release is Release.AUTOMATIC


def test_null_switches_a_rule_off_and_says_who_did() -> None:
    result = merged(layer("site", "full: {delay_s: 5}"), layer("pile/n1", "full: null"))
    assert result.limits.full is None
    assert result.origins["full"] == "pile/n1"
    assert not any(key.startswith("full.") for key in result.origins)


def test_a_rule_that_was_off_starts_again_from_the_program_s_defaults() -> None:
    result = merged(
        layer("site", "overcurrent: {above_a: 7, delay_s: 1}"),
        layer("station/s", "overcurrent: null"),
        layer("outlet/o", "overcurrent: {delay_s: 2}"),
    )
    overcurrent = result.limits.overcurrent
    assert overcurrent is not None
    assert (overcurrent.above_a, overcurrent.delay_s) == (10.0, 2)
    assert result.origins["overcurrent.above_a"] == "default"
    assert result.origins["overcurrent.delay_s"] == "outlet/o"


def test_a_rule_without_default_can_be_put_together_by_two_layers() -> None:
    result = merged(
        layer("site", "overcurrent_inverse: {curve: extremely_inverse}"),
        layer("pile/n1", "overcurrent_inverse: {pickup_a: 8}"),
    )
    assert result.limits.overcurrent_inverse is not None
    assert result.limits.overcurrent_inverse.pickup_a == 8


def test_what_stays_missing_is_an_error_of_the_last_layer_of_the_rule() -> None:
    problems: list[Problem] = []
    result = merge(
        [
            layer("site", "overcurrent_inverse: {time_multiplier: 1}"),
            layer("pile/n1", "full: {delay_s: 60}"),
        ],
        problems,
    )
    assert [str(problem) for problem in problems] == [
        "site.yaml:2: limits.overcurrent_inverse.pickup_a: is missing"
    ]
    assert result.limits.full is not None
    assert result.limits.full.delay_s == 60


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({"silence": {"delay_s": True}}, "limits.silence.delay_s: expected a number, not true"),
        ({"silence": {"delay_s": None}}, "limits.silence.delay_s: expected a number, not nothing"),
        ({"silence": {"delay_s": [1]}}, "limits.silence.delay_s: expected a number, not a list"),
        ({"silence": {"delay_s": 1e9}}, "limits.silence.delay_s: delay_s is from 0 to 86400"),
        ({"overcurrent_inverse": {"curve": "x"}}, "limits.overcurrent_inverse.curve: expected"),
        ({"welded": {"release": "me"}}, "limits.welded.release: expected automatic, operator or"),
        ({"welded": {"action": "off"}}, "limits.welded.action: action is cut or alarm: it is"),
        ({"no_reaction": {"delay_s": 0}}, "limits.no_reaction.delay_s: delay_s is above 0: a"),
        ({"longest_time": None}, "limits.longest_time: this rule can't be switched off"),
        ("x", "limits: expected rules with limits, not the text 'x'"),
        ({"x" * 90: {}}, f"limits.{'x' * 80}…: unknown rule; known: device_alarm, frozen_"),
    ],
)
def test_what_is_wrong_with_a_layer(data: Any, expected: str) -> None:
    found = wrong(data)
    assert len(found) == 1
    assert found[0].startswith(expected)


def test_all_layers_of_a_site_meet_in_an_outlet(tmp_path: Path) -> None:
    folder = tmp_path / "profiles"
    folder.mkdir()
    for name in ("pzem-004t-v3", "waveshare-relay-8"):
        text = (BUILT_IN / f"{name}.yaml").read_text(encoding="utf-8")
        limits = "{overpower: {above_w: 900}, full: {delay_s: 1}}"
        if name.startswith("waveshare"):
            limits = "{overpower: {above_w: 800}, welded: {above_a: 0.2}}"
        text += f"\ndefaults: {{limits: {limits}}}\n"
        (folder / f"{name}.yaml").write_text(text, encoding="utf-8")
    path = tmp_path / "site.yaml"
    path.write_text(
        """\
site: {id: s}
profiles: [profiles]
limits: {full: {delay_s: 2}, silence: {delay_s: 20}}
buses: [{id: b, kind: modbus-tcp, host: h}]
devices:
  - {id: p, bus: b, unit: 1, profile: pzem-004t-v3}
  - {id: w, bus: b, unit: 2, profile: waveshare-relay-8}
stations:
  - id: st
    limits: {silence: {delay_s: 21}, unplugged: {delay_s: 31}}
    piles:
      - id: pi
        limits: {unplugged: {delay_s: 32}, no_load: {delay_s: 41}}
        outlets:
          - {id: o, meter: {device: p}, relay: {device: w}, limits: {no_load: {delay_s: 42}}}
""",
        encoding="utf-8",
    )
    origins = load_site(path).outlet("o").origins
    assert {key: value for key, value in origins.items() if value != "default"} == {
        "overpower.above_w": "profile/pzem-004t-v3",  # the meter's profile goes before the relay's
        "welded.above_a": "profile/waveshare-relay-8",
        "full.delay_s": "site",
        "silence.delay_s": "station/st",
        "unplugged.delay_s": "pile/pi",
        "no_load.delay_s": "outlet/o",
    }


def test_a_contradiction_points_to_the_stronger_layer(tmp_path: Path) -> None:
    path = tmp_path / "site.yaml"
    path.write_text(
        """\
site: {id: s}
limits: {overcurrent: {above_a: 12}}
buses: [{id: b, kind: modbus-tcp, host: h}]
devices: [{id: m, bus: b, unit: 1, profile: pilegate-ref10}]
stations:
  - id: st
    piles:
      - id: pi
        module: {device: m, channels: 1-3}
        outlets:
          - {id: pi-2, limits: {overcurrent_instant: {above_a: 11}}}
""",
        encoding="utf-8",
    )
    with pytest.raises(CorrectFiles) as caught:
        load_site(path)
    assert [(problem.line, problem.key) for problem in caught.value.problems] == [
        (11, "stations[0].piles[0].outlets[0].limits.overcurrent_instant.above_a")
    ]
