"""Short waits with the precision that a serial line needs.

Event loops wait in whole milliseconds (epoll_wait(2), libuv's timers), which is most of the
1.75 ms gap of a fast line. On Linux a timerfd (timerfd_create(2)) becomes readable within
microseconds of its time and costs nothing while it waits. Elsewhere the loop's own timer does,
and the line is a little less busy than it could be.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import sys
import time
from collections.abc import Callable
from typing import Protocol

_CLOCK_MONOTONIC = 1
_TFD_NONBLOCK = 0o4000
_TFD_CLOEXEC = 0o2000000
_COARSE_S = 0.02
"""Longer waits leave all but their last part to the loop."""


_WAKING_S = 0.000_15
"""From a timer to the task that waits for it, about; that much earlier it is set, and the rest is
spent looking at the clock."""


class Pause(Protocol):
    """Waits until a time of the monotonic clock, in seconds."""

    async def until(self, at_s: float) -> None: ...

    def close(self) -> None: ...


class LoopPause:
    """Waits with the event loop's own timers."""

    def __init__(self, time_s: Callable[[], float] = time.monotonic) -> None:
        self._time_s = time_s

    async def until(self, at_s: float) -> None:
        delay_s = at_s - self._time_s()
        if delay_s > 0:
            await asyncio.sleep(delay_s)

    def close(self) -> None:
        """Nothing is held."""


class _Timespec(ctypes.Structure):
    _fields_ = (("tv_sec", ctypes.c_long), ("tv_nsec", ctypes.c_long))


class _Itimerspec(ctypes.Structure):
    _fields_ = (("it_interval", _Timespec), ("it_value", _Timespec))


class TimerPause:
    """Waits with a timerfd. Raises OSError when the system has none left."""

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._fd: int = self._libc.timerfd_create(_CLOCK_MONOTONIC, _TFD_NONBLOCK | _TFD_CLOEXEC)
        if self._fd < 0:
            raise OSError(ctypes.get_errno(), "timerfd_create")
        self._spec = _Itimerspec()
        self._waiter: asyncio.Future[None] | None = None
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._fd, self._fired)

    async def until(self, at_s: float) -> None:
        delay_s = at_s - time.monotonic() - _WAKING_S
        if delay_s > _COARSE_S:
            await asyncio.sleep(delay_s - _COARSE_S / 2)
            delay_s = at_s - time.monotonic() - _WAKING_S
        if delay_s > 0:
            await self._wait(delay_s)
        while time.monotonic() < at_s:
            pass

    async def _wait(self, delay_s: float) -> None:
        self._spec.it_value.tv_sec = 0
        self._spec.it_value.tv_nsec = max(1, int(delay_s * 1e9))
        self._waiter = self._loop.create_future()
        if self._libc.timerfd_settime(self._fd, 0, ctypes.byref(self._spec), None) < 0:
            raise OSError(ctypes.get_errno(), "timerfd_settime")
        await self._waiter

    def close(self) -> None:
        if self._fd >= 0:
            self._loop.remove_reader(self._fd)
            os.close(self._fd)
            self._fd = -1

    def _fired(self) -> None:
        try:
            os.read(self._fd, 8)
        except BlockingIOError:
            return  # set anew in the meantime
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


def precise_pause() -> Pause:
    """Give the most precise pause of this machine. Needs a running loop."""
    return TimerPause() if sys.platform == "linux" else LoopPause()
