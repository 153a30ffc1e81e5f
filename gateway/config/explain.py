"""Checks plain data against a type, and says in plain words what is wrong with it."""

from __future__ import annotations

import dataclasses
import difflib
import json
import types
from collections.abc import Iterable
from functools import lru_cache
from itertools import islice
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from gateway.config.patterns import (
    CLIENT_PATTERN,
    GROUP_PATTERN,
    HOST_PATTERN,
    TITLE_PATTERN,
    TOPIC_PATTERN,
)
from gateway.config.yaml_source import KeyPath, Source
from gateway.core.errors import Problem
from gateway.core.ids import NAME_PATTERN

_EXPECTED = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "string_type": "text",
    "bool_type": "true or false",
    "tuple_type": "a list",
    "list_type": "a list",
    "dict_type": "keys with values",
    "model_type": "keys with values",
    "model_attributes_type": "keys with values",
    "dataclass_type": "keys with values",
    "none_required": "null",
}
_BOUNDS = {
    "greater_than_equal": ("ge", "a number from {} up"),
    "greater_than": ("gt", "a number above {}"),
    "less_than_equal": ("le", "a number up to {}"),
    "less_than": ("lt", "a number below {}"),
    "string_too_short": ("min_length", "text of at least {} characters"),
    "string_too_long": ("max_length", "text of at most {} characters"),
    "too_short": ("min_length", "a list of at least {} entries"),
    "too_long": ("max_length", "a list of at most {} entries"),
}
ID_WORDS = (
    "an id (small letters, digits, '.', '_' and '-', at most 63, beginning with a letter or digit)"
)
PATTERN_WORDS = {
    NAME_PATTERN: ID_WORDS,
    HOST_PATTERN: "a host name or an address such as 192.0.2.10 or 2001:db8::1 (no brackets)",
    TITLE_PATTERN: "one line of text without control characters",
    GROUP_PATTERN: "the name of a group of this system",
    TOPIC_PATTERN: "a topic of at most 200 characters without +, # and control characters",
    CLIENT_PATTERN: "letters, digits, '.', '_' and '-', at most 64",
}
QUOTE = "'"
MOST_TOLD = 200
"""Problems of one part of a file. Whoever has more of them has one, over and over."""
_NOTHING = object()
_LONGEST_SHOWN = 40


def nearest(word: str, known: Iterable[str]) -> str:
    """Suggest the known word that comes nearest, or list what there is."""
    words = sorted(name for name in known if name.isprintable())
    close = difflib.get_close_matches(word, words, n=1, cutoff=0.6)
    if close:
        return f"did you mean {close[0]}?"
    if not words:
        return "there is none"
    more = f" and {len(words) - 12} more" if len(words) > 12 else ""
    return f"known: {', '.join(words[:12])}{more}"


def shown(value: Any) -> str:
    """Write a value of a file so that it fits into a line."""
    if value is None:
        return "nothing (null)"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "keys with values"
    if isinstance(value, list | tuple):
        return "a list"
    if isinstance(value, str):
        cut = value if len(value) <= _LONGEST_SHOWN else value[:_LONGEST_SHOWN] + "…"
        return f"the text {cut!r}"
    return str(value)


@lru_cache(maxsize=64)
def _adapter(expected: Any) -> TypeAdapter[Any]:
    return TypeAdapter(expected)


def read_as(
    expected: Any, data: Any, source: Source, path: KeyPath, problems: list[Problem]
) -> Any | None:
    """Read ``data``, which stands at ``path``; on error add problems and give None.

    ``expected`` is any type that pydantic knows. Numbers are not read from text, nor
    booleans from numbers: the strict JSON mode of pydantic has just the types of a YAML file.
    """
    try:
        return _adapter(expected).validate_json(json.dumps(data), strict=True)
    except ValidationError as err:
        places: dict[KeyPath, list[ErrorDetails]] = {}
        for details in err.errors(include_url=False):
            places.setdefault(_place(details, data), []).append(details)
        for loc, found in islice(places.items(), MOST_TOLD):
            told = _messages(found, expected)
            problems.extend(source.problem((*path, *loc), message) for message in told)
        if len(places) > MOST_TOLD:
            more = f"and {len(places) - MOST_TOLD} more problems here: correct these first"
            problems.append(source.problem(path, more))
        return None


def _place(details: ErrorDetails, data: Any) -> KeyPath:
    """Say where in ``data`` something is wrong."""
    loc = _without_tags(details["loc"], data)
    if details["type"] == "union_tag_invalid":
        return (*loc, details["ctx"]["discriminator"].strip(QUOTE))
    return loc


def _messages(found: list[ErrorDetails], expected: Any) -> list[str]:
    """Say what is wrong at one place: in one message what could have been there instead."""
    kinds = [details["type"] for details in found]
    if len(found) > 1 and all(kind in _EXPECTED for kind in kinds):
        options = " or ".join(dict.fromkeys(_EXPECTED[kind] for kind in kinds))
        return [f"expected {options}, not {shown(found[0]['input'])}"]
    return [message_of(details, expected) for details in found]


def _without_tags(loc: tuple[int | str, ...], data: Any) -> KeyPath:
    """Drop what pydantic puts into a location beside keys: names of union members."""
    kept: list[str | int] = []
    for index, part in enumerate(loc):
        inner = _item(data, part)
        if inner is not _NOTHING:
            data = inner
        elif part == "[key]" or index < len(loc) - 1 or not isinstance(data, dict):
            continue
        kept.append(part)
    return tuple(kept)


def _item(data: Any, part: int | str) -> Any:
    if isinstance(data, dict):
        return data.get(part, _NOTHING)
    if isinstance(data, list) and isinstance(part, int) and part < len(data):
        return data[part]
    return _NOTHING


def message_of(details: ErrorDetails, expected: Any) -> str:
    """Say in plain words what pydantic found in a value of type ``expected``."""
    loc, kind = details["loc"], details["type"]
    value, context = details["input"], details.get("ctx", {})
    if kind in ("extra_forbidden", "unexpected_keyword_argument"):
        return f"unknown key; {nearest(str(loc[-1]), keys_at(expected, loc[:-1]))}"
    if kind == "enum" and loc[-1] == "[key]":
        known = str(context["expected"]).replace(QUOTE, "").replace(" or ", ", ").split(", ")
        return f"unknown key; {nearest(str(value), known)}"
    if kind in ("missing", "missing_keyword_only_argument"):
        return "is missing"
    if kind == "value_error":
        return str(context["error"])
    if kind == "union_tag_not_found":
        return f"{context['discriminator'].strip(QUOTE)} is missing: it says which kind it is"
    return f"expected {_expected(kind, context)}, not {shown(context.get('tag', value))}"


def _expected(kind: str, context: dict[str, Any]) -> str:
    if kind in _EXPECTED:
        return _EXPECTED[kind]
    if kind == "string_too_short" and context["min_length"] == 1:
        return "text that is not empty"
    if kind in _BOUNDS:
        key, words = _BOUNDS[kind]
        return words.format(_plain(context[key]))
    if kind in ("enum", "literal_error", "union_tag_invalid"):
        options = context.get("expected_tags") or context.get("expected", "")
        return str(options).replace(QUOTE, "")
    if kind == "string_pattern_mismatch":
        pattern = str(context["pattern"])
        return PATTERN_WORDS.get(pattern) or f"text of the form {pattern}"
    return "something else"


def _plain(bound: object) -> object:
    """Write a bound without a zero behind the point."""
    return int(bound) if isinstance(bound, float) and bound.is_integer() else bound


def keys_at(expected: Any, loc: KeyPath) -> set[str]:
    """Keys that may stand at ``loc``, a location of pydantic's, in a value of type ``expected``."""
    types_here = _members(expected)
    for part in loc:
        types_here = [inner for outer in types_here for inner in _inside(outer, part)]
    return {key for here in types_here for key in _fields(here)}


def _inside(outer: Any, part: str | int) -> list[Any]:
    """Give the types that may stand at key or index ``part`` of a value of type ``outer``."""
    fields = _fields(outer)
    if part in fields:
        return _members(fields[str(part)])
    if fields:  # pydantic names the member of a union by its tag
        return [outer] if (part,) in map(get_args, fields.values()) else []
    arguments = get_args(outer)
    if get_origin(outer) is dict:
        arguments = arguments[1:]
    return [inner for argument in arguments for inner in _members(argument)]


def _fields(here: Any) -> dict[str, Any]:
    if isinstance(here, type) and issubclass(here, BaseModel):
        return {name: field.annotation for name, field in here.model_fields.items()}
    if isinstance(here, type) and dataclasses.is_dataclass(here):
        return get_type_hints(here)
    return {}


def _members(expected: Any) -> list[Any]:
    """Take unions and annotations apart."""
    if get_origin(expected) is Annotated:
        return _members(get_args(expected)[0])
    if get_origin(expected) in (Union, types.UnionType):
        return [member for option in get_args(expected) for member in _members(option)]
    return [] if get_origin(expected) is Literal or expected is Ellipsis else [expected]
