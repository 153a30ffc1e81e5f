"""Gives a scenario's commands at their times: by the guard's socket, or by the API."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from gateway.core.errors import PilegateError, Refused
from gateway.demo.api_client import ApiClient
from gateway.link.client import GuardClient
from gateway.link.messages import Outcome, Target, TargetKind
from gateway.link.requests import (
    Method,
    OnRequest,
    RenewRequest,
    SnapshotPage,
    TargetRequest,
    verdicts_from_json,
)
from simulators.scenario import CommandStep

ACTOR = "scenario"
VERDICT_S = 5
"""How long the API may wait for a verdict before it answers without one."""


@dataclass(frozen=True, slots=True)
class Commander:
    """Who gives the commands."""

    guard: GuardClient
    api: ApiClient
    site: str
    """Id of the site: scenarios say ``site: demo`` or any other word for all of it."""
    on_cause: Callable[[CommandStep, int], None]
    """Called with the step and the monotonic ns, just before it is sent."""
    on_wrong: Callable[[str], None]
    """Called with a line about a command that went otherwise than the scenario says."""

    async def play(self, steps: Iterable[CommandStep], zero_ns: int) -> None:
        """Give every command at its time; a slow answer delays none of the others."""
        async with asyncio.TaskGroup() as tasks:
            for step in sorted(steps, key=lambda each: each.at_s):
                due_ns = zero_ns + round(step.at_s * 1e9)
                await asyncio.sleep(max(0, due_ns - time.monotonic_ns()) / 1e9)
                self.on_cause(step, time.monotonic_ns())
                tasks.create_task(self._give(step), name=f"command {step.id or step.command}")

    async def _give(self, step: CommandStep) -> None:
        """Give one command and compare its answer with what the scenario says."""
        try:
            await (self._by_api(step) if step.via == "api" else self._by_socket(step))
        except PilegateError as error:
            code = error.code if isinstance(error, Refused) else type(error).__name__
            if step.refused != code:
                self.on_wrong(f"{_name(step)} was refused ({code}): {error}")
        else:
            if step.refused is not None:
                self.on_wrong(f"{_name(step)} was not refused; expected {step.refused}")

    async def _by_socket(self, step: CommandStep) -> None:
        match step.command:
            case "on":
                await self.guard.call(Method.ON, **_on(step).to_json())
            case "renew":
                request = RenewRequest(
                    lease_id=await self._lease(step), for_s=step.for_s or 0, actor=ACTOR
                )
                await self.guard.call(Method.RENEW, **request.to_json())
            case command:
                request_ = TargetRequest(
                    target=self._target(step),
                    actor=ACTOR,
                    reason=_reason(step),
                    request_id=str(uuid.uuid4()),
                    on_site=step.on_site or False,
                )
                answer = await self.guard.call(Method(command), **request_.to_json())
                _raise_refusal(answer)

    async def _lease(self, step: CommandStep) -> str:
        answer = await self.guard.call(Method.SNAPSHOT, outlets=[step.outlet])
        lease = SnapshotPage.from_json(answer).outlets[0].lease
        if lease is None:
            raise Refused(f"{step.outlet} has no lease to renew", code="not_on")
        return lease.id

    def _target(self, step: CommandStep) -> Target:
        for kind, name in (
            (TargetKind.OUTLET, step.outlet),
            (TargetKind.PILE, step.pile),
            (TargetKind.STATION, step.station),
            (TargetKind.CIRCUIT, step.circuit),
        ):
            if name is not None:
                return Target(kind, name)
        return Target(TargetKind.SITE, self.site)

    async def _by_api(self, step: CommandStep) -> None:
        """Ask for the verdict with the answer, so that a refusal by the guard is seen here."""
        body: dict[str, Any] = {
            "action": step.command,
            "target": self._target(step).to_json(),
            "reason": _reason(step),
        }
        if step.command == "on":
            lease = {"for_s": step.for_s, "energy_wh": step.energy_wh, "power_w": step.power_w}
            body["lease"] = {key: value for key, value in lease.items() if value is not None}
        if step.on_site:
            body["on_site"] = True
        path = f"/v1/commands?wait={VERDICT_S}"
        answer = await self.api.request(
            "POST", path, body, key=str(uuid.uuid4()), timeout_s=VERDICT_S + 5
        )
        command = answer.body if isinstance(answer.body, dict) else {}
        if answer.status >= 400 or command.get("state") == "refused":
            code = str(command.get("code") or answer.status)
            raise Refused(str(command.get("message") or answer.text), code=code)


def _on(step: CommandStep) -> OnRequest:
    assert step.outlet is not None
    assert step.for_s is not None
    return OnRequest(
        outlet=step.outlet,
        for_s=step.for_s,
        actor=ACTOR,
        reason=_reason(step),
        energy_wh=step.energy_wh,
        power_w=step.power_w,
        request_id=str(uuid.uuid4()),
    )


def _raise_refusal(answer: dict[str, Any]) -> None:
    """Raise Refused when not one outlet of the target did it. Other answers are as good as done."""
    verdicts = verdicts_from_json(answer)
    refused = [verdict for verdict in verdicts if verdict.result is Outcome.REFUSED]
    if refused and len(refused) == len(verdicts):
        raise Refused(refused[0].message or "no reason given", code="refused")


def _reason(step: CommandStep) -> str:
    return f"step {step.id}" if step.id else "scenario"


def _name(step: CommandStep) -> str:
    target = step.outlet or step.pile or step.station or step.circuit or "site"
    return f"{step.command} {target} at {step.at_s:g} s" + (f" ({step.id})" if step.id else "")
