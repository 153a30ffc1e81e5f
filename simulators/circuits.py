"""A circuit of the site: what its meter sees, and the contactor that feeds what hangs on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from simulators.mains import Feed, Mains
from simulators.outlet import SimOutlet
from simulators.physics import Reading
from simulators.relay import Relay
from simulators.sites import CircuitPlace


class SimCircuit(SimOutlet):
    """Measured like an outlet, and switched like one; what flows is what its outlets draw.

    Its contactor is closed at first. Its meter sits before its own contactor.
    """

    def __init__(self, name: str, mains: Mains, outlets: Sequence[SimOutlet], now_s: float) -> None:
        super().__init__(name, Feed(mains), now_s)
        self.relay = Relay(on=True)
        self._outlets = tuple(outlets)

    def switch(self, on: bool, now_s: float) -> None:
        """Command the contactor; everything behind it has lived until now."""
        for outlet in self._outlets:
            outlet.advance(now_s)
        super().switch(on, now_s)

    def reading(self, now_s: float) -> Reading:
        """Say what the meter of the circuit shows."""
        own = super().reading(now_s)
        if self.is_frozen:
            return own
        shown = [outlet.flowing(now_s) for outlet in self._outlets]
        power_w = sum(draw.power_w for draw in shown)
        current_a = sum(draw.current_a for draw in shown)
        factor = power_w / (own.voltage_v * current_a) if own.voltage_v and current_a else 1.0
        return Reading(
            voltage_v=own.voltage_v,
            current_a=current_a,
            power_w=power_w,
            power_factor=min(1.0, factor),
            frequency_hz=own.frequency_hz,
            energy_wh=sum(outlet.energy_wh for outlet in self._outlets),
        )


def make_circuits(
    places: Sequence[CircuitPlace],
    outlets: Mapping[str, SimOutlet],
    mains: Mains,
    now_s: float,
) -> dict[str, SimCircuit]:
    """Make the circuits of a site, by ``circuit/ID``, and put their contactors before outlets."""
    by_id = {place.id: place for place in places}

    def line(name: str | None) -> list[str]:
        return [] if name is None else [name, *line(by_id[name].parent)]

    made: dict[str, SimCircuit] = {}
    for place in places:
        beneath = [
            outlets[outlet]
            for other in places
            if place.id in line(other.id)
            for outlet in other.outlets
        ]
        made[f"circuit/{place.id}"] = SimCircuit(f"circuit/{place.id}", mains, beneath, now_s)
    for place in places:
        above = [made[f"circuit/{name}"].relay for name in line(place.id) if by_id[name].contactor]
        for outlet in place.outlets:
            outlets[outlet].breakers = tuple(above)
        made[f"circuit/{place.id}"].breakers = tuple(
            made[f"circuit/{name}"].relay for name in line(place.parent) if by_id[name].contactor
        )
    return made
