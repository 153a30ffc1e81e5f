"""Limits by layers: program defaults < profile < site < station < pile < outlet.

Layers are merged field by field. ``null`` switches a rule off; a later layer that writes
fields of that rule again starts from the program's defaults of it.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter, ValidationError

from gateway.config.explain import message_of, nearest, shown
from gateway.config.yaml_source import KeyPath, Source
from gateway.core.errors import Problem
from gateway.guard.limits import Limits

DEFAULT_ORIGIN = "default"

Fields = dict[str, Any]

_ADAPTER = TypeAdapter(Limits)
_DEFAULTS: dict[str, Fields | None] = json.loads(_ADAPTER.dump_json(Limits()))
RULES = tuple(field.name for field in dataclasses.fields(Limits))
ALWAYS_ON = frozenset(
    field.name for field in dataclasses.fields(Limits) if "None" not in str(field.type)
)
"""Rules that can't be switched off."""


@dataclass(frozen=True, slots=True)
class Layer:
    """What one place of a file says about limits; only what is valid by itself."""

    origin: str
    """``site``, ``pile/n1``, …"""
    source: Source
    path: KeyPath
    rules: Mapping[str, Fields | None]

    def problem(self, rule: str, field: str, message: str) -> Problem:
        """Make a problem that points to a field of this layer."""
        path = (*self.path, rule, field) if field else (*self.path, rule)
        return self.source.problem(path, message)


@dataclass(frozen=True, slots=True)
class Merged:
    """Limits with the place each comes from."""

    limits: Limits
    origins: Mapping[str, str]
    """``rule.field`` to origin; a rule that is switched off stands under its own name."""
    layers: Mapping[str, Layer]
    """``rule.field`` to its layer, where it is not a default of the program."""


def read_layer(
    data: Any, source: Source, path: KeyPath, origin: str, problems: list[Problem]
) -> Layer:
    """Read what stands at ``path``; what is wrong goes to ``problems`` and is left out."""
    rules: dict[str, Fields | None] = {}
    if not isinstance(data, dict):
        problems.append(source.problem(path, f"expected rules with limits, not {shown(data)}"))
        data = {}
    for rule, fields in data.items():
        found = list(_wrong(rule, fields))
        problems.extend(
            source.problem((*path, rule, field) if field else (*path, rule), message)
            for field, message in found
        )
        if not found:
            rules[rule] = fields
    return Layer(origin, source, path, rules)


def _wrong(rule: str, fields: Any) -> Iterable[tuple[str, str]]:
    """Give ``(field or "", message)`` for each thing that is wrong with one rule of a layer."""
    if rule not in RULES:
        yield "", f"unknown rule; {nearest(rule, RULES)}"
    elif fields is None:
        if rule in ALWAYS_ON:
            yield "", "this rule can't be switched off: give it longer limits"
    elif not isinstance(fields, dict):
        yield "", f"expected fields of the rule, or null to switch it off, not {shown(fields)}"
    else:
        for field, value in fields.items():
            yield from _wrong_field(rule, field, value)


def _wrong_field(rule: str, field: str, value: Any) -> Iterable[tuple[str, str]]:
    # One field at a time over the defaults: the checks in the rules' own constructors
    # stop at the first field that is wrong.
    alone = {**_DEFAULTS, rule: {**(_DEFAULTS[rule] or {}), field: value}}
    try:
        _ADAPTER.validate_json(json.dumps(alone), strict=True)
    except ValidationError as err:
        for details in err.errors(include_url=False):
            # What is missing here may stand in another layer.
            if not details["type"].startswith("missing"):
                yield field, message_of(details, Limits)


def merge(layers: Sequence[Layer], problems: list[Problem]) -> Merged:
    """Merge ``layers``, of which the last is the strongest.

    What only shows when they come together goes to ``problems``, and the rule concerned
    keeps the program's default.
    """
    rules: dict[str, Fields | None] = dict(_DEFAULTS)
    owners: dict[str, Layer] = {}
    for layer in layers:
        for rule, fields in layer.rules.items():
            if fields is None:
                _forget(owners, rule)
                rules[rule] = None
                owners[rule] = layer
            else:
                owners.pop(rule, None)
                rules[rule] = {**(rules[rule] or _DEFAULTS[rule] or {}), **fields}
                owners.update((f"{rule}.{field}", layer) for field in fields)
    limits = _build(rules, layers, problems)
    return Merged(limits, _origins(rules, owners), owners)


def _forget(owners: dict[str, Layer], rule: str) -> None:
    for key in [key for key in owners if key.startswith(f"{rule}.")]:
        del owners[key]


def _build(
    rules: dict[str, Fields | None], layers: Sequence[Layer], problems: list[Problem]
) -> Limits:
    try:
        return _ADAPTER.validate_json(json.dumps(rules), strict=True)
    except ValidationError as err:
        wrong: set[str] = set()
        for details in err.errors(include_url=False):
            rule, *rest = (str(part) for part in details["loc"])
            last = next(layer for layer in reversed(layers) if rule in layer.rules)
            problems.append(last.problem(rule, ".".join(rest), message_of(details, Limits)))
            wrong.add(rule)
        rules.update((rule, _DEFAULTS[rule]) for rule in wrong)
        return _ADAPTER.validate_json(json.dumps(rules), strict=True)


def _origins(rules: Mapping[str, Fields | None], owners: Mapping[str, Layer]) -> dict[str, str]:
    origins: dict[str, str] = {}
    for rule in RULES:
        fields = rules[rule]
        keys = [rule] if fields is None else [f"{rule}.{field}" for field in fields]
        for key in keys:
            owner = owners.get(key)
            origins[key] = DEFAULT_ORIGIN if owner is None else owner.origin
    return origins
