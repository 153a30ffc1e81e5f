"""What a profile can get wrong beyond its form: places no device serves, values that collide."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Protocol

from gateway.config.profile import (
    CommandRelay,
    ModuleLimit,
    Profile,
    Quantity,
    RegisterRelay,
    Space,
    Value,
    ValueType,
)
from gateway.config.yaml_source import KeyPath, Source
from gateway.core.errors import Problem

LAST_ADDRESS = 0xFFFF
CONVENTION_30001 = 30_001
"""From here on a document that counts from 1 names the space by its leading digit."""

MODULE_LIMIT_FIELDS = {
    "overcurrent_instant.above_a": 125.0,
    "overcurrent.above_a": 125.0,
    "overcurrent_inverse.pickup_a": 125.0,
    "overpower.above_w": 30_000.0,
    "overvoltage.above_v": 500.0,
    "undervoltage.below_v": 500.0,
    "overtemperature.above_c": 150.0,
}
"""Limits a module can hold, with the largest value each may have (gateway.guard.limits)."""

_PER_CHANNEL = {
    Quantity.CURRENT_A,
    Quantity.POWER_W,
    Quantity.POWER_FACTOR,
    Quantity.ENERGY_WH,
    Quantity.RELAY_ON,
    Quantity.INPUT_ON,
}


class _Placed(Protocol):
    """Anything with an address for each channel."""

    def address_of(self, channel: int) -> int: ...


class _Check:
    def __init__(
        self, profile: Profile, source: Source, problems: list[Problem], warnings: list[Problem]
    ) -> None:
        self.profile = profile
        self.counts_from_one = source.data.get("address_base") == 1
        self._source = source
        self._problems = problems
        self._warnings = warnings

    def wrong(self, path: KeyPath, message: str) -> None:
        self._problems.append(self._source.problem(path, message))

    def warn(self, path: KeyPath, message: str) -> None:
        self._warnings.append(self._source.problem(path, message))


def check_profile(
    profile: Profile, source: Source, problems: list[Problem], warnings: list[Problem]
) -> None:
    """Check a profile whose addresses count from 0; add what is found to the lists."""
    check = _Check(profile, source, problems, warnings)
    _check_purpose(check)
    _check_ranges(check)
    for quantity, value in profile.values.items():
        _check_value(check, quantity, value)
    _check_overlaps(check)
    _check_relay(check)
    _check_written(check)


def _check_purpose(check: _Check) -> None:
    profile = check.profile
    if profile.relay is None and not profile.values:
        check.wrong((), "neither values nor a relay: nothing to do with this device")
    if profile.relay is not None and Quantity.RELAY_ON not in profile.values:
        check.warn(
            ("relay",),
            "no relay_on among the values: whether the relay followed can't be read back",
        )
    if Quantity.INPUT_ON in profile.values and (len(profile.values) > 1 or profile.relay):
        check.wrong(
            ("values", Quantity.INPUT_ON.value),
            "inputs stand alone: an outlet has none, so leave out either them or all the rest",
        )


def _check_ranges(check: _Check) -> None:
    for space, ranges in check.profile.never_read.items():
        for index, (first, last) in enumerate(ranges):
            if not 0 <= first <= last <= LAST_ADDRESS:
                check.wrong(
                    ("never_read", space.value, index),
                    f"expected [first, last] within 0 to {LAST_ADDRESS} on the wire",
                )


def _channels(profile: Profile) -> range:
    return range(1, profile.channels + 1)


def _check_value(check: _Check, quantity: Quantity, value: Value) -> None:
    profile, path = check.profile, ("values", quantity.value)
    _check_end(check, path, value, value.width)
    longest = profile.max_read_bits if value.space.is_bits else profile.max_read_registers
    if value.width > longest:
        check.wrong((*path, "type"), f"takes {value.width} registers, but one read gives {longest}")
    for first, last in profile.never_read.get(value.space, ()):
        if any(
            value.address_of(channel) <= last
            and value.address_of(channel) + value.width - 1 >= first
            for channel in _channels(profile)
        ):
            check.wrong((*path, "address"), f"inside never_read {first} to {last} (on the wire)")
    if value.space.is_bits:
        _check_bit_space(check, path, quantity, value)
    else:
        _check_bits(check, path, quantity, value)
    shared = value.stride == 0 and (value.bit is None or value.bit_stride == 0)
    if shared and profile.channels > 1 and quantity in _PER_CHANNEL:
        check.wrong(
            (*path, "stride"),
            f"0 gives all {profile.channels} channels the same {quantity}: give its stride",
        )
    for index, raw in enumerate(value.invalid):
        if not 0 <= raw < 1 << 16 * value.width:
            bits = 16 * value.width
            check.wrong((*path, "invalid", index), f"expected an unsigned pattern of {bits} bits")


def _check_end(check: _Check, path: KeyPath, placed: _Placed, width: int) -> None:
    """Check that the last channel still lies within the 65,536 addresses of a space."""
    channels = check.profile.channels
    first, last = placed.address_of(1), placed.address_of(channels) + width - 1
    if last > LAST_ADDRESS:
        check.wrong(
            (*path, "address"),
            f"channel {channels} ends at {last} on the wire: the last address is {LAST_ADDRESS}",
        )
    elif check.counts_from_one and first + 1 >= CONVENTION_30001:
        check.warn(
            (*path, "address"),
            f"{first + 1} looks like a document's 30001 or 40001: the leading digit only names "
            "the space, so write 1 for it",
        )


def _check_bit_space(check: _Check, path: KeyPath, quantity: Quantity, value: Value) -> None:
    if not quantity.is_flag:
        check.wrong((*path, "space"), f"a {value.space} is true or false: {quantity} is a number")
    for key in ("type", "scale", "offset", "bit", "bit_stride", "invalid", "word_order"):
        if key in value.model_fields_set:
            check.wrong((*path, key), f"has no meaning for a {value.space}: remove it")


def _check_bits(check: _Check, path: KeyPath, quantity: Quantity, value: Value) -> None:
    if quantity.is_flag:
        for key in ("scale", "offset"):
            if key in value.model_fields_set:
                check.wrong((*path, key), f"{quantity} is true or false: remove it")
    elif value.bit is not None:
        check.wrong((*path, "bit"), f"{quantity} is a number: a bit can only be relay_on or alarm")
    if value.scale == 0:
        check.wrong((*path, "scale"), "expected a number other than 0")
    if value.bit is None:
        if value.bit_stride:
            check.wrong((*path, "bit_stride"), "needs bit, the bit of channel 1")
        return
    if value.type is ValueType.FLOAT32:
        check.wrong((*path, "bit"), "a float32 has no bits of its own")
    last, highest = value.bit_of(check.profile.channels) or 0, 16 * value.width - 1
    if last > highest:
        key = "bit" if value.bit > highest else "bit_stride"
        check.wrong(
            (*path, key),
            f"channel {check.profile.channels} would be bit {last}: the highest is {highest}",
        )


def _check_overlaps(check: _Check) -> None:
    """Refuse two readings of one place that can't both be right; one message a pair."""
    taken: dict[tuple[Space, int], tuple[Quantity, int, Value]] = {}
    said: set[tuple[Quantity, Quantity]] = set()
    for quantity, address, value in _places(check.profile):
        for place in range(address, address + value.width):
            other, other_address, other_value = taken.setdefault(
                (value.space, place), (quantity, address, value)
            )
            same = (address, value.type, value.word_order) == (
                other_address,
                other_value.type,
                other_value.word_order,
            )
            two_numbers = other is not quantity and not (quantity.is_flag or other.is_flag)
            if (same and not two_numbers) or (other, quantity) in said:
                continue
            said.add((other, quantity))
            check.wrong(
                ("values", quantity.value, "stride" if other is quantity else "address"),
                f"{value.space} {place} is {quantity} ({value.type} at {address}) as well as "
                f"{other} ({other_value.type} at {other_address})",
            )


def _places(profile: Profile) -> Iterator[tuple[Quantity, int, Value]]:
    for quantity, value in profile.values.items():
        for address in sorted({value.address_of(channel) for channel in _channels(profile)}):
            yield quantity, address, value


def _check_relay(check: _Check) -> None:
    profile, relay = check.profile, check.profile.relay
    if relay is None:
        return
    _check_end(check, ("relay",), relay, 1)
    if relay.stride == 0 and profile.channels > 1:
        check.wrong(("relay", "stride"), f"0 gives all {profile.channels} channels one relay")
    if isinstance(relay, RegisterRelay | CommandRelay) and relay.on == relay.off:
        check.wrong(("relay", "off"), f"on and off are both {relay.on}: one must differ")


def _check_written(check: _Check) -> None:
    """Check what is written into the module: limits and watchdog."""
    profile = check.profile
    places: dict[int, str] = {}
    for index, limit in enumerate(profile.module_limits):
        path = ("module_limits", index)
        _check_end(check, path, limit, limit.type.registers)
        _check_module_limit(check, path, limit)
        clashes = []
        for channel in _channels(profile):
            first = limit.address_of(channel)
            for place in range(first, first + limit.type.registers):
                if place in places:
                    clashes.append(f"holding {place} would take {limit.limit} and {places[place]}")
                places[place] = f"{limit.limit} of channel {channel}"
        if clashes:  # the first says it: the others follow from it
            check.wrong((*path, "address"), clashes[0])
    if profile.watchdog is not None:
        _check_watchdog(check, profile.watchdog.address, places)


def _check_watchdog(check: _Check, address: int, places: Mapping[int, str]) -> None:
    path = ("watchdog", "address")
    if address in places:
        check.wrong(path, f"holding {address} would take the watchdog and {places[address]}")
    if address > LAST_ADDRESS:
        check.wrong(path, f"is {address} on the wire: the last address is {LAST_ADDRESS}")


def _check_module_limit(check: _Check, path: KeyPath, limit: ModuleLimit) -> None:
    largest = MODULE_LIMIT_FIELDS.get(limit.limit)
    if largest is None:
        check.wrong(
            (*path, "limit"),
            f"a module can't hold {limit.limit!r}; known: {', '.join(MODULE_LIMIT_FIELDS)}",
        )
    elif limit.raw(largest) > limit.type.largest:
        check.wrong(
            (*path, "scale"),
            f"a limit of {largest:g} does not fit into {limit.type}: use u32 or another scale",
        )
    if limit.type.registers > 1 and limit.function == 6:
        check.wrong((*path, "function"), f"{limit.type} takes 2 registers: write function: 16")
    if limit.when_off is not None and limit.when_off > limit.type.largest:
        check.wrong((*path, "when_off"), f"does not fit into {limit.type}")
