"""A device on a bus: takes a request's PDU, moves relays, answers.

The reference module also keeps limits of its own and a watchdog, as its profile says.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from simulators import codec
from simulators.codec import ILLEGAL_ADDRESS, ILLEGAL_FUNCTION, ILLEGAL_VALUE, ModbusException
from simulators.command_codes import Order, orders_of
from simulators.own_limits import OwnLimits
from simulators.profiles import RelayStyle, SimProfile
from simulators.quirks import quirks_of
from simulators.registers import Channel, Moment, RegisterImage

Report = Callable[[dict[str, Any]], None]


@dataclass(frozen=True, slots=True)
class Reply:
    """What a device answers, and which outlets' armed current levels the answer exceeds."""

    pdu: bytes
    over: tuple[str, ...] = ()


class SimDevice:
    """One unit. ``handle`` never raises on any bytes; ``supervise`` is called now and then."""

    def __init__(
        self,
        name: str,
        profile: SimProfile,
        channels: Sequence[Channel],
        report: Report,
        now_s: float,
    ) -> None:
        self.name = name
        self.profile = profile
        self.channels = channels
        self._over_levels_a: dict[str, float] = {}
        self._over: set[str] = set()
        self._report = report
        self._quirks = quirks_of(profile.name)
        self._limits = OwnLimits(profile, channels)
        self._image = RegisterImage(profile, self._memory())
        self._flash_until_s: dict[int, float] = {}
        self._heard_s = now_s

    def handle(self, pdu: bytes, now_s: float, received_ns: int) -> Reply:
        """Carry out one request that was received at ``received_ns`` (monotonic)."""
        self.supervise(now_s)
        self._heard_s = now_s
        try:
            request = self._understood(pdu)
            if isinstance(request, codec.Read):
                return self._read(request, now_s)
            self._write(request, now_s, received_ns)
        except ModbusException as refusal:
            return Reply(codec.answer_exception(pdu[0] if pdu else 0, refusal.code))
        return Reply(codec.answer_write(pdu))

    def supervise(self, now_s: float) -> None:
        """Let the module's own limits, its watchdog and its flash timers act."""
        self._watchdog(now_s)
        for index, until_s in [*self._flash_until_s.items()]:
            if now_s >= until_s:
                del self._flash_until_s[index]
                self._switch(index, False, now_s, by="module", at_ns=None)
        for index in self._limits.to_open(now_s):
            self.channels[index].alarm = True
            self._switch(index, False, now_s, by="module", at_ns=None)

    def report_over(self, outlet: str, above_a: float) -> None:
        """Name ``outlet`` in the first reply that shows more than ``above_a`` (0: no more)."""
        self._over.discard(outlet)
        if above_a > 0:
            self._over_levels_a[outlet] = above_a
        else:
            self._over_levels_a.pop(outlet, None)

    # Reading

    def _understood(self, pdu: bytes) -> codec.Request:
        request = codec.parse_request(pdu)
        if codec.Function(pdu[0]) not in self._quirks.functions:
            raise ModbusException(ILLEGAL_FUNCTION)
        return request

    def _read(self, request: codec.Read, now_s: float) -> Reply:
        moment = Moment(self.channels, now_s)
        words = self._image.read(request.space, request.address, request.count, moment)
        if request.is_bits:
            bits = [word != 0 for word in words]
            return Reply(codec.answer_bits(request.function, bits))
        over = self._over_in(request, moment) if self._over_levels_a else ()
        return Reply(codec.answer_registers(request.function, words), over)

    def _over_in(self, request: codec.Read, moment: Moment) -> tuple[str, ...]:
        """Outlets whose current this answer shows above its level for the first time."""
        found = []
        span = range(request.address, request.address + request.count)
        for index, (space, at) in enumerate(self._image.current_at):
            outlet = self.channels[index].meter.name
            level_a = self._over_levels_a.get(outlet)
            if level_a is None or space is not request.space:
                continue
            if at.start < span.start or at.stop > span.stop:
                continue
            if moment.reading(index).current_a <= level_a:
                self._over.discard(outlet)
            elif outlet not in self._over:
                self._over.add(outlet)
                found.append(outlet)
        return tuple(found)

    # Writing

    def _write(self, request: codec.Request, now_s: float, received_ns: int) -> None:
        orders: list[Order] = []
        if isinstance(request, codec.WriteCoil):
            orders = self._coil_orders(request)
        elif isinstance(request, codec.WriteCoils):
            orders = self._coils_orders(request)
        elif isinstance(request, codec.WriteRegister):
            orders = self._register_orders(request.address, (request.value,), single=True)
        elif isinstance(request, codec.WriteRegisters):
            orders = self._register_orders(request.address, request.values, single=False)
        elif isinstance(request, codec.ResetEnergy):
            for channel in self.channels:
                channel.meter.advance(now_s)
                channel.meter.energy_wh = 0.0
        for order in orders:
            on = order.on
            if on is None:
                on = not self.channels[order.index].relay.relay.commanded_on
            self._flash_until_s.pop(order.index, None)
            if order.for_s is not None:
                self._flash_until_s[order.index] = now_s + order.for_s
            self._switch(order.index, on, now_s, by="frame", at_ns=received_ns)

    def _coil_orders(self, request: codec.WriteCoil) -> list[Order]:
        relay = self.profile.relay
        if relay is None or relay.space is not codec.Space.COIL:
            raise ModbusException(ILLEGAL_ADDRESS)
        flash_from = self._quirks.flash_on_from
        if flash_from is not None and 0 <= request.address - flash_from < len(self.channels):
            index = request.address - flash_from
            return [Order(index, request.value > 0, for_s=request.value * 0.1)]
        if request.address == self._quirks.all_relays_coil:
            indexes = list(range(len(self.channels)))
        else:
            indexes = [self._relay_index(request.address)]
        codes: dict[int, bool | None] = {codec.COIL_ON: True, codec.COIL_OFF: False}
        if relay.style == "command":
            codes = {relay.on: True, relay.off: False}
        elif self._quirks.flip_value is not None:
            codes[self._quirks.flip_value] = None
        if request.value not in codes:
            raise ModbusException(ILLEGAL_VALUE)
        return [Order(index, codes[request.value]) for index in indexes]

    def _coils_orders(self, request: codec.WriteCoils) -> list[Order]:
        relay = self.profile.relay
        if relay is None or relay.style != "coil":
            raise ModbusException(ILLEGAL_ADDRESS)
        addresses = range(request.address, request.address + len(request.values))
        return [
            Order(self._relay_index(address), on)
            for address, on in zip(addresses, request.values, strict=True)
        ]

    def _relay_index(self, address: int) -> int:
        relay = self.profile.relay
        assert relay is not None
        distance = address - relay.address
        if relay.stride == 0:
            index, odd = 0, distance
        else:
            index, odd = divmod(distance, relay.stride)
        if odd or not 0 <= index < len(self.channels):
            raise ModbusException(ILLEGAL_ADDRESS)
        return index

    def _register_orders(
        self, address: int, values: tuple[int, ...], *, single: bool
    ) -> list[Order]:
        relay = self.profile.relay
        orders: list[Order] = []
        stored: dict[tuple[codec.Space, int], int] = {}
        for at, value in enumerate(values, address):
            if (codec.Space.HOLDING, at) in self._image.memory:
                stored[codec.Space.HOLDING, at] = value
                continue
            if relay is None or relay.space is not codec.Space.HOLDING:
                raise ModbusException(ILLEGAL_ADDRESS)
            index = self._relay_index(at)
            if single and relay.function != codec.Function.WRITE_REGISTER:
                raise ModbusException(ILLEGAL_FUNCTION)
            orders.extend(self._told(value, index, relay))
        if stored:
            self._image.memory.update(stored)
            self._limits.load(self._image.memory)
        return orders

    def _told(self, value: int, index: int, relay: RelayStyle) -> list[Order]:
        """Say what a value does that was written into the register of a relay."""
        if self._quirks.has_command_codes:
            orders = orders_of(value, index, len(self.channels))
            if orders is not None:
                return orders
        elif value in (relay.on, relay.off):
            return [Order(index, value == relay.on)]
        raise ModbusException(ILLEGAL_VALUE)

    # Relays

    def _switch(self, index: int, on: bool, now_s: float, *, by: str, at_ns: int | None) -> None:
        channel = self.channels[index]
        changed = channel.relay.relay.commanded_on != on
        channel.relay.switch(on, now_s)
        if by == "frame":
            channel.alarm = False
        self._report(
            {
                "kind": "relay",
                "outlet": channel.relay.name,
                "on": on,
                "by": by,
                "changed": changed,
                "mono_ns": at_ns,
            }
        )

    # What the module does by itself

    def _memory(self) -> dict[tuple[codec.Space, int], int]:
        memory = dict(self._quirks.registers)
        if self.profile.watchdog is not None:
            memory[codec.Space.HOLDING, self.profile.watchdog.address] = 0
        memory.update(self._limits.registers())
        return memory

    def _watchdog(self, now_s: float) -> None:
        watchdog = self.profile.watchdog
        if watchdog is None:
            return
        after_s = self._image.memory[codec.Space.HOLDING, watchdog.address] * watchdog.unit_s
        if after_s <= 0 or now_s - self._heard_s <= after_s:
            return
        for index, channel in enumerate(self.channels):
            if channel.relay.relay.commanded_on:
                self._switch(index, False, now_s, by="watchdog", at_ns=None)
