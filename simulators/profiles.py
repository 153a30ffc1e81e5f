"""Profile files as the simulated device needs them.

A reader of its own: the gateway validates profiles in depth, this one takes what it needs and
says in one line what it can't use. Addresses are given from 0, whatever the file counts from.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path as FilePath
from typing import Any

from gateway.core.errors import CorrectFiles
from simulators.codec import Space
from simulators.yaml_lines import Document, Path, read_yaml

WORDS_OF_TYPE = {"u16": 1, "s16": 1, "u32": 2, "s32": 2, "u64": 4, "s64": 4, "float32": 2}
QUANTITIES = frozenset(
    {
        "voltage_v",
        "current_a",
        "power_w",
        "power_factor",
        "frequency_hz",
        "energy_wh",
        "temperature_c",
        "relay_on",
        "alarm",
        "input_on",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """Where a quantity lies and how it is written; channel k (from 1) is k-1 strides further."""

    quantity: str
    space: Space
    address: int
    stride: int = 0
    type: str = "u16"
    scale: float = 1.0
    offset: float = 0.0
    low_word_first: bool = False
    bit: int | None = None
    bit_stride: int = 0

    @property
    def is_shared(self) -> bool:
        """Whether all channels have this one value."""
        return self.stride == 0 and self.bit_stride == 0


@dataclass(frozen=True, slots=True, kw_only=True)
class RelayStyle:
    """How the relays are switched: by coil, by register value or by command code."""

    style: str
    space: Space
    address: int
    stride: int = 1
    multiple: bool = False
    on: int = 1
    off: int = 0
    function: int = 6
    """With style register: 16 when the device does not understand FC06."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModuleLimit:
    """A limit the module itself keeps, per channel: ``current_a`` or ``power_w``."""

    quantity: str
    address: int
    stride: int
    words: int
    low_word_first: bool
    scale: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Watchdog:
    """Holding register of the time after which the module switches off; 0 in it: never."""

    address: int
    unit_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SimProfile:
    """What a device of this model answers."""

    name: str
    channels: int
    turnaround_ms: float
    max_read_registers: int
    max_read_bits: int
    read_across: int
    whole_reads: bool
    never_read: dict[Space, tuple[tuple[int, int], ...]]
    values: tuple[Value, ...]
    relay: RelayStyle | None
    module_limits: tuple[ModuleLimit, ...]
    watchdog: Watchdog | None


def read_profile(path: FilePath) -> SimProfile:
    """Read one profile file. Raises CorrectFiles."""
    return _ProfileReader(read_yaml(path)).profile()


class _ProfileReader:
    def __init__(self, document: Document) -> None:
        self._document = document
        self._base = int(self._get((), "address_base", int, 0))

    def profile(self) -> SimProfile:
        values = self._get((), "values", dict, {})
        limits = self._get((), "module_limits", list, [])
        watchdog = self._get((), "watchdog", dict, None)
        relay = self._get((), "relay", dict, None)
        return SimProfile(
            name=self._get((), "profile", str),
            channels=self._get((), "channels", int, 1),
            turnaround_ms=float(self._get((), "turnaround_ms", (int, float), 5)),
            max_read_registers=self._get((), "max_read_registers", int, 125),
            max_read_bits=self._get((), "max_read_bits", int, 2000),
            read_across=self._get((), "read_across", int, 0),
            whole_reads=self._get((), "whole_reads", bool, False),
            never_read=self._never_read(),
            values=tuple(self._value(name) for name in values),
            relay=None if relay is None else self._relay(),
            module_limits=tuple(self._limit(index) for index in range(len(limits))),
            watchdog=None if watchdog is None else self._watchdog(),
        )

    def _get(self, at: Path, key: str, kind: Any, default: Any = ...) -> Any:
        holder: Any = self._document.data
        for part in at:
            holder = holder[part]
        path = (*at, key)
        if not isinstance(holder, dict):
            self._fail(at, "must be a mapping")
        if key not in holder or (holder[key] is None and default is not ...):
            if default is ...:
                self._fail(path, "is missing")
            return default
        value = holder[key]
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            self._fail(path, f"{value!r} can't be used here")
        return value

    def _fail(self, path: Path, message: str) -> None:
        raise CorrectFiles([self._document.problem(path, message)])

    def _address(self, at: Path) -> int:
        address = int(self._get(at, "address", int)) - self._base
        if not 0 <= address <= 0xFFFF:
            self._fail((*at, "address"), "is outside 0 to 65535")
        return address

    def _space(self, at: Path, default: str | None = None) -> Space:
        text = self._get(at, "space", str, ... if default is None else default)
        if text not in tuple(Space):
            self._fail((*at, "space"), "is one of coil, discrete, input, holding")
        return Space(text)

    def _value(self, quantity: str) -> Value:
        at = ("values", quantity)
        if quantity not in QUANTITIES:
            self._fail(at, f"is not a quantity: one of {', '.join(sorted(QUANTITIES))}")
        kind = self._get(at, "type", str, "u16")
        if kind not in WORDS_OF_TYPE:
            self._fail((*at, "type"), f"is one of {', '.join(WORDS_OF_TYPE)}")
        return Value(
            quantity=quantity,
            space=self._space(at),
            address=self._address(at),
            stride=self._get(at, "stride", int, 0),
            type=kind,
            scale=float(self._get(at, "scale", (int, float), 1)),
            offset=float(self._get(at, "offset", (int, float), 0)),
            low_word_first=self._get(at, "word_order", str, "high_first") == "low_first",
            bit=self._get(at, "bit", int, None),
            bit_stride=self._get(at, "bit_stride", int, 0),
        )

    def _relay(self) -> RelayStyle:
        at = ("relay",)
        style = self._get(at, "style", str)
        spaces = {"coil": Space.COIL, "register": Space.HOLDING}
        if style == "command":
            by_coil = self._get(at, "function", str, "coil") == "coil"
            space = Space.COIL if by_coil else Space.HOLDING
        elif style in spaces:
            space = spaces[style]
        else:
            self._fail((*at, "style"), "is one of coil, register, command")
        return RelayStyle(
            style=style,
            space=space,
            address=self._address(at),
            stride=self._get(at, "stride", int, 1),
            multiple=self._get(at, "multiple", bool, False),
            on=self._get(at, "on", int, 1),
            off=self._get(at, "off", int, 0),
            function=self._get(at, "function", int, 6) if style == "register" else 6,
        )

    def _watchdog(self) -> Watchdog:
        at = ("watchdog",)
        unit = self._get(at, "unit", str, "s")
        return Watchdog(address=self._address(at), unit_s=0.001 if unit == "ms" else 1.0)

    def _limit(self, index: int) -> ModuleLimit:
        at: Path = ("module_limits", index)
        limit = self._get(at, "limit", str)
        quantity = "current_a" if limit.endswith("_a") else "power_w"
        return ModuleLimit(
            quantity=quantity,
            address=self._address(at),
            stride=self._get(at, "stride", int, 1),
            words=WORDS_OF_TYPE[self._get(at, "type", str, "u16")],
            low_word_first=self._get(at, "word_order", str, "high_first") == "low_first",
            scale=float(self._get(at, "scale", (int, float), 1)),
        )

    def _never_read(self) -> dict[Space, tuple[tuple[int, int], ...]]:
        raw = self._document.data.get("never_read") or {}
        ranges = raw if isinstance(raw, dict) else {"input": raw, "holding": raw}
        return {
            Space(space): tuple((a - self._base, b - self._base) for a, b in pairs)
            for space, pairs in ranges.items()
        }
