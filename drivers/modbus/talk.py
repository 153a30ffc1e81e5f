"""One request and its answer at a time: joins the bytes of a link and the codec.

Whatever comes that is not the answer to the outstanding request is counted and discarded. The
answer is handed over in the same call in which its last byte arrived; where a connection needs
no silence, the next request may be sent from within that call.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum

from drivers.modbus import frames
from drivers.modbus.cutting import Desynchronised, Frame, Noise, next_rtu, next_tcp
from drivers.modbus.frames import Fault, Request
from drivers.modbus.link import Link
from drivers.modbus.wire import SerialWire

log = logging.getLogger(__name__)

_LAST_LOOK_S = 0.002
"""A loop that was busy when a time-out fell due gets one more look at its sockets."""
_MOST_BYTES = 2 * frames.LONGEST_RTU
"""More than this between two requests is not looked at: no answer is that long."""

ECHO = "the converter echoes what it sends: switch that off"
ANOTHER_MASTER = "another master asks on this line: let there be one"

OnData = Callable[[bytes], None]
OnStray = Callable[[Frame], None]
TimeS = Callable[[], float]
"""A monotonic clock. Not the event loop's: uvloop's own stands still within one pass."""


class Outcome(StrEnum):
    """How a request ended."""

    ANSWERED = "answered"
    DECLINED = "declined"
    SILENT = "silent"
    LOST = "lost"


@dataclass(slots=True)
class Counts:
    """What happened on one bus since the program started."""

    bus: str
    requests: int = 0
    timeouts: int = 0
    declined: int = 0
    """Answers with an exception code."""
    faults: Counter[str] = field(default_factory=Counter)
    _said: set[str] = field(default_factory=set)

    def fault(self, fault: Fault, detail: str) -> None:
        """Count a fault; the first of its kind since the bus was opened is logged."""
        self.faults[fault] += 1
        if fault not in self._said:
            self._said.add(fault)
            log.warning(
                "bus %s: wrong data on the wire (%s): %s; more of it is counted, not logged",
                self.bus,
                fault,
                detail,
            )

    def opened(self) -> None:
        self._said.clear()


@dataclass(slots=True, eq=False)
class _Exchange:
    """A request on its way, and who waits for the end of it."""

    request: Request
    transaction: int
    on_data: OnData | None
    waiter: asyncio.Future[Outcome]
    timer: asyncio.TimerHandle | None = None
    is_echoed: bool = False
    """Whether the line gave back what was sent (a converter's local echo)."""

    def end(self, outcome: Outcome) -> None:
        if not self.waiter.done():
            self.waiter.set_result(outcome)


class Talk:
    """Speaks on one open link.

    ``exception_code`` is that of the last declined request, ``fault`` the last thing that was
    wrong on the wire since the last request.
    """

    def __init__(
        self,
        link: Link,
        wire: SerialWire | None,
        units: frozenset[int],
        *,
        counts: Counts,
        on_stray: OnStray,
        time_s: TimeS,
    ) -> None:
        self._link = link
        self._wire = wire
        self._units = units
        self._counts = counts
        self._on_stray = on_stray
        self._time_s = time_s
        self._loop = asyncio.get_running_loop()
        self._buffer = bytearray()
        self._taken = 0
        self._exchange: _Exchange | None = None
        """The request that waits for its answer."""
        self._ahead: _Exchange | None = None
        """What was sent before anybody asked for its outcome."""
        self._transaction = 0
        self.echoes = False
        """Whether the converter gave back the last read before its answer came."""
        self._busy_until_s = time_s()
        self._listens_until_s = self._busy_until_s
        self.exception_code = 0
        self.fault: Fault | None = None
        self.lost: str | None = None

    @property
    def quiet_at_s(self) -> float:
        """When the line has been silent for one gap, as far as is known now."""
        silent_s = self._busy_until_s + (self._wire.gap_ms / 1_000 if self._wire else 0.0)
        return max(silent_s, self._listens_until_s)

    def opened(self) -> None:
        """Begin, now that the link is open: with listening, where somebody may keep old answers."""
        if self._wire is not None:
            self._listens_until_s = self._time_s() + self._wire.listen_ms / 1_000

    @property
    def is_free(self) -> bool:
        """Whether a request may be sent this very moment: on TCP, while none is outstanding."""
        return self._wire is None and self._exchange is None and self.lost is None

    def send_ahead(self, request: Request, timeout_ms: float) -> None:
        """Send a request now. The next to ``ask`` for this same request gets its outcome."""
        self._ahead = self._send(request, timeout_ms, None)

    async def ask(self, request: Request, timeout_ms: float, on_data: OnData | None) -> Outcome:
        """Send a request and wait for the end of it.

        ``on_data`` gets the data of a good answer at once, before anything else happens.
        """
        if self.lost is not None:
            return Outcome.LOST
        exchange, self._ahead = self._ahead, None
        if exchange is None or exchange.request is not request:
            exchange = self._send(request, timeout_ms, on_data)
        try:
            return await exchange.waiter
        finally:
            if exchange.timer is not None:
                exchange.timer.cancel()
            if self._exchange is exchange:
                self._exchange = None

    def _send(self, request: Request, timeout_ms: float, on_data: OnData | None) -> _Exchange:
        if self._buffer and self._wire is not None:
            self._discard(Fault.LENGTH, "a frame that broke off")
        self._taken = 0
        self.fault = None
        self._counts.requests += 1
        if self._wire is None:
            self._transaction = self._transaction % 0xFFFF + 1
            self._link.send(request.tcp(self._transaction))
        else:
            self._link.send(request.rtu)
            self._busy_until_s = self._time_s() + self._wire.request_ms(request) / 1_000
        exchange = _Exchange(request, self._transaction, on_data, self._loop.create_future())
        exchange.timer = self._loop.call_later(timeout_ms / 1_000, self._last_look, exchange)
        self._exchange = exchange
        return exchange

    def received(self, data: bytes) -> None:
        """Take bytes from the link. Never raises, whatever they are."""
        self._busy_until_s = self._time_s()
        if self._taken > _MOST_BYTES and self._wire is not None:
            return
        for start in range(0, len(data), frames.LONGEST_TCP):
            chunk = data[start : start + frames.LONGEST_TCP]
            self._taken += len(chunk)
            if self._taken > _MOST_BYTES and self._wire is not None:
                self._discard(Fault.OVERSIZED, "bytes without end")
                return
            self._buffer += chunk
            if self._wire is None:
                self._cut_tcp()
            else:
                self._cut_rtu()

    def broke(self, detail: str) -> None:
        """Note that the link broke."""
        self.lost = detail
        self._buffer.clear()
        if self._exchange is not None:
            self._exchange.end(Outcome.LOST)

    def _cut_rtu(self) -> None:
        while self._buffer:
            awaited = None if self._exchange is None else self._exchange.request
            used, what = next_rtu(self._buffer, self._units, awaited)
            if what is None:
                return
            shown = bytes(self._buffer[:used])
            del self._buffer[:used]
            if self._is_own_echo(shown, what):
                self._counts.fault(Fault.REQUEST, f"{shown.hex(' ')}: {ECHO}")
            elif isinstance(what, Frame):
                self._judge(what)
            elif what.fault is Fault.REQUEST:  # says nothing about the device that is asked
                self._counts.fault(Fault.REQUEST, f"{shown.hex(' ')}: {ANOTHER_MASTER}")
            else:
                self._note(what.fault, shown.hex(" "))

    def _is_own_echo(self, shown: bytes, what: Frame | Noise) -> bool:
        """Say whether a converter gave back what was sent.

        The answer to a single write looks the same. Where reads come back, the first of two is
        the echo: who took it for the answer would believe a device that is not there.
        """
        exchange = self._exchange
        if exchange is None or exchange.is_echoed or shown != exchange.request.rtu:
            return False
        if isinstance(what, Frame) and not self.echoes:
            return False
        exchange.is_echoed = True
        self.echoes |= exchange.request.is_read
        return True

    def _cut_tcp(self) -> None:
        while self._buffer and self.lost is None:
            used, what = next_tcp(self._buffer)
            if what is None:
                return
            shown = bytes(self._buffer[:used])
            del self._buffer[:used]
            if isinstance(what, Frame):
                exchange = self._exchange
                if exchange is not None and what.transaction != exchange.transaction:
                    self._note(Fault.TRANSACTION, shown.hex(" "))
                else:
                    self._judge(what)
                continue
            self._note(what.fault, shown.hex(" "))
            if isinstance(what, Desynchronised):
                self._link.close()
                self.broke("answers that are no Modbus TCP: check what listens there")

    def _judge(self, frame: Frame) -> None:
        exchange = self._exchange
        if exchange is None:
            self._note(Fault.UNEXPECTED, f"unit {frame.unit}: {frame.pdu.hex(' ')}")
            self._on_stray(frame)
            return
        request = exchange.request
        verdict = frames.judge(request, frame.unit, frame.pdu)
        if isinstance(verdict, frames.Wrong):
            self._note(
                verdict.fault,
                f"unit {frame.unit}: {frame.pdu.hex(' ')} after unit {request.unit}: "
                f"{request.pdu.hex(' ')}",
            )
            self._on_stray(frame)
            return
        self._exchange = None
        self.echoes &= exchange.is_echoed or not request.is_read
        if isinstance(verdict, frames.Declined):
            self.exception_code = verdict.code
            exchange.end(Outcome.DECLINED)
            return
        if exchange.on_data is not None:
            exchange.on_data(verdict.data)
        exchange.end(Outcome.ANSWERED)

    def _note(self, fault: Fault, detail: str) -> None:
        self.fault = fault
        self._counts.fault(fault, detail)

    def _last_look(self, exchange: _Exchange) -> None:
        exchange.timer = self._loop.call_later(_LAST_LOOK_S, self._give_up, exchange)

    def _give_up(self, exchange: _Exchange) -> None:
        self._counts.timeouts += 1
        if self._exchange is exchange:
            self._exchange = None
        exchange.end(Outcome.SILENT)

    def _discard(self, fault: Fault, what: str) -> None:
        shown = bytes(self._buffer[:32]).hex(" ")
        self._buffer.clear()
        self._note(fault, f"{what}: {shown}")
