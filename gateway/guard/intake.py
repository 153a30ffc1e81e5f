"""PURE: what of a sample is news.

A value that is no number, that comes from the future or that is older than the one known is
no value: it is neither judged nor counted, and does not keep an outlet from being silent.
"""

from __future__ import annotations

from dataclasses import replace
from math import isfinite
from typing import Any

from gateway.guard.model import Sample
from gateway.guard.state import Measured

_VALUES = (
    ("voltage_v", "voltage_ms"),
    ("current_a", "current_ms"),
    ("power_w", "power_ms"),
    ("temperature_c", "temperature_ms"),
    ("relay_on", "relay_ms"),
    ("alarm", "alarm_ms"),
)


def news(measured: Measured, sample: Sample, now_ms: int) -> Sample | None:
    """Return the sample with nothing but news in it; ``None`` for one from the future."""
    at_ms = sample.at_ms
    if at_ms > now_ms:
        return None
    newest_ms = max(
        measured.relay_ms or 0,
        measured.voltage_ms or 0,
        measured.current_ms or 0,
        measured.power_ms or 0,
        measured.temperature_ms or 0,
        measured.alarm_ms or 0,
    )
    total = (
        (sample.voltage_v or 0.0)
        + (sample.current_a or 0.0)
        + (sample.power_w or 0.0)
        + (sample.temperature_c or 0.0)
    )
    if at_ms > newest_ms and isfinite(total):
        return sample
    return _sifted(measured, sample)


def _sifted(measured: Measured, sample: Sample) -> Sample:
    gone: dict[str, Any] = {}
    for name, time_name in _VALUES:
        value = getattr(sample, name)
        if value is None:
            continue
        known_ms = getattr(measured, time_name)
        if known_ms is not None and sample.at_ms <= known_ms:
            # The register came with it and is as late; it would seem to run backwards.
            gone |= {name: None, "energy_mwh": None}
        elif not isfinite(value):
            gone[name] = None
    return replace(sample, **gone) if gone else sample
