"""JSON Schemas: complete, with words and units, and of the same mind as the loader."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.config.schema import Kind, schema
from gateway.config.yaml_source import read_yaml
from gateway.guard import limits

CONFIG = Path(__file__).parents[2] / "config"
PROFILES = sorted((CONFIG / "profiles").glob("*.yaml"))
PLUGS = [path for path in PROFILES if "protocol: mqtt" in path.read_text(encoding="utf-8")]
FILES: list[tuple[Kind, Path]] = [
    *(("site", path) for path in sorted((CONFIG / "sites").glob("*.yaml"))),
    *(("mqtt-profile" if path in PLUGS else "profile", path) for path in PROFILES),
]
KINDS: list[Kind] = ["site", "profile", "mqtt-profile"]


def properties(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    places = {"file": document, **document["$defs"]}
    for place, definition in places.items():
        for name, field in definition.get("properties", {}).items():
            yield place, name, field


def follow(document: dict[str, Any], part: dict[str, Any]) -> dict[str, Any]:
    if "$ref" in part:
        found: dict[str, Any] = document["$defs"][part["$ref"].removeprefix("#/$defs/")]
        return found
    return part


def unknown_keys(document: dict[str, Any], part: dict[str, Any], value: Any) -> list[str]:
    """Keys of ``value`` that the schema does not have: as much of a validator as is needed."""
    part = follow(document, part)
    options = part.get("anyOf") or part.get("oneOf")
    if options:
        return min((unknown_keys(document, option, value) for option in options), key=len)
    found: list[str] = []
    if isinstance(value, dict):
        if part.get("type") != "object":
            return list(value)
        for key, inner in value.items():
            if key in part.get("properties", {}):
                found += unknown_keys(document, part["properties"][key], inner)
            elif isinstance(part.get("additionalProperties"), dict):
                found += unknown_keys(document, part["additionalProperties"], inner)
            else:
                found.append(key)
    if isinstance(value, list):
        for inner in value:
            found += unknown_keys(document, part.get("items", {}), inner)
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_every_reference_leads_somewhere(kind: Kind) -> None:
    document = schema(kind)
    text = json.dumps(document)
    references = {part.partition('"')[0] for part in text.split('"$ref": "')[1:]}
    assert references
    assert {name.removeprefix("#/$defs/") for name in references} <= set(document["$defs"])
    assert "x-layer" not in text
    assert document["$schema"].endswith("2020-12/schema")


@pytest.mark.parametrize("kind", KINDS)
def test_every_key_is_described_and_has_its_unit(kind: Kind) -> None:
    document = schema(kind)
    for place, name, field in properties(document):
        if place == "LimitsLayer":
            continue  # rules are described at their own definition
        assert {**follow(document, field), **field}.get("description"), f"{place}.{name}"
        assert field.get("title") or "$ref" in str(field), f"{place}.{name}"
        if name.endswith(("_ms", "_s", "_w", "_a", "_v", "_c", "_days", "_mb")):
            assert field.get("x-unit"), f"{place}.{name}"


@pytest.mark.parametrize("kind", KINDS)
def test_no_mapping_takes_unknown_keys(kind: Kind) -> None:
    document = schema(kind)
    for name, definition in {"file": document, **document["$defs"]}.items():
        if definition.get("type") == "object":
            assert definition["additionalProperties"] is False, name


@pytest.mark.parametrize(("kind", "path"), FILES, ids=[path.name for _, path in FILES])
def test_examples_and_profiles_fit_their_schema(kind: Kind, path: Path) -> None:
    document = schema(kind)
    assert unknown_keys(document, document, read_yaml(path).data) == []


def test_the_schema_finds_a_key_that_is_wrong() -> None:
    document = schema("site")
    data = {"site": {"id": "s", "nam": 1}, "limits": {"full": {"delay": 1}}, "bus": []}
    assert unknown_keys(document, document, data) == ["nam", "delay", "bus"]


def test_a_layer_requires_nothing_and_has_no_defaults() -> None:
    document = schema("site")
    rule = document["$defs"]["AboveCurrent"]
    assert "required" not in rule
    assert not any("default" in field for field in rule["properties"].values())
    assert {"type": "null"} in document["$defs"]["LimitsLayer"]["properties"]["full"]["anyOf"]
    assert "anyOf" not in document["$defs"]["LimitsLayer"]["properties"]["silence"]


RULES = [
    (name, field, bound)
    for name, definition in schema("site")["$defs"].items()
    for field, about in definition.get("properties", {}).items()
    if (hasattr(limits, name) and issubclass(getattr(limits, name), limits.Rule))
    for bound in ("minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum")
    if bound in about
]


@pytest.mark.parametrize(("name", "field", "bound"), RULES)
def test_what_the_schema_refuses_the_loader_refuses(name: str, field: str, bound: str) -> None:
    """An editor must not mark what is right."""
    at = schema("site")["$defs"][name]["properties"][field][bound]
    beyond = at if bound.startswith("exclusive") else at + (0.001 if bound == "maximum" else -0.001)
    rule = getattr(limits, name)
    required = {"above_a": 5.0, "pickup_a": 5.0, "above_w": 500.0, "above_c": 80.0}
    needed = {
        each.name: required.get(each.name, 10.0)
        for each in dataclasses.fields(rule)
        if each.default is dataclasses.MISSING
    }
    with pytest.raises(ValueError, match=field):
        rule(**needed | {field: beyond})


def test_there_are_bounds_to_check() -> None:
    assert len(RULES) > 40


def test_forms_of_text_that_an_editor_can_check() -> None:
    definitions = schema("site")["$defs"]

    def refuses(model: str, field: str, text: str) -> bool:
        return re.search(definitions[model]["properties"][field]["pattern"], text) is None

    assert refuses("RtuItem", "port", "ttyUSB0")
    assert refuses("ServeItem", "listen", "localhost")
    assert not refuses("ServeItem", "listen", "[::1]:8480")
    assert refuses("ServeItem", "database", "mysql://x")
    assert refuses("ModuleItem", "outlets", "n1")
    limit = schema("profile")["$defs"]["ModuleLimit"]["properties"]["limit"]
    assert "overpower.above_w" in limit["enum"]
