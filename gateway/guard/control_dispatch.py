"""From a request to its answer. No socket in here.

Long answers are encoded a slice at a time with a turn of the loop between slices, and one
at a time, so that a cut-off waits for one slice at most.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, TypeVar, cast

from gateway.core.errors import PilegateError
from gateway.guard.control_service import GuardService, Soon
from gateway.link.messages import MOST_VIEWS, OutletView
from gateway.link.requests import (
    LimitsRequest,
    Method,
    OnRequest,
    RenewRequest,
    SnapshotRequest,
    TargetRequest,
    Verdict,
    read_nothing,
)
from gateway.link.rpc import (
    UNKNOWN_METHOD,
    BadRequest,
    Request,
    answer_line,
    dump,
    error_line,
    internal_error_line,
)

SLICE_VIEWS = 25
"""Views encoded in one turn of the loop: about half a millisecond on a small box."""
SLICE_ROWS = 100
SLICE_CHARACTERS = 65_536
LONGEST_METRICS = 1_000_000
"""Characters; what is beyond is left out, at the end of a line."""

T = TypeVar("T")
Handler = Callable[[object], Awaitable[bytes]]

log = logging.getLogger(__name__)


class Dispatcher:
    """Answers every method but ``follow``, which needs a connection."""

    def __init__(self, service: GuardService) -> None:
        self._service = service
        self.encoding = asyncio.Lock()
        """Held by whoever encodes slices."""
        self._handlers: dict[str, Handler] = {
            Method.HELLO: self._hello,
            Method.ON: self._on,
            Method.RENEW: self._renew,
            Method.OFF: self._target(service.off),
            Method.RESET: self._target(service.reset, reset=True),
            Method.LOCK: self._target(service.lock),
            Method.UNLOCK: self._target(service.unlock),
            Method.LIMITS: self._limits,
            Method.SNAPSHOT: self._snapshot,
            Method.BUSES: self._buses,
            Method.CIRCUITS: self._circuits,
            Method.INTERLOCKS: self._interlocks,
            Method.METRICS: self._metrics,
        }

    async def answer(self, request: Request, follow: Handler) -> bytes:
        """Give the line that answers a request. Never raises but CancelledError."""
        try:
            handler = self._handlers.get(request.method)
            if request.method == Method.FOLLOW:
                handler = follow
            if handler is None:
                known = ", ".join(Method)
                raise BadRequest(  # noqa: TRY301 - goes the way of every error
                    f"{request.method[:40]!r} is not a method: use one of {known}",
                    code=UNKNOWN_METHOD,
                    field="method",
                )
            return answer_line(request.id, await handler(request.params))
        except PilegateError as err:
            return error_line(request.id, err)
        except Exception:  # a fault of the guard must reach the log, not the client
            log.exception("control: %s failed", request.method[:40])
            return internal_error_line(request.id)

    async def _hello(self, params: object) -> bytes:
        read_nothing(params)
        return dump(self._service.hello().to_json())

    async def _on(self, params: object) -> bytes:
        return dump((await self._service.on(OnRequest.from_json(params))).to_json())

    async def _renew(self, params: object) -> bytes:
        answer = await _settled(self._service.renew(RenewRequest.from_json(params)))
        return dump(answer.to_json())

    def _target(
        self, act: Callable[[TargetRequest], Soon[Sequence[Verdict]]], *, reset: bool = False
    ) -> Handler:
        async def handle(params: object) -> bytes:
            verdicts = await _settled(act(TargetRequest.from_json(params, reset=reset)))
            return b'{"outlets":' + await self._rows(verdicts, Verdict.to_json) + b"}"

        return handle

    async def _limits(self, params: object) -> bytes:
        return dump(self._service.limits(LimitsRequest.from_json(params)))

    async def _snapshot(self, params: object) -> bytes:
        request = SnapshotRequest.from_json(params)
        async with self.encoding:
            slices, after, seq = await self._pages(request)
        views = b",".join(piece for piece in slices if piece)
        return b'{"outlets":[' + views + b'],"next":' + dump(after) + b',"seq":' + dump(seq) + b"}"

    async def _pages(self, request: SnapshotRequest) -> tuple[list[bytes], str | None, int]:
        """Encode a page in slices; give them, what comes next, and the last fact's number."""
        slices: list[bytes] = []
        left = min(request.limit, MOST_VIEWS)
        names = request.outlets
        after = request.after
        while True:
            if names is not None:
                part = replace(request, outlets=names[:SLICE_VIEWS])
                names = names[SLICE_VIEWS:]
            else:
                part = replace(request, after=after, limit=min(left, SLICE_VIEWS))
            page = self._service.snapshot(part)
            slices.append(views_json(page.outlets))
            left -= len(page.outlets)
            after = page.next
            if (names is None and (after is None or left <= 0)) or names == ():
                return slices, after, page.seq
            await asyncio.sleep(0)

    async def _buses(self, params: object) -> bytes:
        read_nothing(params)
        answer = self._service.buses()
        buses = await self._rows(answer.buses, lambda bus: bus.to_json())
        devices = await self._rows(answer.devices, lambda device: device.to_json())
        return b'{"buses":' + buses + b',"devices":' + devices + b"}"

    async def _circuits(self, params: object) -> bytes:
        read_nothing(params)
        answer = await self._service.circuits()
        rows = await self._rows(answer.circuits, lambda circuit: circuit.to_json())
        return b'{"circuits":' + rows + b"}"

    async def _interlocks(self, params: object) -> bytes:
        read_nothing(params)
        answer = self._service.interlocks()
        rows = await self._rows(answer.interlocks, lambda interlock: interlock.to_json())
        return b'{"interlocks":' + rows + b"}"

    async def _metrics(self, params: object) -> bytes:
        read_nothing(params)
        async with self.encoding:
            text = await self._service.metrics()
            if len(text) > LONGEST_METRICS:
                text = text[: text.rindex("\n", 0, LONGEST_METRICS) + 1]
            pieces = []
            for start in range(0, len(text), SLICE_CHARACTERS):
                pieces.append(dump(text[start : start + SLICE_CHARACTERS])[1:-1])
                await asyncio.sleep(0)
        return b'{"text":"' + b"".join(pieces) + b'"}'

    async def _rows(self, rows: Sequence[T], to_json: Callable[[T], dict[str, Any]]) -> bytes:
        async with self.encoding:
            pieces = []
            for start in range(0, len(rows), SLICE_ROWS):
                if start:
                    await asyncio.sleep(0)
                part = [to_json(row) for row in rows[start : start + SLICE_ROWS]]
                pieces.append(dump(part)[1:-1])
        return b"[" + b",".join(pieces) + b"]"


def views_json(views: Sequence[OutletView]) -> bytes:
    """Encode views, separated by commas, without the list's brackets.

    A view that JSON can't say (a value that is not a number) is left out and logged.
    """
    try:
        return dump([view.to_json() for view in views])[1:-1]
    except (ValueError, TypeError):
        return b",".join(_each_view(views))


def _each_view(views: Sequence[OutletView]) -> Iterator[bytes]:
    for view in views:
        try:
            yield dump(view.to_json())
        except (ValueError, TypeError) as err:
            log.error("control: outlet %s can't be shown: %s", view.outlet, err)  # noqa: TRY400 - the trace says nothing


async def _settled(answer: Soon[T]) -> T:
    if inspect.isawaitable(answer):
        return cast("T", await answer)
    return answer
