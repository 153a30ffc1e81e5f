"""Speaking to the guard for programs that go on; ``gateway.link.once`` is for commands.

Raises the errors of ``gateway.core.errors``, in one line that says what to do.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections import deque
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from gateway.core.errors import (
    CorrectInput,
    FixInstallation,
    PilegateError,
    TryLater,
)
from gateway.core.facts import Fact
from gateway.link.address import connect_unix
from gateway.link.decode import Fields
from gateway.link.messages import MOST_VIEWS, OutletView, fact_from_json
from gateway.link.once import call_line, failed, gone, hung, read_answer, result
from gateway.link.requests import Method, Notice
from gateway.link.rpc import LONGEST_ANSWER_BYTES, LONGEST_REQUEST_BYTES, error_from_json

WAITING_NOTICES = 256
"""Notifications that wait for the reader; past them the socket is not read any more, and a
guard that can't write drops the connection."""


@dataclass(frozen=True, slots=True)
class FactArrived:
    """A fact, in order and without gaps."""

    fact: Fact


@dataclass(frozen=True, slots=True)
class OutletsChanged:
    """Outlets that look different from when they were last sent."""

    outlets: tuple[OutletView, ...]


Notification = FactArrived | OutletsChanged


class GuardClient:
    """One connection to the guard: calls may overlap, and one may follow on it."""

    def __init__(
        self,
        path: Path,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        timeout_s: float,
    ) -> None:
        self._path = path
        self._reader = reader
        self._writer = writer
        self._timeout_s = timeout_s
        self._next_id = 0
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._notices: deque[dict[str, Any]] = deque()
        self._arrived = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._following = False
        self._end: PilegateError | None = None
        self._task = asyncio.create_task(self._read(), name="guard-client")

    @classmethod
    async def connect(cls, path: Path, timeout_s: float = 5.0) -> Self:
        """Connect to the guard's socket.

        ``timeout_s`` bounds the connection and, unless told otherwise, every call. Raises
        FixInstallation when no guard runs, NotAllowed when this user may not.
        """
        try:
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        except OSError as err:  # too many open files
            raise failed(path, err) from err
        try:
            # Never waits for the other process: a full backlog is an error at once.
            sock.setblocking(False)
            connect_unix(sock, path)
            reader, writer = await asyncio.open_unix_connection(
                sock=sock, limit=LONGEST_ANSWER_BYTES
            )
        except OSError as err:
            sock.close()
            raise failed(path, err) from err
        return cls(path, reader, writer, timeout_s)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def call(
        self, method: str, *, timeout_s: float | None = None, **params: object
    ) -> dict[str, Any]:
        """Ask and wait for the answer.

        Raises NotKnown, Refused, CorrectInput, NotAllowed, TryLater (also when the guard
        does not answer in time or closes), FixInstallation.
        """
        if self._end is not None:
            raise self._end
        wait_s = self._timeout_s if timeout_s is None else timeout_s
        self._next_id += 1
        request_id = self._next_id
        line = call_line(request_id, method, params, within_s=wait_s)
        if self._writer.transport.get_write_buffer_size() > LONGEST_REQUEST_BYTES:
            raise hung(self._path, None)
        answer: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._answers[request_id] = answer
        try:
            self._writer.write(line)
            async with asyncio.timeout(wait_s):
                return result(await answer)
        except TimeoutError:
            raise hung(self._path, wait_s) from None
        finally:
            self._answers.pop(request_id, None)

    async def follow(
        self, *, facts_after: int | None = None, views: bool = False
    ) -> AsyncGenerator[Notification, None]:
        """Give facts after ``facts_after`` (None: from now on), and changed outlets if asked.

        Ends by raising TryLater when the guard closes or drops the connection. Once for a
        connection.
        """
        if self._following:
            raise CorrectInput("this connection follows already: use another one")
        self._following = True
        if facts_after is None:
            await self.call(Method.FOLLOW, views=views)
        else:
            await self.call(Method.FOLLOW, views=views, facts_after=facts_after)
        while True:
            while self._notices:
                notice = self._notices.popleft()
                self._room.set()
                yield _read_notice(notice)
            if self._end is not None:
                raise self._end
            self._arrived.clear()
            await self._arrived.wait()

    async def close(self) -> None:
        """Close the connection. Calls under way end with TryLater."""
        self._task.cancel()
        try:
            # Not awaited itself: whoever is cancelled here must still hear of it.
            await asyncio.wait([self._task])
        finally:
            # Every call has its answer or gave up: what is still unsent is wanted by nobody.
            self._writer.transport.abort()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()

    async def _read(self) -> None:
        end: PilegateError = gone(self._path)
        try:
            while line := await self._reader.readline():
                message = read_answer(line, self._path)
                if "id" in message:
                    self._take_answer(message)
                elif message.get("method") == Notice.DROPPED:
                    end = _dropped(message, self._path)
                else:
                    await self._keep(message)
        except ValueError:
            end = FixInstallation(f"{self._path}: a line from the guard has no end")
        except PilegateError as err:
            end = err
        except OSError:
            end = gone(self._path)
        finally:
            self._finish(end)

    async def _keep(self, notice: dict[str, Any]) -> None:
        if len(self._notices) >= WAITING_NOTICES:
            self._room.clear()
            await self._room.wait()
        self._notices.append(notice)
        self._arrived.set()

    def _finish(self, end: PilegateError) -> None:
        self._end = end
        for answer in self._answers.values():
            if not answer.done():
                answer.set_exception(end)
        self._arrived.set()

    def _take_answer(self, message: dict[str, Any]) -> None:
        request_id = message["id"]
        if request_id is None:
            # Said before or besides any request: this user may not, too many clients, a bad line.
            raise error_from_json(message.get("error"))
        answer = self._answers.get(request_id) if isinstance(request_id, int) else None
        # Nobody waits any more for an answer that came after its time-out.
        if answer is not None and not answer.done():
            answer.set_result(message)


def _dropped(message: dict[str, Any], path: Path) -> TryLater:
    params = message.get("params")
    why = params.get("message") if isinstance(params, dict) else None
    return TryLater(f"guard at {path} dropped this connection: {why or 'no reason given'}")


def _read_notice(message: dict[str, Any]) -> Notification:
    method = message.get("method")
    try:
        params = Fields(message.get("params"), str(method))
        if method == Notice.FACT:
            return FactArrived(fact_from_json(message.get("params")))
        if method == Notice.OUTLETS:
            rows = params.array("outlets", MOST_VIEWS)
            views = (OutletView.from_json(row, f"outlets[{i}]") for i, row in enumerate(rows))
            return OutletsChanged(tuple(views))
    except CorrectInput as err:
        raise FixInstallation(
            f"guard sent what can't be read: {err}: are guard and this program of one version?"
        ) from None
    raise FixInstallation(
        f"guard sent {method!r}, not known here: are guard and this program of one version?"
    )
