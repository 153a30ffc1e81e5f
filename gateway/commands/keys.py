"""The keyboard while a live screen is shown."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import termios
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_QUIT_KEYS = b"qQ\x03\x04"
"""q, and Ctrl-C and Ctrl-D where the terminal sends them as characters."""


async def until_quit(*tasks: asyncio.Task[None]) -> None:
    """Wait for q, Ctrl-C, SIGTERM or a hang-up, or for a task that ends: its error is raised."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    quitting = asyncio.create_task(stop.wait(), name="quit")
    for number in _SIGNALS:
        loop.add_signal_handler(number, stop.set)
    try:
        with _keys(stop.set):
            done, _ = await asyncio.wait([quitting, *tasks], return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            await task
    finally:
        quitting.cancel()
        for number in _SIGNALS:
            loop.remove_signal_handler(number)


@contextmanager
def _keys(quit_: Callable[[], None]) -> Iterator[None]:
    """Read single keys from a terminal; its settings are put back at the end."""
    if not sys.stdin.isatty():
        yield
        return
    terminal = sys.stdin.fileno()
    loop = asyncio.get_running_loop()
    before = termios.tcgetattr(terminal)

    def read() -> None:
        pressed = os.read(terminal, 64)
        if not pressed:  # hung up
            loop.remove_reader(terminal)
        if not pressed or any(key in _QUIT_KEYS for key in pressed):
            quit_()

    tty.setcbreak(terminal)
    loop.add_reader(terminal, read)
    try:
        yield
    finally:
        loop.remove_reader(terminal)
        termios.tcsetattr(terminal, termios.TCSADRAIN, before)
