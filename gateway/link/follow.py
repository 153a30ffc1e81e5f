"""Following the guard for ever: over its restarts, without a gap and without a duplicate."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path

from gateway.core.errors import PilegateError
from gateway.link.client import FactArrived, GuardClient, Notification
from gateway.link.requests import HelloAnswer, Method

FIRST_WAIT_S = 0.2
LONGEST_WAIT_S = 10.0


@dataclass(frozen=True, slots=True)
class LinkUp:
    """Connected; what follows comes from this guard."""

    guard: HelloAnswer


@dataclass(frozen=True, slots=True)
class LinkDown:
    """Not connected, and why; it is tried again without being asked."""

    error: PilegateError


FollowEvent = LinkUp | LinkDown | Notification


def wait_s(failures: int, *, jitter: float) -> float:
    """Give the wait before the next try: doubling, capped, with ``jitter`` from 0 to 1.

    ``failures`` counts from 1 since something last worked.
    """
    longest = min(FIRST_WAIT_S * 2.0 ** min(failures - 1, 30), LONGEST_WAIT_S)
    return longest * (0.5 + 0.5 * jitter)


async def follow_for_ever(
    path: Path, *, facts_after: int | None = None, views: bool = False
) -> AsyncGenerator[FollowEvent, None]:
    """Follow the guard at ``path``; connect again whenever it goes.

    Gives LinkUp after each connection, LinkDown after each failure, and in between what
    the guard sends. Facts go on after the last one given (without ``facts_after``: after
    the first connection's present), so that a restart leaves no gap. Never raises
    PilegateError.
    """
    failures = 0
    loop = asyncio.get_running_loop()
    while True:
        started_s = loop.time()
        try:
            async with await GuardClient.connect(path) as client:
                guard = HelloAnswer.from_json(await client.call(Method.HELLO))
                if facts_after is None:
                    facts_after = guard.seq
                yield LinkUp(guard)
                notices = client.follow(facts_after=facts_after, views=views)
                async with aclosing(notices):
                    async for notice in notices:
                        if isinstance(notice, FactArrived):
                            facts_after = notice.fact.seq
                        yield notice
        except PilegateError as err:
            # A guard that takes the connection and drops it at once is waited for as well.
            failures = 1 if loop.time() - started_s > LONGEST_WAIT_S else failures + 1
            pause_s = wait_s(failures, jitter=random.random())  # noqa: S311 - spreads load
            yield LinkDown(err)
            await asyncio.sleep(pause_s)
