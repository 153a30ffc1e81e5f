"""Numbers, times and facts as people read them. Pure, and without rich: quick to import."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from gateway.core.facts import Fact, FactKind
from gateway.core.units import format_duration


def clock_time(utc_ms: int) -> str:
    """Write a time of day in local time: ``14:05:09``."""
    return time.strftime("%H:%M:%S", time.localtime(utc_ms / 1000))


def until(utc_ms: int, now_utc_ms: int) -> str:
    """Write when something ends: ``14:05``, with seconds if soon, with the date if late."""
    left_s = (utc_ms - now_utc_ms) / 1000
    form = "%H:%M:%S" if left_s < 600 else "%H:%M"
    if time.localtime(utc_ms / 1000)[:3] != time.localtime(now_utc_ms / 1000)[:3]:
        form = f"%Y-%m-%d {form}"
    return time.strftime(form, time.localtime(utc_ms / 1000))


def amount(value: float | None, digits: int) -> str:
    """Write a measured value, or ``-`` when it is not known."""
    return "-" if value is None else f"{value:.{digits}f}"


def power(value_w: float | None) -> str:
    """Write watts: a tenth below 100 W, where a charger's taper is to be seen."""
    return amount(value_w, 1 if value_w is None or value_w < 99.95 else 0)


def energy(value_mwh: int | None) -> str:
    """Write mWh as Wh."""
    return "-" if value_mwh is None else f"{value_mwh / 1000:.1f}"


def short_age(age_ms: float) -> str:
    """Write an age in at most four characters: ``7s``, ``12m``, ``3h``, ``2d``."""
    seconds = max(0, int(age_ms // 1000))
    for size, letter in ((86_400, "d"), (3_600, "h"), (60, "m")):
        if seconds >= size:
            return f"{seconds // size}{letter}"
    return f"{seconds}s"


_SHORT_KINDS = {
    FactKind.LEASE_STARTED: "lease",
    FactKind.LEASE_RENEWED: "renewed",
    FactKind.LEASE_ENDED: "ended",
    FactKind.OUTLET_ON: "on",
    FactKind.OUTLET_OFF: "off",
    FactKind.OUTLET_CUT: "cut",
    FactKind.OUTLET_RELEASED: "released",
    FactKind.OUTLET_ALARM: "alarm",
    FactKind.OUTLET_ALARM_CLEARED: "alarm over",
    FactKind.OUTLET_WAITING: "waiting",
    FactKind.OUTLET_SHED: "shed",
    FactKind.REQUEST_REFUSED: "refused",
    FactKind.LOCKED: "locked",
    FactKind.UNLOCKED: "unlocked",
}


def short_event(kind: str, reason: str) -> str:
    """Write a fact's kind and reason in one narrow cell: ``cut: overcurrent_instant``."""
    word = _SHORT_KINDS[FactKind(kind)] if kind in _SHORT_KINDS else kind
    return f"{word}: {reason}" if reason else word


def event_line(fact: Fact) -> str:
    """Write one fact as one line for a person."""
    parts = [f"{fact.seq:>6}", clock_time(fact.utc_ms), f"{fact.kind:<20}", fact.subject]
    if fact.reason:
        parts.append(fact.reason)
    if detail := event_detail(fact):
        parts.append(f"({detail})")
    if fact.actor and fact.actor != "guard":
        parts.append(f"by {fact.actor}")
    return "  ".join(parts)


def event_detail(fact: Fact) -> str:
    """Say in a few words what a fact's data adds."""
    data = fact.data
    match fact.kind:
        case FactKind.OUTLET_CUT:
            return _evidence(data)
        case FactKind.LEASE_STARTED:
            return f"for {format_duration(data['for_s'])}" if "for_s" in data else ""
        case FactKind.LEASE_ENDED:
            return _account(data)
        case FactKind.OUTLET_ON | FactKind.OUTLET_OFF if "after_ms" in data:
            return f"after {data['after_ms']} ms"
        case FactKind.OUTLET_WAITING | FactKind.OUTLET_SHED:
            return f"for room on circuit {data.get('circuit', '?')}"
        case FactKind.CIRCUIT_OVER | FactKind.CIRCUIT_CLEARED | FactKind.CIRCUIT_METER_LOST:
            return _load(data)
        case FactKind.CONTACTOR_OPENED:
            return f"for outlet {(data.get('evidence') or {}).get('outlet', '?')}"
        case FactKind.REQUEST_REFUSED:
            return str(data.get("message", data.get("code", "")))
        case FactKind.GUARD_STARTED if data.get("interrupted"):
            return f"interrupted {', '.join(map(str, data['interrupted']))}"
        case _:
            return str(data.get("detail", ""))


def _evidence(data: Mapping[str, Any]) -> str:
    evidence = data.get("evidence") or {}
    value, threshold = evidence.get("value"), evidence.get("threshold")
    if value is None or threshold is None:
        return f"release: {data['release']}" if "release" in data else ""
    held = f" for {evidence['held_ms'] / 1000:.1f} s" if evidence.get("held_ms") else ""
    return f"{value:g} {evidence.get('unit', '')}, limit {threshold:g}{held}"


def _load(data: Mapping[str, Any]) -> str:
    """Say what a circuit carries and may carry: ``9050 W of 8700 W``."""
    parts = []
    for name, limit, unit in (("power_w", "limit_w", "W"), ("current_a", "limit_a", "A")):
        if name in data and limit in data:
            parts.append(f"{data[name]:g} {unit} of {data[limit]:g} {unit}")
    return ", ".join(parts)


def _account(data: Mapping[str, Any]) -> str:
    parts = [_course(data)]
    if data.get("energy_mwh") is not None:
        parts.append(f"{energy(data['energy_mwh'])} Wh")
    if data.get("duration_ms") is not None:
        parts.append(f"in {format_duration(data['duration_ms'] / 1000)}")
    return " ".join(parts).strip()


def _course(data: Mapping[str, Any]) -> str:
    """Say by which course of power a charge was judged to be over."""
    evidence = data.get("evidence") or {}
    held = format_duration(round(evidence["held_ms"] / 1000)) if "held_ms" in evidence else ""
    if "peak_w" in evidence:
        return f"at most {power(evidence['peak_w'])} W in {held},"
    if "way_down" not in evidence:
        return f"{_evidence(data)}," if "value" in evidence else ""
    how = "after a taper" if evidence["way_down"] == "taper" else "suddenly"
    fell = evidence.get("before_zero_w")
    level = f"at most {power(evidence['stays_w'])} W for {held}"
    if fell is None:
        return f"floats {how} from {power(evidence['plateau_w'])} W, {level},"
    return f"from {power(fell)} W {how} to {level},"


def moment(utc_ms: int) -> str:
    """Write a local date and time with seconds: ``2026-11-22 14:05:09``."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(utc_ms / 1000))


def date_time(utc_ms: int) -> str:
    """Write a local date and time: ``2026-11-22 14:05``."""
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(utc_ms / 1000))
