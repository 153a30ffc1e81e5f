"""A program: connections that ask the API for all outlets, page after page, without a pause.

Speaks HTTP/1.1 by itself, so that the load is the API's work and not the client's.
Reads the token from the first line of its stdin, prints one JSON line a second, and ends
after ``--for`` seconds.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from dataclasses import dataclass, field
from urllib.parse import quote


@dataclass(slots=True)
class Tally:
    """What the flood did so far."""

    requests: int = 0
    listings: int = 0
    octets: int = 0
    statuses: dict[int, int] = field(default_factory=dict)
    broken: int = 0


async def _answer(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """Read one answer; gives its status and body."""
    head = await reader.readuntil(b"\r\n\r\n")
    status = int(head.split(b" ", 2)[1])
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"content-length":
            return status, await reader.readexactly(int(value))
    raise ConnectionError("an answer without Content-Length")


async def _list_outlets(host: str, port: int, token: str, tally: Tally) -> None:
    """List all outlets again and again on one connection."""
    reader, writer = await asyncio.open_connection(host, port, limit=1 << 22)
    try:
        cursor = ""
        while True:
            writer.write(
                f"GET /v1/outlets?limit=200{cursor} HTTP/1.1\r\nHost: {host}:{port}\r\n"
                f"Authorization: Bearer {token}\r\n\r\n".encode()
            )
            status, body = await _answer(reader)
            tally.requests += 1
            tally.octets += len(body)
            tally.statuses[status] = tally.statuses.get(status, 0) + 1
            following = json.loads(body).get("next") if status == 200 else None
            cursor = f"&cursor={quote(str(following))}" if following else ""
            if status != 200:
                await asyncio.sleep(0.05)
            elif not following:
                tally.listings += 1
    finally:
        writer.close()


async def _keep_listing(host: str, port: int, token: str, tally: Tally) -> None:
    """Connect anew when the API has closed the connection."""
    while True:
        try:
            await _list_outlets(host, port, token, tally)
        except (OSError, EOFError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            tally.broken += 1
            await asyncio.sleep(0.1)


async def _run(arguments: argparse.Namespace) -> None:
    tally = Tally()
    token = sys.stdin.readline().strip()
    flood = [
        asyncio.create_task(_keep_listing(arguments.host, arguments.port, token, tally))
        for _ in range(arguments.connections)
    ]
    began = time.monotonic()
    while (elapsed := time.monotonic() - began) < arguments.for_s:
        await asyncio.sleep(1.0)
        line = {
            "kind": "flood",
            "elapsed_s": round(elapsed + 1.0, 3),
            "requests": tally.requests,
            "listings": tally.listings,
            "octets": tally.octets,
            "statuses": tally.statuses,
            "broken": tally.broken,
        }
        print(json.dumps(line), flush=True)
    for task in flood:
        task.cancel()
    await asyncio.gather(*flood, return_exceptions=True)


def main() -> None:
    """Flood until the time is over."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--connections", type=int, default=50)
    parser.add_argument("--for", dest="for_s", type=float, default=120.0)
    asyncio.run(_run(parser.parse_args()))


if __name__ == "__main__":
    main()
