"""A tap on a serial line: passes bytes both ways, and counts what goes before a cut-off.

It stands between whoever is master (on a pseudo-terminal of its own) and the simulator's, so
that the figure comes from neither of them.
"""

from __future__ import annotations

import os
import select
import termios
import threading
import tty
from pathlib import Path

READ_INPUT = 4
WRITE_COIL = 5
WRITE_COILS = 15
FIXED_LENGTH = 8
CURRENT_FROM = 4
CHANNELS = 10


def request_length(head: bytes | bytearray) -> int | None:
    """Length of a request with its check sum; None until enough of it is there."""
    if len(head) < 2:
        return None
    if head[1] not in (WRITE_COILS, 16):
        return FIXED_LENGTH
    return None if len(head) < 7 else 9 + head[6]


def answer_length(head: bytes | bytearray) -> int | None:
    """Length of an answer with its check sum; None until enough of it is there."""
    if len(head) < 3:
        return None
    if head[1] & 0x80:
        return 5
    return 5 + head[2] if head[1] <= READ_INPUT else FIXED_LENGTH


class Ledger:
    """Turns passing bytes into a count for each cut-off. Pure."""

    def __init__(self, limit_digits: int) -> None:
        self.foreign: list[int] = []
        """Requests between the over-limit answer and the off frame."""
        self._limit_digits = limit_digits
        self._requests = bytearray()
        self._answers = bytearray()
        self._over: dict[tuple[int, int], int] = {}
        self._was_over: set[tuple[int, int]] = set()
        self._register = 0

    def from_master(self, data: bytes) -> None:
        """Take bytes of requests. A frame that stays incomplete ends with the next one's start."""
        self._answers.clear()
        self._requests += data
        while (length := request_length(self._requests)) and len(self._requests) >= length:
            self._request(bytes(self._requests[:length]))
            del self._requests[:length]

    def from_devices(self, data: bytes) -> None:
        """Take bytes of answers."""
        self._requests.clear()
        self._answers += data
        while (length := answer_length(self._answers)) and len(self._answers) >= length:
            self._answer(bytes(self._answers[:length]))
            del self._answers[:length]

    def _request(self, frame: bytes) -> None:
        for outlet in self._switched_off(frame):
            between = self._over.pop(outlet, None)
            if between is not None:
                self.foreign.append(between)
        for outlet in self._over:
            self._over[outlet] += 1
        if frame[1] == READ_INPUT:
            self._register = int.from_bytes(frame[2:4])

    def _switched_off(self, frame: bytes) -> list[tuple[int, int]]:
        first = int.from_bytes(frame[2:4])
        if frame[1] == WRITE_COIL and frame[4:6] == b"\0\0":
            return [(frame[0], first)]
        if frame[1] == WRITE_COILS:
            bits = int.from_bytes(frame[7:-2], "little")
            count = int.from_bytes(frame[4:6])
            return [(frame[0], first + bit) for bit in range(count) if not bits >> bit & 1]
        return []

    def _answer(self, frame: bytes) -> None:
        if frame[1] != READ_INPUT:
            return
        words = [int.from_bytes(frame[at : at + 2]) for at in range(3, len(frame) - 2, 2)]
        for channel in range(CHANNELS):
            at = CURRENT_FROM + channel - self._register
            if not 0 <= at < len(words):
                continue
            outlet = (frame[0], channel)
            if words[at] <= self._limit_digits:
                self._was_over.discard(outlet)
            elif outlet not in self._was_over:
                self._was_over.add(outlet)
                self._over[outlet] = 0


class Tap:
    """Passes bytes between a new pseudo-terminal at ``near`` and the one at ``far``."""

    def __init__(self, near: Path, far: Path, limit_digits: int) -> None:
        self._ledger = Ledger(limit_digits)
        self._master, self._slave = os.openpty()
        self._far = os.open(far, os.O_RDWR | os.O_NOCTTY)
        for end in (self._slave, self._far):
            tty.setraw(end, termios.TCSANOW)
        near.symlink_to(os.ttyname(self._slave))
        self._near = near
        self._wake_read, self._wake_write = os.pipe()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._pass_on, name="tap", daemon=True)
        self._thread.start()

    def foreign(self) -> list[int]:
        """Give the count of each cut-off so far."""
        with self._lock:
            return [*self._ledger.foreign]

    def close(self) -> None:
        """End the tap, and take its terminal away."""
        os.write(self._wake_write, b"x")
        self._thread.join(5)
        self._near.unlink(missing_ok=True)
        for end in (self._master, self._slave, self._far, self._wake_read, self._wake_write):
            os.close(end)

    def _pass_on(self) -> None:
        while True:
            ready, _, _ = select.select([self._master, self._far, self._wake_read], [], [])
            if self._wake_read in ready:
                return
            for source in ready:
                data = os.read(source, 4_096)
                os.write(self._far if source == self._master else self._master, data)
                with self._lock:
                    if source == self._master:
                        self._ledger.from_master(data)
                    else:
                        self._ledger.from_devices(data)
