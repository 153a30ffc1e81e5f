"""One request to a device, and the conclusions about that device and its connection."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable

from drivers.modbus import frames
from drivers.modbus.cutting import Frame
from drivers.modbus.frames import Request
from drivers.modbus.load import Load
from drivers.modbus.talk import Counts, OnData, Outcome, Talk, TimeS
from drivers.modbus.unit import Unit
from drivers.modbus.wire import SerialWire, Wire
from gateway.config import Bus, RtuBus
from gateway.guard.model import DeviceState, Sink

log = logging.getLogger(__name__)

GATEWAY_MISSES = 3
"""A connection to several units is opened anew after so many missing answers in a row, and
at least one from each unit."""
DEAF_MS = 30_000.0
"""A serial port is opened anew when nothing at all came in for so long although devices were
asked: USB converters hang, by the sparks of the relays they switch, and report no error."""
LONGEST_DEAF_MS = 600_000.0
"""Each time it did not help the wait is doubled, up to this: the devices may just be dark."""
MOST_DECLINES = 3
"""A read that is declined so often, although the device answers others, is told."""


class Asker:
    """Asks the devices of one bus, and keeps account of how they answer."""

    def __init__(
        self, bus: Bus, wire: Wire, units: Iterable[Unit], sink: Sink, time_s: TimeS
    ) -> None:
        self._timeout_ms = bus.timeout_ms
        self._wire = wire
        self._serial = wire if isinstance(wire, SerialWire) else None
        self._is_connection = not isinstance(bus, RtuBus)
        self._may_keep = self._is_connection and self._serial is not None
        """Whether what comes off the line while nobody is connected may be told to the next one."""
        self._units = {unit.device.unit: unit for unit in units}
        self._sink = sink
        self._time_s = time_s
        self._misses = 0
        self._heard_ms = self._now_ms()
        """When something came in, or the port was opened."""
        self._deaf_ms = DEAF_MS
        self._declines: Counter[tuple[int, bytes]] = Counter()
        """Reads that a device declined while it answered others."""
        self.counts = Counts(bus.id)
        self.load = Load(self._now_ms())
        self.is_given_up = False
        """The connection is good for nothing any more, although nobody closed it."""

    @property
    def numbers(self) -> frozenset[int]:
        """Unit numbers on this bus."""
        return frozenset(self._units)

    def start(self) -> None:
        """Begin on a fresh connection."""
        self._misses = 0
        self._heard_ms = self._now_ms()
        self.is_given_up = False
        if self._may_keep:
            for unit in self._units.values():
                unit.suspicion.owes_anew(self._now_ms())

    def patience_ms(self, unit: Unit, request: Request) -> float:
        """How long an answer is waited for."""
        return self._timeout_ms or self._wire.timeout_ms(request, unit.device.turnaround_ms)

    async def ask(
        self, talk: Talk, unit: Unit, request: Request, on_data: OnData | None = None
    ) -> Outcome:
        """Ask, wait for the end of it, and draw the conclusions."""
        timeout_ms = self.patience_ms(unit, request)
        began_ms = self._now_ms()
        outcome = await talk.ask(request, timeout_ms, on_data)
        now_ms = self._now_ms()
        if self._serial is not None and outcome is Outcome.ANSWERED:
            self.load.add(self._serial.transaction_ms(request) + unit.device.turnaround_ms, now_ms)
        else:
            self.load.add(now_ms - began_ms, now_ms)
        unit.ready_s = (now_ms + unit.device.profile.min_gap_ms) / 1_000
        if outcome in (Outcome.ANSWERED, Outcome.DECLINED) or talk.fault is not None:
            self._heard_ms, self._deaf_ms = now_ms, DEAF_MS
        if outcome is Outcome.ANSWERED:
            self._misses = 0
            self._answered(unit, now_ms)
        elif outcome is Outcome.DECLINED:
            self._misses = 0
            self._declined(talk, unit, request, now_ms)
        elif outcome is Outcome.SILENT:
            self._silent(talk, unit, request, timeout_ms)
        elif self._may_keep:
            unit.suspicion.owes(request.head, now_ms)
        return outcome

    def strayed(self, frame: Frame) -> None:
        """Note a frame that was not the one waited for: it may come again."""
        unit = self._units.get(frame.unit)
        if unit is not None and self._serial is not None:
            is_read = frame.pdu[0] in (*frames.READS_BITS, *frames.READS_REGISTERS)
            head = frame.pdu[:2] if is_read else frame.pdu[:5]
            unit.suspicion.owes(head, self._now_ms())

    def _answered(self, unit: Unit, now_ms: float) -> None:
        before = unit.health.state
        if not unit.health.answered(now_ms):
            return
        if before is not DeviceState.UNKNOWN:
            log.info("device %s: unit %d answers again", unit.device.id, unit.device.unit)
        unit.waiting_setup.clear()
        unit.waiting_setup.extend(unit.setup)
        self._sink.on_device(unit.device.id, unit.health.state, "answers")

    def _declined(self, talk: Talk, unit: Unit, request: Request, now_ms: float) -> None:
        """Count an exception answer; for a read, which then gives no values, as a miss."""
        self.counts.declined += 1
        if unit.suspicion.is_suspect:
            # it may be an older request's; the device is there, whatever it owes
            unit.suspicion.owes(request.head, now_ms)
            unit.suspicion.declined += request.is_read
            return
        if not request.is_read and talk.exception_code not in frames.GATEWAY_SILENT:
            return
        named = frames.EXCEPTIONS.get(talk.exception_code, f"exception {talk.exception_code}")
        detail = (
            f"unit {unit.device.unit} answers {named} to {request.pdu.hex(' ')}: "
            f"check profile {unit.device.profile.profile} and the device's wiring"
        )
        self._missed(unit, detail)
        if unit.health.state is DeviceState.ONLINE:
            self._lacking(unit, request, detail)

    def _lacking(self, unit: Unit, request: Request, detail: str) -> None:
        """Say once that a device gives one of its reads never, although it gives the others."""
        asked = unit.device.unit, request.pdu
        self._declines[asked] += 1
        if self._declines[asked] == MOST_DECLINES:
            log.warning("device %s: %s; what it gives is used", unit.device.id, detail)

    def _silent(self, talk: Talk, unit: Unit, request: Request, timeout_ms: float) -> None:
        if self._serial is not None:
            unit.suspicion.owes(request.head, self._now_ms())
        if self._is_connection:
            self._misses += 1
            is_device = self._serial is None and len(self._units) == 1
            most = 1 if is_device else max(GATEWAY_MISSES, len(self._units))
            self.is_given_up = self._misses >= most
        elif self._now_ms() - self._heard_ms >= self._deaf_ms:
            self._deaf()
        number = unit.device.unit
        if talk.fault is None:
            detail = (
                f"unit {number} does not answer within {timeout_ms:.0f} ms: "
                "check its power, wiring and unit number"
            )
        else:
            detail = (
                f"unit {number} gives no good answer within {timeout_ms:.0f} ms (wrong: "
                f"{talk.fault}): check wiring, baud rate, unit numbers and profile "
                f"{unit.device.profile.profile}"
            )
        self._missed(unit, detail)

    def _deaf(self) -> None:
        """Give a port up that gives nothing and reports nothing."""
        level = logging.WARNING if self._deaf_ms == DEAF_MS else logging.DEBUG
        log.log(
            level,
            "bus %s: not one byte came in for %.0f s: the port is opened anew; if that does not "
            "help, check the power of the devices and the converter",
            self.counts.bus,
            self._deaf_ms / 1_000,
        )
        self._deaf_ms = min(2 * self._deaf_ms, LONGEST_DEAF_MS)
        self.is_given_up = True

    def _missed(self, unit: Unit, detail: str) -> None:
        if unit.health.missed(self._now_ms()):
            if unit.health.state is DeviceState.SILENT:  # it is told once, quarantine or not
                log.warning("device %s: %s", unit.device.id, detail)
            self._sink.on_device(unit.device.id, unit.health.state, detail)

    def _now_ms(self) -> float:
        return self._time_s() * 1_000
