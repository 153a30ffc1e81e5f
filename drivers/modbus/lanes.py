"""Who goes next on a bus, among the switching commands. Pure.

OFFs that wait for the same module are joined into one write of zeros where the module can
do that. A joined write covers nothing but outlets that are being switched off, and outlets
of the same module that nobody has switched on; never a coil that is no outlet.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass, field, replace

from gateway.core.ids import DeviceId, OutletId


@dataclass(frozen=True, slots=True)
class Relay:
    """Where an outlet's relay is."""

    device: DeviceId
    address: int
    joinable: bool
    """Whether one write may switch several neighbours (FC0F)."""


@dataclass(frozen=True, slots=True)
class Off:
    """One write that switches off: addresses ``first`` to ``last``, of which ``outlets`` asked."""

    device: DeviceId
    first: int
    last: int
    outlets: tuple[OutletId, ...]

    @property
    def count(self) -> int:
        return self.last - self.first + 1


@dataclass(slots=True)
class Lanes:
    """The waiting commands of one bus."""

    relays: dict[OutletId, Relay]
    switched_on: set[OutletId] = field(default_factory=set)
    """Outlets that were asked to be on, and not since asked to be off."""
    _cuts: dict[OutletId, None] = field(default_factory=dict)
    _offs: dict[OutletId, None] = field(default_factory=dict)
    _ons: dict[OutletId, None] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self._cuts) + len(self._offs) + len(self._ons)

    def put_on(self, outlet: OutletId) -> None:
        self.switched_on.add(outlet)
        self._ons.setdefault(outlet)

    def put_off(self, outlet: OutletId, *, urgent: bool) -> bool:
        """Queue an OFF. True when it removed a waiting ON."""
        self.switched_on.discard(outlet)
        if urgent:
            self._offs.pop(outlet, None)
            self._cuts.setdefault(outlet)
        elif outlet not in self._cuts:
            self._offs.setdefault(outlet)
        return self.drop_on(outlet)

    def put_back(self, off: Off) -> None:
        """Queue OFFs anew that were taken, before all else; an ON that came since stays behind."""
        for outlet in off.outlets:
            self._offs.pop(outlet, None)
            self._cuts.setdefault(outlet)

    def drop_on(self, outlet: OutletId) -> bool:
        """Remove a waiting ON. True when there was one."""
        if outlet not in self._ons:
            return False
        del self._ons[outlet]
        return True

    def unjoin(self, device: DeviceId) -> None:
        """Switch the relays of a device one by one from now on."""
        for outlet, relay in self.relays.items():
            if relay.device == device:
                self.relays[outlet] = replace(relay, joinable=False)

    def clear_offs(self) -> tuple[OutletId, ...]:
        """Remove every waiting OFF and give them."""
        waiting = (*self._cuts, *self._offs)
        self._cuts.clear()
        self._offs.clear()
        return waiting

    @property
    def has_cuts(self) -> bool:
        return bool(self._cuts)

    @property
    def ons(self) -> tuple[OutletId, ...]:
        """Outlets whose ON waits."""
        return tuple(self._ons)

    @property
    def ons_waiting(self) -> int:
        return len(self._ons)

    def offs_waiting(self, may: Callable[[DeviceId], bool]) -> int:
        """Count the OFFs that wait for devices which ``may``, those that can be joined as one."""
        relays = [(outlet, self.relays[outlet]) for outlet in (*self._cuts, *self._offs)]
        return len(
            {
                relay.device if relay.joinable else outlet
                for outlet, relay in relays
                if may(relay.device)
            }
        )

    @property
    def has_offs(self) -> bool:
        return bool(self._offs)

    def take_cut(self, rank: Callable[[DeviceId], int | None]) -> Off | None:
        """Take the next urgent OFF, joined with everything of its module that waits.

        ``rank`` puts devices in order (the lowest first, then the longest waiting); None means
        not now.
        """
        return self._take(self._cuts, rank)

    def take_off(self, rank: Callable[[DeviceId], int | None]) -> Off | None:
        """Take the next OFF that is not urgent, likewise."""
        return self._take(self._offs, rank)

    def take_on(self, may: Callable[[DeviceId], bool]) -> OutletId | None:
        """Take the ON that waits longest, of those whose device ``may``.

        One that was asked for after an OFF stays behind that OFF.
        """
        for outlet in self._ons:
            if outlet in self._cuts or outlet in self._offs:
                continue
            if may(self.relays[outlet].device):
                del self._ons[outlet]
                return outlet
        return None

    def _take(
        self, lane: dict[OutletId, None], rank: Callable[[DeviceId], int | None]
    ) -> Off | None:
        chosen: OutletId | None = None
        lowest = 0
        for outlet in lane:
            place = rank(self.relays[outlet].device)
            if place is not None and (chosen is None or place < lowest):
                chosen, lowest = outlet, place
        if chosen is None:
            return None
        off = self._join(chosen)
        for outlet in off.outlets:
            self._cuts.pop(outlet, None)
            self._offs.pop(outlet, None)
        return off

    def _join(self, chosen: OutletId) -> Off:
        """Grow a span around ``chosen`` as far as it may go, ending at outlets that wait."""
        relay = self.relays[chosen]
        if not relay.joinable:
            return Off(relay.device, relay.address, relay.address, (chosen,))
        waiting: dict[int, OutletId] = {}
        free: set[int] = set()
        for outlet, other in self.relays.items():
            if other.device != relay.device or not other.joinable:
                continue
            if outlet in self._cuts or outlet in self._offs:
                waiting[other.address] = outlet
            elif outlet not in self.switched_on:
                free.add(other.address)
        first = _grow(relay.address, -1, waiting, free)
        last = _grow(relay.address, 1, waiting, free)
        outlets = tuple(waiting[at] for at in range(first, last + 1) if at in waiting)
        return Off(relay.device, first, last, outlets)


def _grow(start: int, step: int, waiting: Mapping[int, OutletId], free: Container[int]) -> int:
    """Walk from ``start`` over waiting and free addresses; give the last waiting one."""
    furthest = at = start
    while (at := at + step) in waiting or at in free:
        if at in waiting:
            furthest = at
    return furthest
