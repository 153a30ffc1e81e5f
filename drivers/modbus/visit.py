"""Asking a line or connection from outside of the guard: `pilegate probe` and `scan-bus`.

One request at a time, reads only, the line's gaps kept. Nothing is concluded about devices; who
asks gets the data or the reason why there is none. No guard may hold the line meanwhile.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from drivers.modbus import frames
from drivers.modbus.client import links_of
from drivers.modbus.cutting import Frame
from drivers.modbus.frames import Fault, Request
from drivers.modbus.link import LinkLost, OpenLink
from drivers.modbus.pause import LoopPause
from drivers.modbus.talk import ANOTHER_MASTER, ECHO, Counts, Outcome, Talk, TimeS
from drivers.modbus.wire import SerialWire, wire_of
from gateway.config import Bus
from gateway.core.errors import FixInstallation

UNITS = frozenset(range(1, 256))
"""Above 247 numbers are reserved; some boards leave their factory with 255 all the same."""
USUAL_TURNAROUND_MS = 20
"""What a device that nobody knows yet is given, several times over, before it is silent."""


@dataclass(frozen=True, slots=True)
class Heard:
    """What came of a request. ``data`` of a good answer; else ``why`` says what was wrong."""

    data: bytes | None
    why: str = ""
    is_there: bool = False
    """Whether the device answered, be it with an exception."""
    is_noise: bool = False
    """Whether bytes came that are no answer."""
    is_of_another: bool = False
    """Whether they are a good answer, of a unit that was not asked."""
    is_declined: bool = False
    """Whether the answer is an exception, be it a gateway's."""

    @property
    def is_unknown_to_gateway(self) -> bool:
        """Whether a gateway says that there is no such unit."""
        return self.is_declined and not self.is_there


class Visit:
    """An open line or connection. Raises FixInstallation when it can't be opened or breaks.

    ``open_link`` and ``time_s`` replace hardware in tests.
    """

    def __init__(
        self, bus: Bus, *, open_link: OpenLink | None = None, time_s: TimeS = time.monotonic
    ) -> None:
        self._bus = bus
        self._time_s = time_s
        self.late: set[int] = set()
        """Units whose answers came when another one was waited for, or none."""
        self.came_late = False
        """Whether any answer came when another one was waited for."""
        self._instead: int | None = None
        """A unit that was not asked, and answered the last request."""
        self._asked: set[tuple[int, int]] = set()
        """Unit and function of everything asked so far."""
        self._open_link = open_link or links_of(bus)
        self._wire = wire_of(bus)
        self._counts = Counts(bus.id)
        self._pause = LoopPause(time_s)

    async def __aenter__(self) -> Self:
        await self._open()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._link.close()

    async def ask(self, request: Request, *, turnaround_ms: int = USUAL_TURNAROUND_MS) -> Heard:
        """Ask once. Raises ValueError for anything but a read: a visitor changes nothing."""
        if not request.is_read:
            raise ValueError("a visitor only reads")
        if self._talk.lost is not None:
            # what closes a connection after an answer it dislikes may be asked again
            self._link.close()
            await self._open()
        await self._pause.until(self._talk.quiet_at_s)
        self._asked.add((request.unit, request.function))
        self._instead = None
        data: list[bytes] = []
        timeout_ms = self._bus.timeout_ms or self._wire.timeout_ms(request, turnaround_ms)
        outcome = await self._talk.ask(request, timeout_ms, data.append)
        if outcome is Outcome.ANSWERED:
            return Heard(data[0], is_there=True)
        if outcome is Outcome.DECLINED:
            code = self._talk.exception_code
            named = frames.EXCEPTIONS.get(code, f"exception {code}")
            is_there = code not in frames.GATEWAY_SILENT
            return Heard(None, f"answers {named}", is_there=is_there, is_declined=True)
        if outcome is Outcome.LOST:
            return Heard(None, self._talk.lost or "the connection was lost")
        fault = self._talk.fault
        if fault is Fault.TRANSACTION:
            # somebody's late answer: whose, only the number of the transaction says
            self.came_late = True
        elif fault is Fault.UNIT and self._instead is not None:
            why = f"unit {self._instead} answers for it: check both unit numbers"
            return Heard(None, why, is_noise=True, is_of_another=True)
        elif fault is not None:
            return Heard(None, f"gives no good answer (wrong: {fault})", is_noise=True)
        return Heard(None, f"does not answer within {timeout_ms:.0f} ms")

    @property
    def advice(self) -> str | None:
        """Say what is wrong with the line itself, whoever is on it; None when nothing is."""
        if self._talk.echoes:
            return ECHO
        return ANOTHER_MASTER if self._counts.faults[Fault.REQUEST] else None

    async def settle(self) -> None:
        """Wait until a late answer has come, and was thrown away (a serial line only)."""
        if isinstance(self._wire, SerialWire):
            await asyncio.sleep(4 * USUAL_TURNAROUND_MS / 1_000 + 0.1)

    async def _open(self) -> None:
        self._link = self._open_link()
        self._talk = Talk(
            self._link,
            self._wire if isinstance(self._wire, SerialWire) else None,
            UNITS,
            counts=self._counts,
            on_stray=self._strayed,
            time_s=self._time_s,
        )
        try:
            await self._link.open(self._talk.received, self._talk.broke)
        except LinkLost as err:
            raise FixInstallation(str(err)) from err
        self._talk.opened()

    def _strayed(self, frame: Frame) -> None:
        if (frame.unit, frame.pdu[0] & 0x7F) in self._asked:
            self.late.add(frame.unit)
            self.came_late = True
        else:
            self._instead = frame.unit
