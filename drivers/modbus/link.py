"""The seam where bytes go in and out: what the driver needs of a line or connection."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol


class LinkLost(Exception):
    """The line or connection can't be opened. The text says what a person can do about it."""


class Link(Protocol):
    """A serial line or a TCP connection, used for one opening."""

    async def open(self, on_bytes: Callable[[bytes], None], on_lost: Callable[[str], None]) -> None:
        """Open it. From then on bytes are handed over as they come.

        ``on_lost`` is called once, when it breaks; never after ``close``.
        Raises LinkLost.
        """
        ...

    def send(self, data: bytes) -> None: ...

    def close(self) -> None: ...


OpenLink = Callable[[], Link]
"""Makes a fresh link; each is opened once."""
