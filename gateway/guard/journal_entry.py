"""What is put into the journal, and the promise that is given for it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass

from gateway.core.errors import PilegateError, TryLater
from gateway.core.facts import Fact, FactDraft
from gateway.link.records import Record

log = logging.getLogger(__name__)


class JournalFull(TryLater):
    """The queue before the journal has no room: new leases are refused until it has."""


class NotWritten(PilegateError):
    """This entry will never be in the journal; the message says why."""


@dataclass(frozen=True, slots=True)
class DropLatch:
    """The outlet's latch is released."""

    outlet: str


@dataclass(frozen=True, slots=True)
class DropLock:
    """The scope is unlocked."""

    scope: str


@dataclass(frozen=True, slots=True)
class DropLease:
    """The outlet's lease has ended."""

    outlet: str


Change = Record | DropLatch | DropLock | DropLease
"""A record is put in place of the one with its key; a minute is joined to the one there is."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One unit of work: all of it is written, or nothing."""

    facts: tuple[FactDraft, ...] = ()
    changes: tuple[Change, ...] = ()


class Ticket:
    """Says when an entry is durable. Used in the event loop's thread only."""

    __slots__ = ("_callbacks", "_error", "_facts")

    def __init__(self) -> None:
        self._facts: tuple[Fact, ...] | None = None
        self._error: NotWritten | None = None
        self._callbacks: list[Callable[[Ticket], None]] = []

    @property
    def facts(self) -> tuple[Fact, ...] | None:
        """The entry's facts with their numbers, once they are durable."""
        return self._facts

    @property
    def error(self) -> NotWritten | None:
        """Why the entry will never be written, if it will not."""
        return self._error

    @property
    def done(self) -> bool:
        """Whether the entry is durable, or will never be written."""
        return self._facts is not None or self._error is not None

    def when_done(self, callback: Callable[[Ticket], None]) -> None:
        """Call back once done, at once if it is; in the order in which this was asked."""
        if self.done:
            callback(self)
        else:
            self._callbacks.append(callback)

    async def durable(self) -> tuple[Fact, ...]:
        """Wait until the entry is durable; give its facts. Raises NotWritten."""
        if not self.done:
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()

            def wake(_: Ticket) -> None:
                if not waiter.done():
                    waiter.set_result(None)

            self.when_done(wake)
            await waiter
        if self._error is not None:
            raise self._error
        assert self._facts is not None
        return self._facts

    def settle(self, outcome: tuple[Fact, ...] | NotWritten) -> None:
        """Say how it went. For the journal alone; only the first outcome counts."""
        if self.done:
            return
        if isinstance(outcome, NotWritten):
            self._error = outcome
        else:
            self._facts = outcome
        callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            try:
                callback(self)
            except Exception:  # one listener's fault must not keep the others waiting
                log.exception("a listener of the journal failed")
