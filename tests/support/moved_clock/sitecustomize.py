"""Moves the wall clock of a Python program that has this folder in PYTHONPATH, and no other.

The file that ``PILEGATE_TEST_CLOCK`` names holds two signed 64-bit numbers: how far UTC is moved,
and at what UTC it stands still (0: it goes), in ns. They may change at any time. The monotonic
clock is the machine's. Programs of the project know nothing of it.
"""

from __future__ import annotations

import mmap
import os
import struct
import time

_PAIR = struct.Struct("<qq")


def install(path: str) -> None:
    """Have ``time`` tell the moved clock from now on."""
    with open(path, "r+b") as file:  # noqa: PTH123 - at every start of Python, before all else
        memory = mmap.mmap(file.fileno(), _PAIR.size)
    machine_ns = time.time_ns

    def moved_ns() -> int:
        ahead_ns, still_ns = _PAIR.unpack_from(memory)
        return int(still_ns or machine_ns() + ahead_ns)

    time.time_ns = moved_ns
    time.time = lambda: moved_ns() / 1e9


if os.environ.get("PILEGATE_TEST_CLOCK"):
    install(os.environ["PILEGATE_TEST_CLOCK"])
