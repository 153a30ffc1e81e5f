"""JSON Schemas of the files people write, for editors that check while one types."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

from pydantic import TypeAdapter

from gateway.config.mqtt_profile import MqttProfile
from gateway.config.profile import FileModel, Profile
from gateway.config.profile_checks import MODULE_LIMIT_FIELDS
from gateway.config.site_file import SiteFile
from gateway.guard.limits import Limits

DIALECT = "https://json-schema.org/draft/2020-12/schema"

Kind = Literal["site", "profile", "mqtt-profile"]

_MODELS: dict[Kind, type[FileModel]] = {
    "site": SiteFile,
    "profile": Profile,
    "mqtt-profile": MqttProfile,
}

_UNITS = {
    "_a": "A",
    "_w": "W",
    "_v": "V",
    "_c": "°C",
    "_s": "s",
    "_ms": "ms",
    "_mb": "MB",
    "_days": "d",
}

_FIELDS: dict[str, tuple[str, list[Any]]] = {
    "action": ("What the rule does: cut (latched until released), off or alarm.", ["cut"]),
    "release": ("Who may release what it latched.", ["operator"]),
    "delay_s": ("How long the cause must last without a break, in s.", [3, 60]),
    "cooldown_s": ("With automatic release: how long the cause must be gone, in s.", [60]),
    "above_a": ("Acts above this current, in A.", [10.0]),
    "above_w": ("Acts above this power, in W.", [2000]),
    "above_v": ("Acts above this voltage, in V.", [270]),
    "above_c": ("Acts above this temperature, in °C.", [80]),
    "below_v": ("Acts below this voltage, in V.", [100]),
    "below_w": ("Acts below this power, in W.", [1.0]),
    "pickup_a": ("Is of IEC 60255: the current from which time runs, in A.", [10.0]),
    "curve": ("Curve of IEC 60255.", ["very_inverse"]),
    "time_multiplier": ("TMS of IEC 60255.", [0.1]),
    "float_w": ("A charge floats below this power, in W.", [2]),
    "float_share": ("Or below this share of its plateau.", [0.06]),
    "taper_w": ("A charge tapers below this power, in W.", [10]),
    "taper_share": ("Or below this share of its plateau.", [0.2]),
    "taper_delay_s": ("A charge that tapers ends after this time, in s.", [14400]),
    "restart_w": ("A rise of more than this starts the delay anew, in W.", [6]),
    "resistive_above_w": ("A load above this without a soft start is no charger, in W.", [200]),
    "times": ("So many breaks of a charge are a bad contact.", [4]),
    "within_s": ("Within this time, in s.", [120]),
    "settle_s": ("A charge that was so low for so long has tapered, in s.", [60]),
}

_POSITIVE = "exclusiveMinimum"
_BOUNDS: dict[str, dict[str, float]] = {
    "delay_s": {"minimum": 0, "maximum": 86_400},
    "cooldown_s": {"minimum": 1, "maximum": 86_400},
    "above_a": {_POSITIVE: 0, "maximum": 125},
    "pickup_a": {_POSITIVE: 0, "maximum": 125},
    "above_w": {_POSITIVE: 0, "maximum": 30_000},
    "resistive_above_w": {_POSITIVE: 0, "maximum": 30_000},
    "above_v": {_POSITIVE: 0, "maximum": 500},
    "below_v": {_POSITIVE: 0, "maximum": 500},
    "above_c": {_POSITIVE: 0, "maximum": 150},
    "below_w": {_POSITIVE: 0, "maximum": 100},
    "float_w": {_POSITIVE: 0, "maximum": 100},
    "restart_w": {_POSITIVE: 0, "maximum": 100},
    "taper_w": {_POSITIVE: 0, "maximum": 100},
    "float_share": {"minimum": 0, "exclusiveMaximum": 0.6},
    "taper_share": {"minimum": 0, "exclusiveMaximum": 0.6},
    "taper_delay_s": {_POSITIVE: 0, "maximum": 86_400},
    "settle_s": {_POSITIVE: 0, "maximum": 3_600},
    "time_multiplier": {"minimum": 0.01, "maximum": 10},
}
"""What every rule with a field of that name refuses; some rules refuse more."""


def schema(kind: Kind) -> dict[str, Any]:
    """Give the JSON Schema (2020-12) of a site file, or of a profile for Modbus or MQTT."""
    model = _MODELS[kind].model_json_schema()
    limits = TypeAdapter(Limits).json_schema()
    definitions = {**model.pop("$defs", {}), **limits.pop("$defs")}
    definitions["LimitsLayer"] = _layer(limits)
    for rule in _rules(definitions, limits):
        rule.pop("required", None)  # a layer says only what it changes
        _describe(rule)
    if "ModuleLimit" in definitions:
        definitions["ModuleLimit"]["properties"]["limit"]["enum"] = [*MODULE_LIMIT_FIELDS]
    document = {"$schema": DIALECT, **model, "title": f"pilegate {kind} file", "$defs": definitions}
    for properties in _properties(document):
        _refer_to_layer(properties)
        _add_units(properties)
    return document


def _layer(limits: dict[str, Any]) -> dict[str, Any]:
    for rule in limits["properties"].values():
        rule.pop("default", None)
    limits["title"] = "Limits"
    limits["description"] = (
        "What outlets may do. Merged field by field: program, profile, site, station, pile, "
        "outlet, the last being the strongest; null switches a rule off."
    )
    return limits


def _rules(definitions: dict[str, Any], limits: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for field in limits["properties"].values():
        options = [field, *field.get("anyOf", ()), *field.get("allOf", ())]
        for option in options:
            if "$ref" in option:
                yield definitions[option["$ref"].rpartition("/")[2]]


def _describe(rule: dict[str, Any]) -> None:
    for name, field in rule["properties"].items():
        field["description"], field["examples"] = _FIELDS[name]
        field.update(_BOUNDS.get(name, {}))
        # Defaults differ from rule to rule and from layer to layer: `pilegate` shows them.
        field.pop("default", None)


def _properties(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield document["properties"]
    for definition in document["$defs"].values():
        yield definition.get("properties", {})


def _refer_to_layer(properties: dict[str, Any]) -> None:
    for field in properties.values():
        if field.pop("x-layer", None):
            field["$ref"] = "#/$defs/LimitsLayer"
            field.pop("default", None)


def _add_units(properties: dict[str, Any]) -> None:
    for name, field in properties.items():
        unit = _UNITS.get(name[name.rfind("_") :]) if "_" in name else None
        if unit is not None:
            field["x-unit"] = unit
