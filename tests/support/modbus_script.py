"""A line that plays a transcript: every byte sent must be the next one written there.

A transcript has one thing a line::

    > 01 05 00 00 00 00 *         the driver sends this ('*' stands for the right check sum)
    < 01 05 00 00 00 00 *         it receives this at once
    < 20ms 01 05 | 00 00 00 00 *  … after 20 ms, in two pieces
    ! off m1-1                    the guard calls: on, off, cut
    = 100ms                       nothing happens for so long
    ? m1-1 voltage_v 230.1        the last sample of an outlet says so
    # a remark

Anything that is sent and not written there, or the other way round, fails the test.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

from drivers.modbus.bus import ModbusBus
from drivers.modbus.link import LinkLost
from drivers.modbus.pause import LoopPause
from gateway.config import Bus, Site
from gateway.core.clock import Now
from gateway.core.ids import OutletId
from tests.support.modbus_site import Recorder
from tests.support.virtual_loop import run_virtually

_LONGEST_WAIT_S = 300.0


def crc(data: bytes) -> bytes:
    """CRC-16/MODBUS bit by bit, as the serial line specification draws it."""
    value = 0xFFFF
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = value >> 1 ^ 0xA001 if value & 1 else value >> 1
    return value.to_bytes(2, "little")


def frame(text: str) -> bytes:
    """Read hex; a '*' at the end stands for the check sum of all before it."""
    body = text.strip()
    if body.endswith("*"):
        data = bytes.fromhex(body[:-1])
        return data + crc(data)
    return bytes.fromhex(body)


class Line:
    """The far end: what was sent waits here to be compared."""

    def __init__(self) -> None:
        self.sent: asyncio.Queue[bytes] = asyncio.Queue()
        self.on_bytes: Callable[[bytes], None] | None = None
        self.on_lost: Callable[[str], None] | None = None
        self.opened = 0
        self.sent_ms: list[float] = []
        self.refuse: str | None = None

    def link(self) -> Link:
        return Link(self)


class Link:
    """One opening of the line."""

    def __init__(self, line: Line) -> None:
        self._line = line
        self._open = False

    async def open(self, on_bytes: Callable[[bytes], None], on_lost: Callable[[str], None]) -> None:
        if self._line.refuse is not None:
            raise LinkLost(self._line.refuse)
        self._line.opened += 1
        self._line.on_bytes, self._line.on_lost = on_bytes, on_lost
        self._open = True

    def send(self, data: bytes) -> None:
        assert self._open, "sent on a closed link"
        self._line.sent_ms.append(asyncio.get_running_loop().time() * 1_000)
        self._line.sent.put_nowait(data)

    def close(self) -> None:
        if self._open:
            self._open = False
            self._line.on_bytes = self._line.on_lost = None


class LoopClock:
    """The virtual loop's time, as the guard reads it."""

    def now(self) -> Now:
        mono_ms = round(asyncio.get_running_loop().time() * 1_000)
        return Now(mono_ms=mono_ms, utc_ms=1_800_000_000_000 + mono_ms)


class Stage:
    """A bus with a scripted far end, in virtual time."""

    def __init__(self, bus: Bus, site: Site, recorder: Recorder | None = None) -> None:
        loop = asyncio.get_running_loop()
        self.recorder = recorder or Recorder()
        self.line = Line()
        self.bus = ModbusBus(
            bus,
            site,
            self.recorder,
            LoopClock(),
            open_link=self.line.link,
            time_s=loop.time,
            pause=LoopPause(loop.time),
            rng=random.Random(1),
        )

    async def play(self, transcript: str) -> None:
        """Play a transcript, then stop the bus and see that nothing was left over."""
        owner = asyncio.create_task(self.bus.run(), name="bus")
        try:
            for number, text in enumerate(transcript.splitlines(), 1):
                try:
                    await self._line(text.split("#")[0].strip())
                except Exception as err:
                    raise AssertionError(f"line {number}: {text.strip()}: {err!r}") from err
                assert not owner.done(), owner.exception()
            await asyncio.sleep(0)
            left = [self.line.sent.get_nowait().hex(" ") for _ in range(self.line.sent.qsize())]
            assert not left, f"sent, and not in the transcript: {left}"
        finally:
            owner.cancel()
            await asyncio.wait([owner])
        assert owner.cancelled(), owner.exception()

    async def _line(self, text: str) -> None:
        verb, _, rest = text.partition(" ")
        if verb == ">":
            async with asyncio.timeout(_LONGEST_WAIT_S):
                sent = await self.line.sent.get()
            assert sent == frame(rest), f"sent {sent.hex(' ')}"
        elif verb == "<":
            await self._receive(rest)
        elif verb == "!":
            self._call(*rest.split())
        elif verb == "?":
            outlet, field, expected = rest.split()
            found = getattr(self.recorder.last(outlet), field)
            assert str(found) == expected, f"it is {found}"
        elif verb == "=":
            await asyncio.sleep(_ms(rest))
            assert self.line.sent.empty(), f"sent {self.line.sent.get_nowait().hex(' ')}"
        else:
            assert not text, "what is that?"

    async def _receive(self, text: str) -> None:
        first, _, rest = text.partition(" ")
        if first.endswith("ms"):
            await asyncio.sleep(_ms(first))
            text = rest
        assert self.line.sent.empty(), f"sent meanwhile: {self.line.sent.get_nowait().hex(' ')}"
        whole = frame(text.replace("|", ""))
        at = 0
        for piece in text.split("|"):
            size = len(whole) - at if piece.endswith("*") else len(bytes.fromhex(piece))
            assert self.line.on_bytes is not None, "the link is closed"
            self.line.on_bytes(whole[at : at + size])
            at += size
            await asyncio.sleep(0)

    def _call(self, verb: str, *rest: str) -> None:
        if verb == "on":
            self.bus.switch_on(OutletId(rest[0]), 60_000)
        elif verb in ("off", "cut"):
            for outlet in rest:
                self.bus.switch_off(OutletId(outlet), urgent=verb == "cut")
        elif verb == "break":
            assert self.line.on_lost is not None
            self.line.on_lost(" ".join(rest))
        elif verb == "refuse":
            self.line.refuse = " ".join(rest) or None
        else:
            raise AssertionError(f"no call {verb}")


def _ms(text: str) -> float:
    return float(text.removesuffix("ms")) / 1_000


def play(bus: Bus, site: Site, transcript: str, recorder: Recorder | None = None) -> Stage:
    """Play a transcript against a bus and give what came of it."""

    async def main() -> Stage:
        stage = Stage(bus, site, recorder)
        await stage.play(transcript)
        return stage

    return run_virtually(main())
