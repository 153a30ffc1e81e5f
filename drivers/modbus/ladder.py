"""What one device can be asked: the leading values, all fast ones, or everything. Pure.

A smaller read is the part of a planned read that holds what is wanted, cut where values end; so
it is never longer than the device allows, spans no hole that the plan does not span, and touches
nothing else. Whether neighbours are fetched by one long read or by several short ones is decided
by the wire: by what takes less time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import IntEnum

from drivers.modbus.reads import Read, Wanted
from gateway.config import Outlet, Quantity
from gateway.config.profile import Poll
from gateway.core.ids import OutletId
from gateway.guard.limits import Action

MOST_KEPT = 256
"""Sets of outlets in use whose reads are remembered."""

Cost = Callable[[Read], float]
"""What a read takes of a wire's time, in ms."""


class Level(IntEnum):
    """How much of a device one turn reads."""

    LEAD = 0
    """What shows an overload first, of the outlets in use."""
    FAST = 1
    """The fast values of all outlets."""
    WHOLE = 2
    """Everything."""


@dataclass(slots=True)
class Ladder:
    """The reads of one device at each level.

    Where a level costs as much as the one above, it is the one above: its reads are the very same.
    """

    whole: tuple[Read, ...]
    """All values of all outlets: what ``plan_reads`` gave."""
    leading: frozenset[tuple[OutletId, Quantity]]
    """What leads, once its outlet is in use."""
    cost: Cost
    in_parts: bool = True
    """Whether the device answers reads of parts."""
    fast: tuple[Read, ...] = ()
    fast_ms: float = 0.0
    whole_ms: float = 0.0
    _leads: dict[frozenset[OutletId], tuple[Read, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.whole_ms = self._sum_ms(self.whole)
        fast = self._cheaper(_is_fast, self.whole)
        self.fast = fast or self.whole
        self.fast_ms = self._sum_ms(self.fast)

    @property
    def outlets(self) -> frozenset[OutletId]:
        """Outlets, and inputs, that have something leading here."""
        return frozenset(outlet for outlet, _ in self.leading)

    def lead(self, in_use: frozenset[OutletId]) -> tuple[Read, ...]:
        """Give the reads that bring what leads of the outlets in use; none if nothing does."""
        reads = self._leads.get(in_use)
        if reads is None:
            reads = self._cheaper(
                lambda item: item.outlet in in_use and (item.outlet, item.quantity) in self.leading,
                self.fast,
            )
            if len(self._leads) >= MOST_KEPT:
                self._leads.clear()
            self._leads[in_use] = reads
        return reads

    def lead_ms(self, in_use: frozenset[OutletId]) -> float:
        """Give what these cost; 0 where nothing leads."""
        return self._sum_ms(self.lead(in_use))

    def _cheaper(
        self, needed: Callable[[Wanted], bool], above: tuple[Read, ...]
    ) -> tuple[Read, ...]:
        if self.in_parts:
            parts = part_reads(self.whole, needed, self.cost)
        else:
            parts = tuple(read for read in self.whole if any(map(needed, read.wanted)))
        return parts if self._sum_ms(parts) < self._sum_ms(above) else above

    def _sum_ms(self, reads: tuple[Read, ...]) -> float:
        return sum(map(self.cost, reads))


def _is_fast(item: Wanted) -> bool:
    """Say whether a value is wanted often: an interlock's input is, whatever its profile says."""
    return item.value.poll is Poll.FAST or item.quantity is Quantity.INPUT_ON


def leading_of(
    wanted: Sequence[Wanted], outlets: Iterable[Outlet], *, power: bool
) -> frozenset[tuple[OutletId, Quantity]]:
    """Say what shows an overload first: the current; the power where there is no current.

    Of outlets alone: what a circuit carries may be known a little later. The inputs of interlocks
    lead, too: fire is to be seen no later than an overload.
    With ``power`` the power leads, too, where a rule of the outlet cuts off by it.
    """
    known = {outlet.id: outlet for outlet in outlets}
    by_power = {each.id for each in known.values() if power and cuts_by_power(each)}
    items = [item for item in wanted if item.outlet in known]
    with_current = {item.outlet for item in items if item.quantity is Quantity.CURRENT_A}
    inputs = {(i.outlet, i.quantity) for i in wanted if i.quantity is Quantity.INPUT_ON}
    return frozenset(inputs) | frozenset(
        (item.outlet, item.quantity)
        for item in items
        if item.quantity is Quantity.CURRENT_A
        or (
            item.quantity is Quantity.POWER_W
            and (item.outlet not in with_current or item.outlet in by_power)
        )
    )


def cuts_by_power(outlet: Outlet) -> bool:
    """Say whether a rule of an outlet switches it off by its power."""
    rule = outlet.limits.overpower
    return rule is not None and rule.action is not Action.ALARM


def part_reads(
    whole: Iterable[Read], needed: Callable[[Wanted], bool], cost: Cost
) -> tuple[Read, ...]:
    """Cut planned reads down to what is needed, by the reads that take the least time."""
    return tuple(part for read in whole for part in _parts(read, needed, cost))


def _parts(read: Read, needed: Callable[[Wanted], bool], cost: Cost) -> Iterator[Read]:
    part: Read | None = None
    for start, end in _spans(read, needed):
        found = _part(read, start, end)
        if part is None:
            part = found
            continue
        both = _part(read, part.address, max(end, part.address + part.count))
        if cost(both) <= cost(part) + cost(found):
            part = both
        else:
            yield part
            part = found
    if part is not None:
        yield part


def _spans(read: Read, needed: Callable[[Wanted], bool]) -> list[tuple[int, int]]:
    """Give where needed values stand, in order; those that overlap with any value as one."""
    joined: list[tuple[int, int, bool]] = []
    items = sorted(read.wanted, key=lambda item: (item.start, item.end))
    for item in items:
        if joined and item.start < joined[-1][1]:
            start, end, is_needed = joined.pop()
            joined.append((start, max(end, item.end), is_needed or needed(item)))
        else:
            joined.append((item.start, item.end, needed(item)))
    return [(start, end) for start, end, is_needed in joined if is_needed]


def _part(read: Read, start: int, end: int) -> Read:
    """Give the part of a read from ``start`` to before ``end``, with every value in it."""
    inside = tuple(item for item in read.wanted if start <= item.start and item.end <= end)
    return Read(read.space, start, end - start, inside)
