"""Which outlets of a bus are in use. Pure.

An outlet is in use from the moment it is told to go on until it was told to go off and samples
show no current, and the relay open. One whose relay is on another bus is always taken to be in
use where it is metered: an ON is not seen here, and the first current may be the overload.
"""

from __future__ import annotations

from collections.abc import Container, Iterable
from dataclasses import dataclass

from gateway.config import Outlet
from gateway.core.ids import OutletId
from gateway.guard.model import Sample

MAINS_V = 230.0
"""Turns power into current where a meter measures nothing else."""


@dataclass(slots=True)
class _Shown:
    """What the last samples of an outlet said."""

    above_a: float
    """More than this is a current, less is what a meter shows of none."""
    relay_on: bool = False
    flows: bool = False


class InUse:
    """Outlets in use, by what they were told and what samples show."""

    def __init__(
        self, outlets: Iterable[Outlet], elsewhere: Iterable[OutletId], told_on: Container[OutletId]
    ) -> None:
        self._shown = {outlet.id: _Shown(outlet.limits.welded.above_a) for outlet in outlets}
        self._elsewhere = frozenset(elsewhere)
        self._told_on = told_on

    def __contains__(self, outlet: OutletId) -> bool:
        shown = self._shown.get(outlet)
        if shown is None:  # an interlock's input: it matters while anything is on
            return any(each in self for each in self._shown)
        return shown.relay_on or shown.flows or outlet in self._told_on or outlet in self._elsewhere

    def saw(self, outlet: OutletId, sample: Sample) -> None:
        """Take in what a sample shows; of what is no outlet, nothing."""
        shown = self._shown.get(outlet)
        if shown is None:
            return
        if sample.relay_on is not None:
            shown.relay_on = sample.relay_on
        if sample.current_a is not None:
            shown.flows = abs(sample.current_a) > shown.above_a
        elif sample.power_w is not None:
            shown.flows = abs(sample.power_w) > shown.above_a * MAINS_V
