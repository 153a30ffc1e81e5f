"""Loads as scenarios describe them, made into things with a plug."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from simulators import load_specs as spec
from simulators.appliances import Appliance, ApplianceSettings
from simulators.chargers import (
    CcCvCharger,
    ChargerSettings,
    DualPackCharger,
    DualPackSettings,
    LeadAcidCharger,
    LeadAcidSettings,
    Standby,
)
from simulators.physics import Load
from simulators.trace import TracePlayer, read_trace

LoadFactory = Callable[[int], Load]
"""Makes a fresh load from a seed: plugged in again, it starts anew."""


def load_factory(load: spec.LoadSpec, folder: Path) -> LoadFactory:
    """Make a factory; files are relative to ``folder``. Raises CorrectFiles for a bad trace."""
    if isinstance(load, spec.CcCvSpec):
        charger = _charger(load)
        return lambda _seed: CcCvCharger(charger)
    if isinstance(load, spec.LeadAcidSpec):
        lead_acid = LeadAcidSettings(**load.model_dump(exclude={"kind"}))
        return lambda _seed: LeadAcidCharger(lead_acid)
    if isinstance(load, spec.DualPackSpec):
        dual_pack = DualPackSettings(
            pack=_charger(load),
            dip_w=load.dip_w,
            dip_s=load.dip_s,
            change_soc=load.change_soc,
            retop_after_s=load.retop_after_s,
            retop_w=load.retop_w,
            retop_s=load.retop_s,
        )
        return lambda _seed: DualPackCharger(dual_pack)
    if isinstance(load, spec.StandbySpec):
        power_w, power_factor = load.power_w, load.power_factor
        return lambda _seed: Standby(power_w, power_factor)
    if isinstance(load, spec.ApplianceSpec):
        appliance = _appliance(load)
        return lambda seed: Appliance(appliance, seed)
    trace = read_trace(folder / load.file)
    speed, factor, start_s = load.speed, load.power_factor, load.start_s
    return lambda _seed: TracePlayer(trace, speed, factor, start_s)


def _charger(load: spec.CcCvSpec | spec.DualPackSpec) -> ChargerSettings:
    return ChargerSettings(
        plateau_w=load.plateau_w,
        capacity_wh=load.capacity_wh,
        start_soc=load.start_soc,
        power_factor=load.power_factor,
        ramp_s=load.ramp_s,
        done_w=load.done_w,
        standby_w=load.standby_w,
    )


def _appliance(load: spec.ApplianceSpec) -> ApplianceSettings:
    resistive = load.power_factor == 1.0 if load.resistive is None else load.resistive
    return ApplianceSettings(
        power_w=load.power_w,
        power_factor=load.power_factor,
        ripple=load.ripple,
        inrush=load.inrush,
        inrush_s=load.inrush_s,
        resistive=resistive,
        runs_s=load.runs_s,
    )
