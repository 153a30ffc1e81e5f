"""All plugs of one broker: their connections, their time, what they say."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from gateway.core.errors import TryLater
from simulators.mqtt.link import Link, open_link
from simulators.mqtt.message import Message, Outgoing
from simulators.mqtt.node import Node
from simulators.mqtt.places import MqttPlace
from simulators.world_clock import WorldClock

TICK_S = 0.1
"""How finely the plugs' time runs: PulseTime counts tenths of a second."""
TICK_PARTS = 10
"""Not all at once: commands that are to be stamped when they arrive would wait."""
FIRST_RETRY_S = 0.5
"""Until a plug was connected once, it tries this often: the broker may start after it."""


@dataclass(slots=True)
class _Member:
    """A node and its connection."""

    node: Node
    link: Link | None = None
    was_connected: bool = False
    is_told_away: bool = False


class MqttBus:
    """Connects every node of one broker, again and again. ``lock`` guards the world."""

    def __init__(
        self,
        place: MqttPlace,
        nodes: Sequence[Node],
        lock: AbstractContextManager[Any],
        clock: WorldClock,
        report: Callable[[dict[str, Any]], None],
    ) -> None:
        self.place = place
        self.heard = 0
        self.said = 0
        self._members = [_Member(node) for node in nodes]
        self._lock = lock
        self._clock = clock
        self._report = report
        self._password = place.password()
        self._tls = place.tls()

    async def run(self) -> None:
        """Keep all nodes connected, for ever."""
        async with asyncio.TaskGroup() as tasks:
            for member in self._members:
                tasks.create_task(self._keep(member), name=f"plug {member.node.name}")
            tasks.create_task(self._tick(), name=f"plugs of {self.place.id}")

    async def close(self) -> None:
        """Let every connection go, as if all plugs lost their supply at once."""
        for member in self._members:
            if member.link is not None:
                member.link.abort()
        await asyncio.sleep(0)

    def stats(self) -> dict[str, Any]:
        """Counters since the start."""
        connected = sum(self._is_connected(member) for member in self._members)
        return {
            "bus": self.place.id,
            "connected": connected,
            "heard": self.heard,
            "said": self.said,
        }

    def publish(self, message: Message) -> bool:
        """Say something that no plug of these said: whoever is connected lends the line."""
        for member in self._members:
            if member.link is not None and member.link.publish(message):
                return True
        return False

    # Connections

    def _is_connected(self, member: _Member) -> bool:
        return member.link is not None and not member.link.gone.is_set()

    async def _keep(self, member: _Member) -> None:
        node = member.node
        while True:
            while not node.is_reachable(self._clock.now_s()):
                await asyncio.sleep(TICK_S)
            before = member.link
            try:
                link = await self._open(member)
            except (OSError, TimeoutError, TryLater) as err:
                self._tell_away(member, f"{err}" or "no answer within 10 s")
                wait_s = node.reconnect_s if member.was_connected else FIRST_RETRY_S
                await asyncio.sleep(wait_s * random.uniform(0.8, 1.2))  # noqa: S311 - spreads load
                continue
            if before is not None:
                # Left half open when the plug fell silent; the broker has let it go by now.
                before.abort()
            await link.gone.wait()
            self._tell_away(member, "the connection is lost")
            await asyncio.sleep(node.reconnect_s * random.uniform(0.1, 1.0))  # noqa: S311 - as above

    async def _open(self, member: _Member) -> Link:
        node, place = member.node, self.place
        login = node.login
        if login.username is None and place.username is not None:
            login = replace(login, username=place.username, password=self._password)
        hear = partial(self._hear, member)
        link = await open_link(
            place.host, place.port, login, hear=hear, now_ns=self._clock.now_ns, tls=self._tls
        )
        member.link = link
        for message in node.old_messages():
            link.publish(replace(message, retain=True))
        link.subscribe(node.filters)
        with self._lock:
            outgoing = node.connected(self._clock.now_s())
        self._send(member, outgoing)
        member.was_connected, member.is_told_away = True, False
        self._report({"kind": "plug", "device": node.name, "state": "connected"})
        return link

    def _tell_away(self, member: _Member, detail: str) -> None:
        if not member.is_told_away:
            member.is_told_away = True
            record = {"kind": "plug", "device": member.node.name, "state": "away"}
            self._report({**record, "detail": detail})

    # Messages

    def _hear(self, member: _Member, message: Message, received_ns: int) -> None:
        self.heard += 1
        with self._lock:
            now_s = self._clock.at_s(received_ns)
            outgoing = member.node.receive(message, now_s, received_ns)
        self._send(member, outgoing)

    def _send(self, member: _Member, outgoing: list[Outgoing]) -> None:
        for out in outgoing:
            if out.delay_s > 0:
                loop = asyncio.get_running_loop()
                loop.call_later(out.delay_s, self._send_now, member, out)
            else:
                self._send_now(member, out)

    def _send_now(self, member: _Member, out: Outgoing) -> None:
        link = member.link
        if link is None or not link.publish(out.message, duplicate=out.is_duplicate):
            return
        self.said += 1
        for outlet in out.over:
            sent_ns = self._clock.now_ns()
            self._report({"kind": "over", "outlet": outlet, "mono_ns": sent_ns})

    async def _tick(self) -> None:
        while True:
            for part in range(TICK_PARTS):
                for member in self._members[part::TICK_PARTS]:
                    self._tick_one(member)
                await asyncio.sleep(TICK_S / TICK_PARTS)

    def _tick_one(self, member: _Member) -> None:
        now_s = self._clock.now_s()
        with self._lock:
            outgoing = member.node.tick(now_s)
            is_reachable = member.node.is_reachable(now_s)
        if is_reachable:
            self._send(member, outgoing)
        elif self._is_connected(member):
            assert member.link is not None
            member.link.freeze()
