"""What connects to a broker: one plug, or a bridge with many behind it."""

from __future__ import annotations

from typing import Protocol

from simulators.mqtt.message import Message, Outgoing
from simulators.mqtt.packets import Login
from simulators.mqtt.plug import Plug


class Node(Protocol):
    """One client of a broker. Pure; times in seconds that never go back."""

    name: str

    @property
    def login(self) -> Login:
        """How it logs in."""

    @property
    def filters(self) -> list[tuple[str, int]]:
        """What it subscribes to."""

    @property
    def reconnect_s(self) -> float:
        """How long it waits before it tries again."""

    def is_reachable(self, now_s: float) -> bool:
        """Say whether it has supply and radio."""

    def old_messages(self) -> list[Message]:
        """Say what the broker is to keep of it from last year."""

    def connected(self, now_s: float) -> list[Outgoing]:
        """Say what is published on a new connection."""

    def receive(self, message: Message, now_s: float, received_ns: int) -> list[Outgoing]:
        """Take what the broker delivers."""

    def tick(self, now_s: float) -> list[Outgoing]:
        """Live up to ``now_s``."""


class PlugNode:
    """A plug with a radio of its own."""

    def __init__(self, plug: Plug) -> None:
        self.name = plug.name
        self._plug = plug
        self._has_told_old = False

    @property
    def login(self) -> Login:
        plug = self._plug
        return Login(
            client_id=plug.client_id,
            keepalive_s=plug.keepalive_s,
            will=plug.will,
            username=plug.settings.username,
            password=plug.settings.password,
        )

    @property
    def filters(self) -> list[tuple[str, int]]:
        return self._plug.filters

    @property
    def reconnect_s(self) -> float:
        return self._plug.reconnect_s

    def is_reachable(self, now_s: float) -> bool:
        return self._plug.is_reachable(now_s)

    def old_messages(self) -> list[Message]:
        if self._has_told_old or not self._plug.settings.old_retained:
            return []
        self._has_told_old = True
        return self._plug.old_messages()

    def connected(self, now_s: float) -> list[Outgoing]:
        return self._plug.connected(now_s)

    def receive(self, message: Message, now_s: float, received_ns: int) -> list[Outgoing]:
        return self._plug.receive(message, now_s, received_ns)

    def tick(self, now_s: float) -> list[Outgoing]:
        return self._plug.tick(now_s)
