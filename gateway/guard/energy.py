"""PURE: how much energy a lease has used.

Power times time is exact for short steps and drifts over hours and gaps; the meter's
register never drifts and is coarse (1 Wh is common). So power is integrated, and kept
within one step of the register.

A register that jumps further than any load could have driven it was reset, replaced or
misread: counting goes on from where it stands, and nobody pays for the jump.
"""

from __future__ import annotations

from gateway.core.units import UJ_PER_MWH, energy_uj
from gateway.guard.model import Sample
from gateway.guard.state import Energy

MOST_W = 30_000.0
"""No outlet delivers more: the largest limit of the rule *overpower*."""


def start(register_mwh: int | None) -> Energy:
    """Begin to count for a new lease."""
    return Energy(register_start_mwh=register_mwh, register_mwh=register_mwh)


def add(energy: Energy, sample: Sample, longest_gap_ms: int) -> Energy:
    """Count what flowed until ``sample``.

    A gap longer than ``longest_gap_ms`` is not integrated: nobody saw what flowed then, and
    only the register can say.
    """
    if sample.power_w is not None and (energy.power_ms is None or sample.at_ms > energy.power_ms):
        power_w = min(abs(sample.power_w), MOST_W)
        added_uj = 0
        if energy.power_ms is not None and energy.power_w is not None:
            gap_ms = sample.at_ms - energy.power_ms
            if gap_ms <= longest_gap_ms:
                added_uj = energy_uj((power_w + energy.power_w) / 2, gap_ms)
        energy = energy._replace(
            total_uj=energy.total_uj + added_uj, power_w=power_w, power_ms=sample.at_ms
        )
    if sample.energy_mwh is not None and (
        energy.register_ms is None or sample.at_ms > energy.register_ms
    ):
        energy = _anchor(energy, sample.energy_mwh, sample.at_ms)
    return energy


def total_mwh(energy: Energy) -> int:
    """Return the energy in mWh, rounded down: nobody pays for what was not delivered."""
    return energy.total_uj // UJ_PER_MWH


def _anchor(energy: Energy, register_mwh: int, at_ms: int) -> Energy:
    if energy.register_start_mwh is None or energy.register_mwh is None:
        return _anew(energy, register_mwh, at_ms)
    rise_mwh = register_mwh - energy.register_mwh
    if rise_mwh == 0:
        return energy
    step_mwh = energy.register_step_mwh
    gone_ms = at_ms - (at_ms if energy.register_ms is None else energy.register_ms)
    if not 0 < rise_mwh <= step_mwh + energy_uj(MOST_W, gone_ms) // UJ_PER_MWH:
        return _anew(energy, register_mwh, at_ms)
    step_mwh = rise_mwh if step_mwh == 0 else min(step_mwh, rise_mwh)
    delta_mwh = register_mwh - energy.register_start_mwh
    low_uj = max(0, delta_mwh - step_mwh) * UJ_PER_MWH
    high_uj = (delta_mwh + step_mwh) * UJ_PER_MWH
    return energy._replace(
        total_uj=min(max(energy.total_uj, low_uj), high_uj),
        register_mwh=register_mwh,
        register_ms=at_ms,
        register_step_mwh=step_mwh,
    )


def _anew(energy: Energy, register_mwh: int, at_ms: int) -> Energy:
    """Go on from what was counted."""
    return energy._replace(
        register_start_mwh=register_mwh - total_mwh(energy),
        register_mwh=register_mwh,
        register_ms=at_ms,
    )
