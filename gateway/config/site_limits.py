"""Limits of every outlet: merged, and checked against each other and against the hardware."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.config.findings import Findings
from gateway.config.merge import Layer, Merged, merge
from gateway.config.profile import Quantity
from gateway.config.site_buses import Hardware
from gateway.config.site_model import Outlet
from gateway.config.site_outlets import OutletDraft

CHANGE_OVER_S = 20.0
"""A dual-pack charger takes up to about 20 s at 0 W to change packs (domain facts, section 1)."""
SILENT_POLLS = 2
"""An outlet is not silent before this many polls."""

_NEEDED_FOR = {
    Quantity.CURRENT_A: "overcurrent and welded",
    Quantity.POWER_W: "overpower, unplugged, no_load and full",
}


def resolve_outlets(
    found: Findings, hardware: Hardware, drafts: Sequence[OutletDraft]
) -> tuple[Outlet, ...]:
    """Merge the limits of every outlet; what contradicts itself goes to ``found``."""
    resolver = _Resolver(found, hardware)
    outlets = tuple(resolver.resolve(draft) for draft in drafts)
    resolver.warn_of_meters()
    return outlets


class _Resolver:
    def __init__(self, found: Findings, hardware: Hardware) -> None:
        self._found = found
        self._hardware = hardware
        self._merged: dict[tuple[int, ...], Merged] = {}
        self._meters: set[str] = set()

    def resolve(self, draft: OutletDraft) -> Outlet:
        devices = [draft.relay.device]
        if draft.meter is not None:
            self._meters.add(draft.meter.device)
            if draft.meter.device != draft.relay.device:
                devices.append(draft.meter.device)
        own = [] if draft.own_limits is None else [draft.own_limits]
        profiles = [self._hardware.limits[device] for device in devices]
        layers = [layer for layer in (*profiles, *draft.place.layers, *own) if layer.rules]
        slowest = max(devices, key=self._hardware.poll_ms)
        merged = self._merge(layers, slowest)
        return Outlet(
            id=draft.id,
            name=draft.name,
            pile=draft.place.pile,
            station=draft.place.station,
            relay=draft.relay,
            meter=draft.meter,
            limits=merged.limits,
            origins=merged.origins,
        )

    def _merge(self, layers: list[Layer], slowest: str) -> Merged:
        # Most outlets of a pile share all their layers: merge and check them once.
        poll_ms = self._hardware.poll_ms(slowest)
        key = (*(id(layer) for layer in layers), poll_ms)
        merged = self._merged.get(key)
        if merged is None:
            merged = self._merged[key] = merge(layers, self._found.problems)
            _Contradictions(self._found, merged, layers).check()
            self._check_silence(merged, slowest)
        return merged

    def _check_silence(self, merged: Merged, device: str) -> None:
        poll_ms, silence_s = self._hardware.poll_ms(device), merged.limits.silence.delay_s
        if silence_s * 1_000 >= SILENT_POLLS * poll_ms:
            return
        bus = self._hardware.devices[device].bus
        message = f"silence.delay_s is {silence_s:g} s, below {SILENT_POLLS} polls of bus {bus!r}"
        owner = merged.layers.get("silence.delay_s")
        if owner is None:
            self._found.wrong((*self._hardware.paths[device], "bus"), f"{message}: raise it")
        else:
            self._found.problems.append(
                owner.problem("silence", "delay_s", f"{message} ({poll_ms} ms each): raise it")
            )

    def warn_of_meters(self) -> None:
        """Tell which rules can't act for want of a value."""
        for device, path in self._hardware.paths.items():
            profile = self._hardware.devices[device].profile
            for quantity, rules in _NEEDED_FOR.items():
                if device in self._meters and quantity not in profile.values:
                    message = f"{profile.profile} gives no {quantity}: {rules} can't act"
                    self._found.warn((*path, "profile"), message)


class _Contradictions:
    """Pairs of limits of which one makes the other pointless or wrong."""

    def __init__(self, found: Findings, merged: Merged, layers: list[Layer]) -> None:
        self._found = found
        self._merged = merged
        self._layers = layers

    def check(self) -> None:
        limits = self._merged.limits
        instant, definite, inverse = (
            limits.overcurrent_instant,
            limits.overcurrent,
            limits.overcurrent_inverse,
        )
        if instant and definite and instant.above_a < definite.above_a:
            self._wrong(
                "overcurrent_instant.above_a",
                "overcurrent.above_a",
                f"overcurrent_instant at {instant.above_a:g} A acts before overcurrent at "
                f"{definite.above_a:g} A ever can: raise the first or lower the second",
            )
        if instant and inverse and instant.above_a < inverse.pickup_a:
            self._wrong(
                "overcurrent_instant.above_a",
                "overcurrent_inverse.pickup_a",
                f"overcurrent_instant at {instant.above_a:g} A acts before overcurrent_inverse at "
                f"{inverse.pickup_a:g} A ever can: raise the first or lower the second",
            )
        high, low = limits.overvoltage, limits.undervoltage
        if high and low and low.below_v >= high.above_v:
            self._wrong(
                "undervoltage.below_v",
                "overvoltage.above_v",
                f"undervoltage below {low.below_v:g} V and overvoltage above {high.above_v:g} V "
                "leave no voltage that is right",
            )
        self._check_ends()

    def _check_ends(self) -> None:
        limits = self._merged.limits
        unplugged, full, no_load = limits.unplugged, limits.full, limits.no_load
        if unplugged and full and unplugged.below_w > full.float_w:
            self._wrong(
                "unplugged.below_w",
                "full.float_w",
                f"unplugged below {unplugged.below_w:g} W takes a battery that floats below "
                f"{full.float_w:g} W for a pulled plug: lower below_w or raise float_w",
            )
        if unplugged and unplugged.delay_s < CHANGE_OVER_S:
            self._warn(
                "unplugged.delay_s",
                f"{unplugged.delay_s:g} s is shorter than the {CHANGE_OVER_S:g} s at 0 W in which "
                "a dual-pack charger changes packs: such a charge would be ended",
            )
        if full and full.settle_s < CHANGE_OVER_S:
            self._warn(
                "full.settle_s",
                f"{full.settle_s:g} s is shorter than the {CHANGE_OVER_S:g} s in which a dual-pack "
                "charger changes packs: the change-over would pass for the end of the charge",
            )
        if no_load and no_load.delay_s < CHANGE_OVER_S:
            self._warn(
                "no_load.delay_s",
                f"{no_load.delay_s:g} s leaves little time to plug in: the outlet goes off again",
            )

    def _wrong(self, first: str, second: str, message: str) -> None:
        """Point to the stronger layer of the two: it was written to change the other."""
        owners = [
            (self._merged.layers[key], key) for key in (first, second) if key in self._merged.layers
        ]
        layer, key = max(owners, key=lambda owner: self._layers.index(owner[0]))
        rule, _, field = key.partition(".")
        self._found.problems.append(layer.problem(rule, field, message))

    def _warn(self, key: str, message: str) -> None:
        layer = self._merged.layers.get(key)
        if layer is not None:
            rule, _, field = key.partition(".")
            self._found.warnings.append(layer.problem(rule, field, message))
