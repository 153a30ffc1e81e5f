"""Flight records: what an outlet's samples were before and after an end, a cut-off or an alarm.

In the guard's journal a record is a head for lists, a header (JSON) and rows of a fixed size,
both compressed. For people it is JSON Lines (``application/x-ndjson``): the first line is the
header, and each line after it is one row.

The header: ``pilegate_flight`` is the version of the format, and stands nowhere but in a
header: several records may follow each other in one file. ``seq`` is the number of the first
fact that the record is about, ``facts`` are all of them as they stand in the journal, ``at_ms``
is when the first was decided. ``limits`` were in force then; ``lease`` is what was running.
``state`` is what the protection knew once it had seen the first ``state_rows`` rows: from there
the rest can be replayed. ``incomplete`` lists what is missing: ``before`` (more samples came than
are kept), ``after`` (the guard stopped).

A row: ``at_ms`` is the monotonic time of the guard's run (``boot_id``), ``utc_ms`` the same moment
for people, ``quality`` says how far that could be trusted. A quantity that an answer did not hold
is not there. ``alive`` marks a sign of life of a device that only tells changes.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import isfinite, nan
from typing import Any, NamedTuple

from gateway.core.clock import TimeQuality
from gateway.core.errors import CorrectInput

FORMAT = 1
MARK = "pilegate_flight"
MEDIA_TYPE = "application/x-ndjson"

ROW = struct.Struct("<qqddddddqB")
"""``at_ms, utc_ms``, six quantities (NaN: not told), ``energy_mwh`` and the bits below."""

NO_ENERGY = -(1 << 63)
QUALITIES = (TimeQuality.UNSYNCED, TimeQuality.SYNCED, TimeQuality.UNSET)
RELAY_SHIFT, ALARM_SHIFT = 2, 4
"""Two bits each: 0 not told, 1 false, 2 true. The lowest two are the quality."""
ALIVE_BIT = 1 << 6
NOT_TOLD = nan

_QUANTITIES = (
    "voltage_v",
    "current_a",
    "power_w",
    "power_factor",
    "frequency_hz",
    "temperature_c",
)
_BITS = {"relay_on": RELAY_SHIFT, "alarm": ALARM_SHIFT}


class FlightRow(NamedTuple):
    """One sample, or one sign of life."""

    at_ms: int
    utc_ms: int
    quality: TimeQuality
    values: Mapping[str, float | int | bool]
    """Named as in ``guard.model.Sample``: only what the answer held."""
    alive: bool = False

    def to_json(self) -> dict[str, Any]:
        row: dict[str, Any] = {
            "at_ms": self.at_ms,
            "utc_ms": self.utc_ms,
            "quality": self.quality.value,
        }
        return {**row, "alive": True} if self.alive else {**row, **self.values}


@dataclass(frozen=True, slots=True, kw_only=True)
class FlightHead:
    """A record as lists show it."""

    seq: int
    """Number of the first fact it is about; its id."""
    outlet: str
    utc_ms: int
    quality: str
    kind: str
    reason: str
    samples: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FlightRecord:
    """A whole record."""

    header: Mapping[str, Any]
    packed: bytes
    """Rows of ``ROW``, oldest first."""

    def rows(self) -> Iterator[FlightRow]:
        return unpack(self.packed)

    def lines(self) -> Iterator[str]:
        """Write it as JSON Lines, without line ends."""
        yield _line(self.header)
        for row in self.rows():
            yield _line(row.to_json())


def unpack(packed: bytes) -> Iterator[FlightRow]:
    """Take packed rows apart."""
    for at_ms, utc_ms, *numbers, energy_mwh, bits in ROW.iter_unpack(packed):
        values: dict[str, float | int | bool] = {
            name: number
            for name, number in zip(_QUANTITIES, numbers, strict=True)
            if isfinite(number)
        }
        if energy_mwh != NO_ENERGY:
            values["energy_mwh"] = energy_mwh
        for name, shift in _BITS.items():
            told = bits >> shift & 3
            if told:
                values[name] = told == 2
        yield FlightRow(at_ms, utc_ms, QUALITIES[bits & 3], values, bool(bits & ALIVE_BIT))


def row_from_json(data: Mapping[str, Any]) -> FlightRow:
    """Read one line of a record. Raises CorrectInput that names the field."""
    at_ms, utc_ms = (_whole(data, name) for name in ("at_ms", "utc_ms"))
    try:
        quality = TimeQuality(data.get("quality", TimeQuality.UNSYNCED))
    except ValueError as err:
        raise CorrectInput("is none of synced, unsynced, unset", field="quality") from err
    values: dict[str, float | int | bool] = {}
    for name in _QUANTITIES:
        value = data.get(name)
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
            raise CorrectInput("must be a number", field=name)
        values[name] = float(value)
    if data.get("energy_mwh") is not None:
        values["energy_mwh"] = _whole(data, "energy_mwh")
    for name in _BITS:
        value = data.get(name)
        if value is None:
            continue
        if not isinstance(value, bool):
            raise CorrectInput("must be true or false", field=name)
        values[name] = value
    return FlightRow(at_ms, utc_ms, quality, values, data.get("alive") is True)


def compress(header: Mapping[str, Any], packed: bytes) -> tuple[bytes, bytes]:
    """Make header and rows small, as they lie in the journal."""
    # The lowest level: it costs the guard a fifth of the usual one, for a tenth more bytes.
    return zlib.compress(_line(header).encode(), 1), zlib.compress(packed, 1)


def expand(header: bytes, packed: bytes) -> FlightRecord:
    """Undo ``compress``. Raises ValueError for what is damaged."""
    try:
        found = json.loads(zlib.decompress(header))
        rows = zlib.decompress(packed)
    except zlib.error as err:
        raise ValueError(str(err)) from err
    if not isinstance(found, dict) or len(rows) % ROW.size:
        raise ValueError("not a flight record")
    return FlightRecord(header=found, packed=rows)


def _line(value: Mapping[str, Any]) -> str:
    return json.dumps(value, separators=(",", ":"), allow_nan=False)


def _whole(data: Mapping[str, Any], name: str) -> int:
    value = data.get(name)
    if isinstance(value, bool) or not isinstance(value, int) or not -(1 << 63) < value < 1 << 63:
        raise CorrectInput("must be a whole number", field=name)
    return value
