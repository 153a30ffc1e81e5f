"""Energy and durations as integers, and as people write them."""

from __future__ import annotations

import re

UJ_PER_MWH = 3_600_000
"""1 mWh = 3.6 J = 3,600,000 µJ; 1 mW held for 1 ms is 1 µJ."""

_DURATION = re.compile(r"^(?=.)(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+(?:\.\d+)?)s)?$")


def energy_uj(power_w: float, duration_ms: int) -> int:
    """Energy of a constant power over a duration, in µJ (mW x ms)."""
    return round(power_w * 1000) * duration_ms


def parse_duration_s(text: str) -> float:
    """Read ``90s``, ``30m``, ``2h``, ``1h30m``, ``1d`` or bare seconds into seconds.

    Raises ValueError with a line that shows the accepted forms.
    """
    text = text.strip().lower()
    if re.fullmatch(r"\d+(\.\d+)?", text):
        return float(text)
    match = _DURATION.match(text)
    if match is None:
        raise ValueError(f"{text!r} is not a duration: write 90s, 30m, 2h, 1h30m or 1d")
    days, hours, minutes, seconds = match.groups()
    return (
        int(days or 0) * 86_400
        + int(hours or 0) * 3_600
        + int(minutes or 0) * 60
        + float(seconds or 0)
    )


def format_duration(seconds: float) -> str:
    """Write seconds as people read them: ``45s``, ``12m05s``, ``2h03m``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3_600:
        return f"{whole // 60}m{whole % 60:02}s"
    return f"{whole // 3_600}h{whole % 3_600 // 60:02}m"
