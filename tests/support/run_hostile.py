"""What a broken or malicious client sends to the guard's socket and to the API."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

DEEP = 100_000
ANSWERED_WITHIN_S = 20.0


def _ask(method: object, params: object = None, **more: object) -> bytes:
    request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params, **more}
    return json.dumps(request).encode() + b"\n"


_TARGET = {"kind": "outlet", "id": "n1-1"}
_WHO = {"actor": "x", "reason": "x"}
_ON = {"outlet": "n1-9", "for_s": 60, **_WHO}

LINES: Sequence[bytes] = (
    b"\n",
    b"hello\n",
    b"\x00\xff\xfe\x80 garbage \n",
    bytes(range(256)).replace(b"\n", b"") + b"\n",
    b"[]\n",
    b"null\n",
    b"{}\n",
    b"[" * 60_000 + b"\n",
    b'{"a":' * 10_000 + b"1" + b"}" * 10_000 + b"\n",
    b'{"jsonrpc":"2.0","id":1,"method":"on","method":"off","params":{}}\n',
    b'{"jsonrpc":"2.0","id":1,"method":"on","params":{"for_s":NaN}}\n',
    b'{"jsonrpc":"2.0","id":' + b"9" * 5_000 + b',"method":"hello","params":{}}\n',
    _ask("no-such-method"),
    _ask("__init__"),
    _ask(7),
    _ask("on"),
    _ask("on", []),
    _ask("on", {**_ON, "outlet": "n1-1\n"}),
    _ask("on", {**_ON, "outlet": "n" * 60_000}),
    _ask("on", {**_ON, "outlet": ["n1-1"]}),
    _ask("on", {**_ON, "outlet": "no-such"}),
    _ask("on", {**_ON, "for_s": "60"}),
    _ask("on", {**_ON, "for_s": -1}),
    _ask("on", {**_ON, "for_s": 10**300}),
    _ask("on", {**_ON, "for_s": True}),
    _ask("on", {**_ON, "for_s": None}),
    _ask("on", {**_ON, "power_w": {"$gt": 0}}),
    _ask("on", {**_ON, "energy_wh": 0}),
    _ask("on", {**_ON, "actor": ""}),
    _ask("on", {**_ON, "actor": "\ud800"}),
    _ask("on", {**_ON, "reason": "x" * 5_000}),
    _ask("on", {**_ON, "request_id": " "}),
    _ask("on", {**_ON, "unknown": 1}),
    _ask("off", {"target": "n1-1", **_WHO}),
    _ask("off", {"target": {"kind": "planet", "id": "n1-1"}, **_WHO}),
    _ask("off", {"target": {"kind": "outlet"}, **_WHO}),
    _ask("off", {"target": {**_TARGET, "x": 1}, **_WHO}),
    _ask("reset", {"target": _TARGET, "on_site": "yes", **_WHO}),
    _ask("renew", {"lease_id": 5, "for_s": 60, "actor": "x"}),
    _ask("snapshot", {"limit": 10**9}),
    _ask("snapshot", {"outlets": [["n1-1"]]}),
    _ask("snapshot", {"after": "x", "outlets": []}),
    _ask("follow", {"facts_after": -1}),
    _ask("follow", {"facts_after": 10**15}),
    _ask("follow", {"views": "all"}),
    _ask("limits", {"outlet": None}),
    _ask("hello", {}, surprise=True),
    _ask("hello", {}, id={"a": 1}),
    b"x" * 70_000 + b"\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 500 + b"\n",
    b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
)
"""Each line gets an error, and is the first thing on its connection."""


async def send_line(socket: Path, line: bytes) -> list[dict[str, Any]]:
    """Send one line on a connection of its own, say no more, and give all that is answered."""
    reader, writer = await asyncio.open_unix_connection(socket)
    try:
        with suppress(ConnectionError):
            writer.write(line)
            await writer.drain()
            writer.write_eof()
        async with asyncio.timeout(ANSWERED_WITHIN_S):
            answered = await reader.read()
    finally:
        writer.transport.abort()
    return [json.loads(text) for text in answered.splitlines()]


async def flood(socket: Path, data: bytes, times: int) -> None:
    """Send without reading until the other end has had enough."""
    with suppress(OSError):
        _, writer = await asyncio.open_unix_connection(socket)
        try:
            for _ in range(times):
                writer.write(data)
                async with asyncio.timeout(ANSWERED_WITHIN_S):
                    await writer.drain()
        except TimeoutError:
            return
        finally:
            writer.transport.abort()


class Silent:
    """Many connections that send a byte now and then, or nothing."""

    def __init__(self) -> None:
        self._writers: list[asyncio.StreamWriter] = []

    async def open(self, socket: Path, count: int) -> None:
        for _ in range(count):
            with suppress(OSError):
                _, writer = await asyncio.open_unix_connection(socket)
                self._writers.append(writer)
        self.dribble(b'{"jsonrpc"')

    async def open_tcp(self, host: str, port: int, count: int) -> None:
        for _ in range(count):
            with suppress(OSError):
                _, writer = await asyncio.open_connection(host, port)
                self._writers.append(writer)
        self.dribble(b"POST /v1/commands HTTP/1.1\r\n")

    def dribble(self, data: bytes) -> None:
        for writer in self._writers:
            writer.write(data)

    def close(self) -> None:
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()


@dataclass(frozen=True, slots=True)
class Bad:
    """A request to the API, and the field that its answer must name (None: no body's field)."""

    content: bytes
    field: str | None = None
    method: str = "POST"
    path: str = "/v1/commands"
    kind: str = "application/json"


def _body(field: str, **change: object) -> Bad:
    good: dict[str, object] = {
        "action": "on",
        "target": {"kind": "outlet", "id": "n1-9"},
        "lease": {"for_s": 60},
        "reason": "x",
    }
    return Bad(json.dumps({**good, **change}).encode(), field)


REQUESTS: Sequence[Bad] = (
    Bad(b""),
    Bad(b"{"),
    Bad(b"\xff\xfe\x00"),
    Bad(b"[" * 60_000),
    Bad(b'{"a":' * 10_000 + b"1" + b"}" * 10_000),
    Bad(b"[" * DEEP + b"]" * DEEP),
    Bad(b" " * 1_000_000),
    Bad(b"null"),
    Bad(b"[]"),
    Bad(b'"on"'),
    Bad(b"1e999"),
    Bad(b"{}", "action"),
    Bad(b"a=b", kind="application/x-www-form-urlencoded"),
    _body("action", action="explode"),
    _body("action", action=7),
    _body("target", target="n1-9"),
    _body("target.kind", target={"kind": "planet", "id": "n1-9"}),
    _body("target.id", target={"kind": "outlet", "id": 7}),
    _body("target.id", target={"kind": "outlet", "id": "../etc"}),
    _body("target.x", target={"kind": "outlet", "id": "n1-9", "x": 1}),
    _body("lease", lease=[]),
    _body("lease", lease=None),
    _body("lease.for_s", lease={"for_s": 0}),
    _body("lease.for_s", lease={"for_s": "for ever"}),
    _body("lease.for_s", lease={"for_s": 10**400}),
    _body("lease.energy_wh", lease={"for_s": 60, "energy_wh": -1}),
    _body("lease.power_w", lease={"for_s": 60, "power_w": []}),
    _body("reason", reason=""),
    _body("reason", reason="x" * 5_000),
    _body("reason", reason="a\nb"),
    _body("reason", reason="\u0000"),
    _body("on_site", on_site="perhaps"),
    _body("surprise", surprise=1),
    Bad(b"", method="GET", path="/v1/outlets?limit=-5"),
    Bad(b"", method="GET", path="/v1/outlets?limit=99999999999999999999999"),
    Bad(b"", method="GET", path="/v1/outlets?colour=red"),
    Bad(b"", method="GET", path="/v1/outlets/%00"),
    Bad(b"", method="GET", path="/v1/outlets/%ff%fe"),
    Bad(b"", method="GET", path="/v1/outlets/" + "n" * 5_000),
    Bad(b"", method="GET", path="/v1/outlets/n1-1/minutes?from=yesterday"),
    Bad(b"", method="GET", path="/v1/events?after=-1"),
    Bad(b"", method="GET", path="/v1/events?kind=no.such"),
    Bad(b"", method="GET", path="/v1/events/stream?after=x"),
    Bad(b"", method="GET", path="/v1/commands/not-an-id"),
    Bad(b"", method="GET", path="/v1/commands?state=dead"),
    Bad(b"", method="DELETE", path="/v1/commands"),
)
