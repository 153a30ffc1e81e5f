"""A small HTTP/1.1 client on asyncio streams: what the demonstration asks of the API."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import Any

from gateway.core.errors import FixInstallation

LONGEST_ANSWER = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Answer:
    """Status and JSON body (None when it is empty or something else)."""

    status: int
    body: Any

    @property
    def text(self) -> str:
        """Say in a few words what a problem document (RFC 9457) holds."""
        if isinstance(self.body, dict):
            return str(self.body.get("detail") or self.body.get("title") or self.body)
        return f"status {self.status}"


class ApiClient:
    """One connection per request: few are made, and none can disturb the next."""

    def __init__(self, host: str, port: int, token: str = "") -> None:
        self._host = host
        self._port = port
        self._token = token

    @property
    def url(self) -> str:
        return f"http://{self._host}:{self._port}"

    async def request(
        self,
        method: str,
        path: str,
        body: dict[str, Any] | None = None,
        *,
        key: str = "",
        timeout_s: float = 10.0,
    ) -> Answer:
        """Send one request and read its answer. Raises FixInstallation without one in time."""
        where = f"{self.url}{path}"
        try:
            async with asyncio.timeout(timeout_s):
                return await self._exchange(method, path, body, key)
        except TimeoutError as error:
            raise FixInstallation(f"{where}: no answer within {timeout_s:g} s") from error
        except (OSError, EOFError, ValueError, asyncio.LimitOverrunError) as error:
            raise FixInstallation(f"{where}: {error}") from error

    async def _exchange(
        self, method: str, path: str, body: dict[str, Any] | None, key: str
    ) -> Answer:
        payload = b"" if body is None else json.dumps(body).encode()
        headers = [
            f"{method} {path} HTTP/1.1",
            f"Host: {self._host}:{self._port}",
            "Connection: close",
            "Accept: application/json",
            f"Content-Length: {len(payload)}",
        ]
        if payload:
            headers.append("Content-Type: application/json")
        if self._token:
            headers.append(f"Authorization: Bearer {self._token}")
        if key:
            headers.append(f"Idempotency-Key: {key}")
        reader, writer = await asyncio.open_connection(self._host, self._port)
        try:
            writer.write("\r\n".join([*headers, "", ""]).encode() + payload)
            await writer.drain()
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            content = await reader.read(LONGEST_ANSWER)
            while more := await reader.read(LONGEST_ANSWER):
                content += more
                if len(content) > LONGEST_ANSWER:
                    raise ValueError("the answer is too long")
        finally:
            writer.close()
        return _answer(head, content)


def _answer(head: str, content: bytes) -> Answer:
    status_line, *fields = head.split("\r\n")
    status = int(status_line.split(" ", 2)[1])
    if any(field.lower().replace(" ", "") == "transfer-encoding:chunked" for field in fields):
        content = _dechunk(content)
    try:
        body = json.loads(content) if content else None
    except ValueError:
        body = None
    return Answer(status, body)


def _dechunk(content: bytes) -> bytes:
    """Join the chunks of RFC 9112, 7.1."""
    joined = b""
    while content:
        size_text, _, rest = content.partition(b"\r\n")
        size = int(size_text.split(b";")[0], 16)
        if size == 0:
            break
        joined += rest[:size]
        content = rest[size + 2 :]
    return joined
