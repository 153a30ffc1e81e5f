"""Noise that is a pure function of a seed and a time: repeatable however often it is asked."""

from __future__ import annotations

_MASK = (1 << 64) - 1


def _mix(value: int) -> int:
    """SplitMix64's output function (Steele, Lea, Flood 2014)."""
    value = (value + 0x9E3779B97F4A7C15) & _MASK
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & _MASK
    return value ^ (value >> 31)


def seed_of(seed: int, name: str) -> int:
    """Make an independent seed for each named thing of one world."""
    value = _mix(seed & _MASK)
    for byte in name.encode():
        value = _mix(value ^ byte)
    return value


def noise(seed: int, step: int) -> float:
    """Nearly normal noise with standard deviation 1, within ±3.5: four uniform values added."""
    value = _mix(seed ^ (step * 0xD1B54A32D192ED03 & _MASK))
    total = (value & 0xFFFF) + (value >> 16 & 0xFFFF) + (value >> 32 & 0xFFFF) + (value >> 48)
    return (total - 131_070) / 37_837.0
