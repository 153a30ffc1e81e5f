"""People, programs and mishaps at random, repeatable by a seed; and what they were told."""

from __future__ import annotations

import asyncio
import random
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from gateway.core.errors import PilegateError
from gateway.link.requests import Method
from tests.support.run_stage import Stage

AT_ONCE = 12
SHORTEST_PAUSE_S, LONGEST_PAUSE_S = 0.01, 0.2
OVERLOAD_W = 3_000
LINK_FAULTS = ("silent", "lost", "late", "corrupt", "truncated", "wrong_unit", "babble")

Body = dict[str, Any]


@dataclass(slots=True)
class Told:
    """What was acknowledged, and what got no answer."""

    leases: dict[str, str] = field(default_factory=dict)
    """Request id of each ``on`` that the socket granted, and its outlet."""
    commands: dict[str, Body] = field(default_factory=dict)
    """Id of each command that the API took, and its body."""
    unanswered: list[tuple[str, Body]] = field(default_factory=list)
    """Idempotency key and body of those whose answer will never come."""
    keys: dict[str, str] = field(default_factory=dict)
    """Idempotency key to the command it made."""
    broken: list[str] = field(default_factory=list)
    """What must never be answered: a 5xx other than 503."""
    made: Counter[str] = field(default_factory=Counter)


class Traffic:
    """Gives commands by socket and by API and makes mishaps, until cancelled."""

    def __init__(self, stage: Stage, outlets: list[str], devices: list[str], seed: int) -> None:
        self.told = Told()
        self._stage = stage
        self._outlets = outlets
        self._devices = devices
        self._chance = random.Random(seed)
        self._kinds: list[tuple[float, Callable[[], Awaitable[None]]]] = [
            (8, self._on_by_socket),
            (8, self._on_by_api),
            (3, self._off_by_socket),
            (3, self._off_by_api),
            (4, self._reset),
            (1, self._lock),
            (3, self._unlock),
            (5, self._overload),
            (2, self._pull),
            (1, self._weld),
            (1, self._break_link),
            (0.2, self._surge),
        ]

    async def run(self) -> None:
        """Make one thing after the other; a slow answer delays none of the others."""
        weights, kinds = zip(*self._kinds, strict=True)
        room = asyncio.Semaphore(AT_ONCE)
        async with asyncio.TaskGroup() as tasks:
            while True:
                await room.acquire()
                kind = self._chance.choices(kinds, weights)[0]
                task = tasks.create_task(self._make(kind))
                task.add_done_callback(lambda _: room.release())
                await asyncio.sleep(self._chance.uniform(SHORTEST_PAUSE_S, LONGEST_PAUSE_S))

    async def _make(self, kind: Callable[[], Awaitable[None]]) -> None:
        self.told.made[kind.__name__.strip("_")] += 1
        try:
            await kind()
        except PilegateError as error:
            self.told.made[type(error).__name__] += 1

    # By socket

    async def _on_by_socket(self) -> None:
        outlet, request_id = self._outlet(), str(uuid.UUID(int=self._chance.getrandbits(128)))
        await self._ask(Method.ON, outlet=outlet, for_s=self._time_s(), request_id=request_id)
        self.told.leases[request_id] = outlet

    async def _off_by_socket(self) -> None:
        await self._ask(Method.OFF, target={"kind": "outlet", "id": self._outlet()})

    async def _reset(self) -> None:
        target = {"kind": "outlet", "id": self._outlet()}
        if self._chance.random() < 0.5:
            await self._ask(Method.RESET, target=target, on_site=True)
        else:
            await self._post({"action": "reset", "target": target, "on_site": True})

    async def _lock(self) -> None:
        await self._either("lock")

    async def _unlock(self) -> None:
        await self._either("unlock")

    async def _either(self, action: str) -> None:
        target = {"kind": "outlet", "id": self._outlet()}
        if self._chance.random() < 0.5:
            await self._ask(action, target=target)
        else:
            await self._post({"action": action, "target": target})

    async def _ask(self, method: str, **params: object) -> None:
        await self._stage.call(method, actor="traffic", reason="traffic", **params)

    # By API

    async def _on_by_api(self) -> None:
        kind, name = "outlet", self._outlet()
        if self._chance.random() < 0.1:
            kind, name = "pile", name.partition("-")[0]
        lease = {"for_s": self._time_s()}
        await self._post({"action": "on", "target": {"kind": kind, "id": name}, "lease": lease})

    async def _off_by_api(self) -> None:
        await self._post({"action": "off", "target": {"kind": "outlet", "id": self._outlet()}})

    async def _post(self, body: Body) -> None:
        key = str(uuid.UUID(int=self._chance.getrandbits(128)))
        await self.post_once(
            key, {**body, "reason": "traffic"}, self._chance.choice(["", "?wait=2"])
        )

    async def post_once(self, key: str, body: Body, query: str = "") -> None:
        """Give a command and keep what was answered."""
        try:
            answer = await self._stage.api.request("POST", f"/v1/commands{query}", body, key=key)
        except PilegateError:
            self.told.unanswered.append((key, body))
            raise
        if answer.status in (200, 202):
            command = answer.body["id"]
            self.told.commands[command] = body
            if self.told.keys.setdefault(key, command) != command:
                self.told.broken.append(f"key {key} made {self.told.keys[key]} and {command}")
        elif answer.status >= 500 and answer.status != 503:
            self.told.broken.append(f"{answer.status} {answer.text} to {body}")
        else:
            self.told.made[f"status {answer.status}"] += 1

    # Mishaps

    async def _overload(self) -> None:
        self._stage.say(load_step=self._outlet(), power_w=OVERLOAD_W, for_s=2.0)

    async def _pull(self) -> None:
        outlet = self._outlet()
        self._stage.say(unplug=outlet)
        await asyncio.sleep(1.0)
        self._stage.say(plug=outlet, load="bike")

    async def _weld(self) -> None:
        self._stage.say(fault="welded", outlet=self._outlet(), for_s=3.0)

    async def _break_link(self) -> None:
        fault, device = self._chance.choice(LINK_FAULTS), self._chance.choice(self._devices)
        self._stage.say(fault=fault, device=device, share=0.3, for_s=2.0)

    async def _surge(self) -> None:
        """Cut everything that is on, with latches that are released by themselves."""
        self._stage.say(mains={"voltage_v": 290}, for_s=2.0)

    def _outlet(self) -> str:
        return self._chance.choice(self._outlets)

    def _time_s(self) -> float:
        return self._chance.choice([1.0, 3.0, 60.0, 600.0])
