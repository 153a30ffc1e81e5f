"""What the profile of a plug can get wrong beyond its form."""

from __future__ import annotations

from gateway.config.mqtt_profile import COUNTDOWN, Family, MqttProfile, PowerOn
from gateway.config.profile import Quantity
from gateway.config.yaml_source import KeyPath, Source
from gateway.core.errors import Problem

TIMED = frozenset({Family.NATIVE, Family.TASMOTA, Family.SHELLY_GEN2, Family.ZIGBEE2MQTT})
"""Families whose ON can carry a timer."""
ASKED = frozenset(Family) - {Family.ESPHOME}
"""Families that can be asked for their values."""
SETTABLE = frozenset({Family.TASMOTA, Family.SHELLY_GEN2, Family.ZIGBEE2MQTT})
"""Families whose power-on state can be read and set over MQTT."""
LONGEST_TIMER_S = {
    # PulseTime goes to 64,900, of which 100 stand for the first ten seconds (Tasmota, Commands).
    Family.TASMOTA: 64_800,
    # OnTime of the cluster On/Off is 16 bits of tenths of a second (Zigbee Cluster Library, 3.8).
    Family.ZIGBEE2MQTT: 6_553,
}
LONGEST_COUNTDOWN_S = 43_200
"""Of Tuya's plugs (zigbee-herdsman-converters refuses a longer one)."""
FULL_TOPIC = "%prefix%"
"""Where Tasmota's FullTopic has cmnd, stat or tele (MQTT)."""
SHARED = frozenset({Quantity.VOLTAGE_V, Quantity.FREQUENCY_HZ, Quantity.TEMPERATURE_C})
"""Quantities of which a device with several outlets may have but one."""
INPUTS = frozenset({Family.NATIVE, Family.ZIGBEE2MQTT, Family.ESPHOME})
"""Families of whose inputs something is known: detectors, contacts, buttons."""


def check_plug(profile: MqttProfile, source: Source, problems: list[Problem]) -> None:
    """Add a problem for whatever the profile's family can't do."""
    family = profile.family

    def wrong(path: KeyPath, message: str) -> None:
        problems.append(source.problem(path, message))

    if profile.timer_s is not None:
        longest_s = LONGEST_TIMER_S.get(family)
        if profile.timer_name == COUNTDOWN:
            longest_s = LONGEST_COUNTDOWN_S
        if family not in TIMED:
            wrong(("timer_s",), f"a switch-on of family {family} carries no timer: write null")
        elif longest_s is not None and profile.timer_s > longest_s:
            called = f" called {profile.timer_name}" if profile.timer_name else ""
            wrong(("timer_s",), f"family {family} has timers{called} up to {longest_s} s")
    if profile.ask_ms is not None and family not in ASKED:
        wrong(("ask_ms",), f"family {family} can't be asked for its values: write null")
    if profile.power_on is PowerOn.SET and family not in SETTABLE:
        wrong(
            ("power_on",),
            f"the power-on state of family {family} can't be set over MQTT: write safe or unknown",
        )
    if profile.is_on_change and not profile.availability:
        wrong(
            ("availability",),
            "a plug that tells only changes, and not when it is gone, can't be told from a dead "
            "one: give ask_ms or report_s, or a device with availability",
        )
    _check_keys(profile, source, problems)
    _check_names(profile, source, problems)


def _check_keys(profile: MqttProfile, source: Source, problems: list[Problem]) -> None:
    """Add a problem for keys that only another family has."""
    family = profile.family
    if family is not Family.ZIGBEE2MQTT:
        problems += [
            source.problem((key,), f"family {family} has one name for it: leave it out")
            for key in ("timer_name", "power_on_name")
            if getattr(profile, key)
        ]
    is_full = FULL_TOPIC in profile.base_topic
    if family is Family.TASMOTA and profile.base_topic and not is_full:
        told = f"Tasmota's FullTopic has {FULL_TOPIC}: write it as in shed/{FULL_TOPIC}"
        problems.append(source.problem(("base_topic",), told))
    elif family is not Family.TASMOTA and is_full:
        problems.append(source.problem(("base_topic",), f"only Tasmota has {FULL_TOPIC}"))


def _check_names(profile: MqttProfile, source: Source, problems: list[Problem]) -> None:
    seen: dict[str, Quantity] = {}
    for quantity, value in profile.values.items():
        path = ("values", quantity.value)
        if quantity is Quantity.INPUT_ON:
            problems += _input_problems(profile, source, path)
        other = seen.setdefault(value.name, quantity)
        if other is not quantity:
            problems.append(
                source.problem((*path, "name"), f"{other.value} is called {value.name!r} already")
            )
        if value.scale == 0:
            problems.append(source.problem((*path, "scale"), "expected a number other than 0"))
        if any(char in value.name for char in "+#\0"):
            problems.append(source.problem((*path, "name"), "a name holds no +, # or NUL"))
        several = profile.channels > 1 and "{" not in value.name
        # Native and Shelly Gen2 name outlets by structure, Tasmota by the place in a list.
        structured = profile.family in (Family.NATIVE, Family.SHELLY_GEN2, Family.TASMOTA)
        if several and quantity not in SHARED and not structured:
            problems.append(
                source.problem(
                    (*path, "name"),
                    f"all {profile.channels} outlets would share one {quantity.value}: "
                    "put {channel} or {index} into its name",
                )
            )


def _input_problems(profile: MqttProfile, source: Source, path: KeyPath) -> list[Problem]:
    """Say what is wrong with an input."""
    if profile.family not in INPUTS:
        known = ", ".join(sorted(INPUTS))
        return [source.problem(path, f"family {profile.family} has no inputs; {known} have")]
    if len(profile.values) > 1:
        told = "inputs stand alone: an outlet has none, so leave out either them or all the rest"
        return [source.problem(path, told)]
    return []
