"""Plan the reads of one device: every value of the channels in use, in few requests. Pure."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass

from drivers.modbus import frames
from gateway.config import Device, Outlet, Point, Profile, Quantity, Site, Space, Value
from gateway.core.errors import CorrectInput
from gateway.core.ids import OutletId

_FUNCTION = {
    Space.COIL: frames.Function.READ_COILS,
    Space.DISCRETE: frames.Function.READ_DISCRETE,
    Space.HOLDING: frames.Function.READ_HOLDING,
    Space.INPUT: frames.Function.READ_INPUT,
}


@dataclass(frozen=True, slots=True)
class Wanted:
    """One quantity of one outlet, and where it stands."""

    outlet: OutletId
    quantity: Quantity
    value: Value
    channel: int

    @property
    def start(self) -> int:
        return self.value.address_of(self.channel)

    @property
    def end(self) -> int:
        """One past its last address."""
        return self.start + self.value.width


@dataclass(frozen=True, slots=True)
class Read:
    """One read request, and what it brings."""

    space: Space
    address: int
    count: int
    wanted: tuple[Wanted, ...]

    def request(self, unit: int, count: int | None = None) -> frames.Request:
        """Build the request, or one for only the first ``count`` addresses of it."""
        return frames.read(unit, _FUNCTION[self.space], self.address, count or self.count)

    def holding(self, items: Iterable[Wanted]) -> Read:
        """Give the same read, with those of ``items`` that it brings."""
        end = self.address + self.count
        inside = tuple(
            item
            for item in items
            if item.value.space is self.space and self.address <= item.start and item.end <= end
        )
        return Read(self.space, self.address, self.count, inside)

    def __str__(self) -> str:
        if self.count == 1:
            return f"read {self.space} {self.address}"
        return f"read {self.space} {self.address}-{self.address + self.count - 1}"


def wanted_of(site: Site, device: Device) -> list[Wanted]:
    """List what outlets, and what else is polled, need of one device.

    A meter gives everything but the relay's state when the relay is elsewhere; the relay's
    channel then gives its state and what the meter doesn't have (a temperature, an alarm).
    """
    found: list[Wanted] = []
    for outlet in site.points_on(device.bus):
        if not isinstance(outlet, Outlet):
            channel = outlet.relay or outlet.meter
            if channel is not None and channel.device == device.id:
                found.extend(_wanted(device, outlet, channel.channel, outlet.quantities))
            continue
        meter, relay = outlet.meter, outlet.relay
        measured: set[Quantity] = set()
        if meter is not None and meter != relay:
            measured = set(site.device(meter.device).profile.values) - {Quantity.RELAY_ON}
            if meter.device == device.id:
                found.extend(_wanted(device, outlet, meter.channel, measured))
        if relay.device == device.id:
            rest = set(device.profile.values) - measured
            found.extend(_wanted(device, outlet, relay.channel, rest))
    return found


def _wanted(
    device: Device, outlet: Point, channel: int, quantities: Container[Quantity]
) -> Iterator[Wanted]:
    for quantity, value in device.profile.values.items():
        if quantity in quantities:
            yield Wanted(outlet.id, quantity, value, channel)


def every_value(profile: Profile) -> list[Wanted]:
    """List everything that a profile lists, for all its channels."""
    return [
        Wanted(OutletId(str(channel)), quantity, value, channel)
        for channel in range(1, profile.channels + 1)
        for quantity, value in profile.values.items()
    ]


def plan_reads(profile: Profile, wanted: Iterable[Wanted]) -> tuple[Read, ...]:
    """Put wanted values into as few reads as the profile allows.

    Each value lies whole in exactly one read. Raises CorrectInput when a value lies in a range
    that must not be read, or is longer than the longest read.
    """
    items = list(wanted)
    if not profile.whole_reads:
        return _plan(profile, items)
    blocks = (block.holding(items) for block in _plan(profile, every_value(profile)))
    return tuple(block for block in blocks if block.wanted)


def _plan(profile: Profile, items: list[Wanted]) -> tuple[Read, ...]:
    reads: list[Read] = []
    for space in Space:
        here = sorted(
            (item for item in items if item.value.space is space),
            key=lambda item: (item.start, item.end),
        )
        if here:
            reads.extend(_plan_space(profile, space, here))
    return tuple(reads)


def _plan_space(profile: Profile, space: Space, items: list[Wanted]) -> list[Read]:
    longest = profile.max_read_bits if space.is_bits else profile.max_read_registers
    forbidden = profile.never_read.get(space, ())
    for item in items:
        _check_item(profile, item, longest, forbidden)
    reads = []
    members, start, end = [items[0]], items[0].start, items[0].end
    for item in items[1:]:
        reach = max(end, item.end)
        joins = (
            item.start - end <= profile.read_across
            and reach - start <= longest
            and not _touches(forbidden, end, item.start)
        )
        if not joins:
            reads.append(Read(space, start, end - start, tuple(members)))
            members, start, reach = [], item.start, item.end
        members.append(item)
        end = reach
    reads.append(Read(space, start, end - start, tuple(members)))
    return reads


def _check_item(
    profile: Profile, item: Wanted, longest: int, forbidden: tuple[tuple[int, int], ...]
) -> None:
    where = f"{item.value.space} {item.start}"
    key = f"values.{item.quantity}"
    if item.end - item.start > longest:
        raise CorrectInput(
            f"profile {profile.profile}: {key}: {where} takes {item.value.width} registers, the "
            f"longest read has {longest}: correct max_read_registers",
            field=key,
        )
    if _touches(forbidden, item.start, item.end):
        raise CorrectInput(
            f"profile {profile.profile}: {key}: {where} of channel {item.channel} lies in a range "
            "of never_read: correct one of them",
            field=key,
        )


def _touches(ranges: Iterable[tuple[int, int]], start: int, end: int) -> bool:
    """Say whether any address from ``start`` to before ``end`` lies in a range (inclusive)."""
    return any(first < end and start <= last for first, last in ranges)


def barrier_reads(
    reads: Iterable[Read], unit: int, *, in_parts: bool = True
) -> tuple[frames.Request, ...]:
    """Build reads whose answers have shapes of their own: beginnings of planned reads.

    They end where a value ends, as some devices refuse to read half of one, and touch nothing
    that the plan doesn't touch. The shortest come first. A device that is not to be read
    ``in_parts`` has the planned reads alone. See README.md, "Late answers".
    """
    by_head: dict[bytes, frames.Request] = {}
    for read in reads:
        for count in _ends(read) if in_parts else [read.count]:
            request = read.request(unit, count)
            by_head.setdefault(request.head, request)
    return tuple(sorted(by_head.values(), key=lambda request: request.answer_length))


def _ends(read: Read) -> list[int]:
    """Give where values of a read end, but not inside of another value."""
    spans = {(item.start - read.address, item.end - read.address) for item in read.wanted}
    ends = sorted({end for _, end in spans})
    return [end for end in ends if not any(start < end < stop for start, stop in spans)]
