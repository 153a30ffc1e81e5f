"""PURE: the state of an outlet's protection as JSON, so that a record can be replayed from it.

Told by the fields that the state's types have: whatever protection learns to remember is kept as
well. Read leniently: a field that this version does not know is passed over, one that is missing
has its default. Samples and other evidence stay out: they decide nothing, and samples are rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from functools import cache
from types import MappingProxyType, NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from gateway.guard.model import Lease
from gateway.guard.state import OutletState

_LEFT_OUT = frozenset({"recent", "fall", "evidence"})


def state_to_json(state: OutletState) -> dict[str, Any]:
    """Write a state down."""
    written: dict[str, Any] = _write(state)
    return written


def lease_to_json(lease: Lease | None) -> dict[str, Any] | None:
    """Write a lease's terms down."""
    written: dict[str, Any] | None = _write(lease)
    return written


def state_from_json(data: Mapping[str, Any]) -> OutletState:
    """Read a state. Raises ValueError, TypeError, KeyError or AttributeError for what is none."""
    state: OutletState = _read(OutletState, data)
    return state


def _write(value: Any) -> Any:
    kind: Any = type(value)
    names = _names(kind)
    if names:
        return {name: _write(getattr(value, name)) for name in names if name not in _LEFT_OUT}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Mapping):
        return {_write(key): _write(each) for key, each in value.items()}
    if isinstance(value, frozenset):
        return sorted(_write(each) for each in value)
    return value


def _read(kind: Any, data: Any) -> Any:
    origin, inner = get_origin(kind), get_args(kind)
    if origin in (UnionType, Union):
        if data is None and NoneType in inner:
            return None
        return _read(next(each for each in inner if each is not NoneType), data)
    if origin is not None and issubclass(origin, Mapping):
        key, each = inner
        return MappingProxyType({_read(key, name): _read(each, data[name]) for name in data})
    if origin in (frozenset, tuple):
        return origin(_read(inner[0], each) for each in data)
    names = _names(kind)
    if names:
        hints = _hints(kind)
        known = [name for name in names if name in data and name not in _LEFT_OUT]
        return kind(**{name: _read(hints[name], data[name]) for name in known})
    if isinstance(kind, type) and issubclass(kind, Enum):
        return kind(data)
    return _plain(kind, data)


def _plain(kind: type, data: Any) -> Any:
    if kind is float and isinstance(data, int) and not isinstance(data, bool):
        return float(data)
    if not isinstance(data, kind) or (isinstance(data, bool) and kind is not bool):
        raise TypeError(f"{data!r} is no {kind.__name__}")
    return data


@cache
def _names(kind: type) -> tuple[str, ...]:
    """Give the fields of a named tuple or a dataclass; none for anything else."""
    if is_dataclass(kind):
        return tuple(field.name for field in fields(kind))
    return tuple(getattr(kind, "_fields", ()))


@cache
def _hints(kind: type) -> Mapping[str, Any]:
    return get_type_hints(kind)
