"""Clients of the guard's socket over its lives: no gap, no fact twice, no end that is not heard."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
from pathlib import Path

import pytest

from gateway.core.clock import TimeQuality
from gateway.core.errors import FixInstallation, TryLater
from gateway.core.facts import FactDraft, FactKind
from gateway.guard.control import ControlServer
from gateway.guard.journal import Journal
from gateway.guard.journal_entry import Entry
from gateway.link.client import FactArrived, GuardClient
from gateway.link.journal import journal_path
from tests.support.control import RememberingService, listening


def entry() -> Entry:
    return Entry((FactDraft(FactKind.GUARD_STARTED, "guard", 0, TimeQuality.UNSET),))


async def _connected(path: Path) -> GuardClient:
    """Connect to a server that is only starting."""
    async with asyncio.timeout(30):
        while True:
            try:
                return await GuardClient.connect(path)
            except FixInstallation:
                await asyncio.sleep(0.01)


def test_what_is_written_before_anybody_is_let_in_is_no_gap(tmp_path: Path) -> None:
    async def main() -> None:
        journal = Journal(journal_path(tmp_path))
        journal.start()
        server = ControlServer(tmp_path, None, RememberingService(), journal)
        await journal.put_urgent(entry()).durable()
        server.bind()
        task = asyncio.create_task(server.run())
        async with await _connected(server.path) as client, asyncio.timeout(30):
            follower = client.follow(facts_after=0)
            seen = [await anext(follower)]
            await journal.put_urgent(entry()).durable()
            seen.append(await anext(follower))
            assert [n.fact.seq for n in seen if isinstance(n, FactArrived)] == [1, 2]
            await follower.aclose()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await journal.close()

    asyncio.run(main())


def test_who_is_cancelled_while_closing_hears_of_it(tmp_path: Path) -> None:
    async def main() -> None:
        async with listening(tmp_path, RememberingService()) as (path, _):
            client = await GuardClient.connect(path)
            closing = asyncio.create_task(client.close())
            await asyncio.sleep(0)
            closing.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await closing
            assert closing.cancelled()

    asyncio.run(main())


def test_too_many_open_files_are_an_error_that_passes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    async def main() -> None:
        monkeypatch.setattr(socket, "socket", full)
        with pytest.raises(TryLater, match="Too many open files: try again, and raise"):
            await GuardClient.connect(tmp_path / "guard.sock")
        monkeypatch.undo()

    asyncio.run(main())
