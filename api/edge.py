"""What every request passes before it is understood: bounds, who is calling, how long it took.

The size of a body, the time it may take to arrive and the number of requests at a time are
bounded, whoever sends them; nobody's body is read before it is known whose it is.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from dataclasses import dataclass

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.dependencies import CALLER, Services
from api.problems import of_error, problem
from gateway.core.errors import PilegateError

MOST_BODY_BYTES = 64 * 1024
BODY_WITHIN_S = 10.0
"""How long a body may take to arrive."""

MOST_REQUESTS = 200
"""Requests that are worked on at the same time; streams have a bound of their own."""

STREAM_PATH = "/v1/events/stream"

UNCOUNTED = (STREAM_PATH, "/healthz")
"""Streams have a bound of their own; and a process that is busy lives."""

WITH_CALLER = ("/v1", "/metrics")
"""Where it counts who calls. Elsewhere no token is looked up: the rest needs no database."""

_NOT_FOUND = "(none)"


@dataclass(frozen=True, slots=True)
class Headers:
    """The few headers that count here."""

    authorization: str
    content_type: str
    content_encoding: str
    content_length: str


class Edge:
    """The outermost layer of the API."""

    def __init__(self, app: ASGIApp, services: Services) -> None:
        self._app = app
        self._services = services
        self._under_way = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            if scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": 1008})
            return
        scope = _as_get(scope)
        started_s = time.perf_counter()

        async def timed(message: Message) -> None:
            if message["type"] == "http.response.start":
                seconds = time.perf_counter() - started_s
                self._services.metrics.request(
                    _route(scope), _method(scope), message["status"], seconds
                )
                message = {**message, "headers": _uncached(message["headers"])}
            await send(message)

        counted = scope["path"] not in UNCOUNTED
        self._under_way += counted
        try:
            if self._under_way > MOST_REQUESTS:
                detail = f"{MOST_REQUESTS} requests are worked on: try again"
                await problem(503, detail, retry_after_s=1.0)(scope, receive, timed)
                return
            await self._admit(scope, receive, timed)
        finally:
            self._under_way -= counted

    async def _admit(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = _headers(scope)
        caller = None
        if scope["path"].startswith(WITH_CALLER):
            try:
                caller = await self._services.tokens.caller(_token(headers))
            except PilegateError as err:
                await of_error(err)(scope, receive, send)
                return
        scope[CALLER] = caller
        if caller is None and scope["path"].startswith("/v1"):
            detail = "send the header: Authorization: Bearer pg_..."
            if headers.authorization:
                detail = "this token is not known, or over: ask for a new one"
            challenge = {"WWW-Authenticate": 'Bearer realm="pilegate"'}
            await problem(401, detail, headers=challenge)(scope, receive, send)
            return
        body_headers = None if scope["method"] == "GET" else headers
        await self._app(scope, _bounded(receive, body_headers), send)


def _as_get(scope: Scope) -> Scope:
    """Let a HEAD be answered as the GET it stands for (RFC 9110, 9.3.2).

    The server leaves the body out by the request that it has seen. A stream has no end to wait
    for, so there is no HEAD of it.
    """
    if scope["method"] == "HEAD" and scope["path"] != STREAM_PATH:
        return {**scope, "method": "GET"}
    return scope


def _require_fit(headers: Headers) -> None:
    """Refuse a body that is not even read. Raises HTTPException."""
    length = headers.content_length
    if length.isdecimal() and int(length) > MOST_BODY_BYTES:
        raise HTTPException(413, f"the body has more than {MOST_BODY_BYTES} bytes")
    if headers.content_encoding not in ("", "identity"):
        raise HTTPException(415, "send the body without Content-Encoding")
    kind = headers.content_type.partition(";")[0].strip().lower()
    if kind != "application/json":
        raise HTTPException(415, "send the body as application/json")


def _bounded(receive: Receive, headers: Headers | None) -> Receive:
    """Bound how much arrives, and how long that takes; refuse what is no JSON by its headers.

    Only when somebody reads it: a path that is nowhere, or takes no such method, says so
    whatever body comes along. A GET has none (``headers`` is None).
    """
    received = 0
    ended = False
    by_s = time.monotonic() + BODY_WITHIN_S

    async def bounded() -> Message:
        nonlocal received, ended
        if ended:
            return await receive()  # now it only tells when the client has gone
        if headers is not None and not received:
            _require_fit(headers)
        try:
            async with asyncio.timeout(by_s - time.monotonic()):
                message = await receive()
        except TimeoutError:
            raise HTTPException(
                408, f"the body did not arrive within {BODY_WITHIN_S:g} s"
            ) from None
        received += len(message.get("body", b""))
        ended = message["type"] != "http.request" or not message.get("more_body", False)
        if received > MOST_BODY_BYTES:
            raise HTTPException(413, f"the body has more than {MOST_BODY_BYTES} bytes")
        return message

    return bounded


def _headers(scope: Scope) -> Headers:
    found = {name: value for name, value in scope["headers"] if name in _WANTED}

    def text(name: bytes) -> str:
        return str(found.get(name, b"").decode("latin-1"))

    return Headers(*(text(name) for name in _WANTED))


_WANTED = (b"authorization", b"content-type", b"content-encoding", b"content-length")


def _uncached(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Let nothing on the way keep an answer: it is of now, and for this caller."""
    return [*headers, (b"cache-control", b"no-store")]


def _token(headers: Headers) -> str:
    scheme, _, token = headers.authorization.partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def _route(scope: Scope) -> str:
    """Name the route by its template: what clients invent must not become labels."""
    return str(getattr(scope.get("route"), "path", _NOT_FOUND))


def _method(scope: Scope) -> str:
    method = str(scope["method"])
    return method if method in ("GET", "POST", "HEAD", "OPTIONS", "PUT", "DELETE") else "other"
