"""PURE: the newest samples as evidence on a fact.

What decides keeps the samples as they are; they are made into rows when the fact is written
down, which is after the off frame has left: sixteen rows take longer than the decision.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from gateway.guard.model import Sample

_SHOWN = ("power_w", "current_a", "voltage_v", "relay_on", "temperature_c")

Row = dict[str, float | bool | int]


class Recent(NamedTuple):
    """Samples, oldest first, and the moment that they are evidence of."""

    samples: tuple[Sample, ...]
    mono_ms: int

    def rows(self) -> list[Row]:
        """Say what each held, with its age in ms."""
        return [_row(sample, self.mono_ms) for sample in self.samples]


def told(evidence: Mapping[str, Any]) -> dict[str, Any]:
    """Return evidence with its samples as rows, as it is written down."""
    return {
        name: value.rows() if isinstance(value, Recent) else value
        for name, value in evidence.items()
    }


def _row(sample: Sample, mono_ms: int) -> Row:
    row: Row = {"age_ms": mono_ms - sample.at_ms}
    for name in _SHOWN:
        value = getattr(sample, name)
        if value is not None:
            row[name] = value if isinstance(value, bool) else round(value, 3)
    return row
