"""Switching on and waiting for what a sample shows."""

from __future__ import annotations

import asyncio
from pathlib import Path

from gateway.commands.failure import GuardNotReachable, Unsuccessful
from gateway.commands.show import event_detail
from gateway.core.errors import FixInstallation
from gateway.core.facts import Fact, FactKind
from gateway.link.client import FactArrived, GuardClient
from gateway.link.requests import HelloAnswer, Method, OnAnswer, OnRequest

_ENDS = {FactKind.LEASE_ENDED, FactKind.OUTLET_CUT, FactKind.REQUEST_REFUSED}


def switch_on(socket: Path, request: OnRequest, timeout_s: float) -> OnAnswer:
    """Ask for ON and wait until the outlet is on, or is said to wait for room on a circuit.

    Raises what the guard refuses, Unsuccessful when the outlet did not come on, and
    GuardNotReachable.
    """
    return asyncio.run(_switch_on(socket, request, timeout_s))


async def _switch_on(socket: Path, request: OnRequest, timeout_s: float) -> OnAnswer:
    async with await connect(socket) as client:
        seq = HelloAnswer.from_json(await client.call(Method.HELLO)).seq
        answer = OnAnswer.from_json(await client.call(Method.ON, **request.to_json()))
        if answer.waits_for is not None:
            return answer
        try:
            async with asyncio.timeout(timeout_s):
                fact = await _first_about(client, seq, answer.request_id)
        except TimeoutError:
            raise Unsuccessful(
                f"{request.outlet} was told to go on, and nothing shows it on after "
                f"{timeout_s:g} s: look at pilegate top"
            ) from None
    if fact.kind != FactKind.OUTLET_ON:
        raise Unsuccessful(_why_not(request.outlet, fact))
    return answer


async def connect(socket: Path, timeout_s: float = 5.0) -> GuardClient:
    """Connect to the guard. Raises GuardNotReachable when nobody listens, TryLater, NotAllowed."""
    try:
        return await GuardClient.connect(socket, timeout_s)
    except FixInstallation as error:
        raise GuardNotReachable(str(error)) from error


async def _first_about(client: GuardClient, seq: int, request_id: str) -> Fact:
    """Wait for the first fact after ``seq`` that decides the request."""
    async for notification in client.follow(facts_after=seq):
        if not isinstance(notification, FactArrived):
            continue
        fact = notification.fact
        about = fact.data.get("request_id") == request_id
        if about and (fact.kind == FactKind.OUTLET_ON or fact.kind in _ENDS):
            return fact
    raise AssertionError("GuardClient.follow ends by raising")


def _why_not(outlet: str, fact: Fact) -> str:
    detail = event_detail(fact)
    why = f"{fact.reason} ({detail})" if detail else fact.reason
    return f"{outlet} did not come on: {why}"
