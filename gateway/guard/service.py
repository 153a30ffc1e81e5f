"""The guard as the control socket sees it."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from gateway.guard.commands import Commands
from gateway.guard.views import BusFigures, Views
from gateway.link.circuits import CircuitView
from gateway.link.interlocks import InterlockView
from gateway.link.messages import OutletView
from gateway.link.requests import (
    BusesAnswer,
    CircuitsAnswer,
    HelloAnswer,
    InterlocksAnswer,
    LimitsRequest,
    OnAnswer,
    OnRequest,
    RenewAnswer,
    RenewRequest,
    SnapshotPage,
    SnapshotRequest,
    TargetRequest,
    Verdict,
)


class Service:
    """Hands every request to the room that answers it (``control_service.GuardService``)."""

    def __init__(
        self,
        commands: Commands,
        views: Views,
        drivers: Sequence[BusFigures],
        *,
        hello: Callable[[], tuple[str, str, str, int]],
        metrics: Callable[[], Awaitable[str]],
        circuits: Callable[[], Awaitable[tuple[CircuitView, ...]]],
        interlocks: Callable[[], tuple[InterlockView, ...]] = tuple,
    ) -> None:
        """``hello`` gives version, site, boot id and the number of the last fact."""
        self._commands = commands
        self._views = views
        self._drivers = drivers
        self._hello = hello
        self._metrics = metrics
        self._circuits = circuits
        self._interlocks = interlocks

    def hello(self) -> HelloAnswer:
        version, site, boot_id, seq = self._hello()
        return HelloAnswer(version=version, site=site, boot_id=boot_id, pid=os.getpid(), seq=seq)

    def on(self, request: OnRequest) -> Awaitable[OnAnswer]:
        return self._commands.on(request)

    def renew(self, request: RenewRequest) -> RenewAnswer:
        return self._commands.renew(request)

    def off(self, request: TargetRequest) -> Sequence[Verdict]:
        return self._commands.off(request)

    def reset(self, request: TargetRequest) -> Awaitable[Sequence[Verdict]]:
        return self._commands.reset(request)

    def lock(self, request: TargetRequest) -> Awaitable[Sequence[Verdict]]:
        return self._commands.lock(request)

    def unlock(self, request: TargetRequest) -> Awaitable[Sequence[Verdict]]:
        return self._commands.unlock(request)

    def limits(self, request: LimitsRequest) -> dict[str, Any]:
        return self._views.limits(request)

    def snapshot(self, request: SnapshotRequest) -> SnapshotPage:
        return self._views.page(request, self._hello()[3])

    def changed(self, most: int) -> Sequence[OutletView]:
        return self._views.changed(most)

    def buses(self) -> BusesAnswer:
        return self._views.buses(self._drivers)

    async def circuits(self) -> CircuitsAnswer:
        return CircuitsAnswer(await self._circuits())

    def interlocks(self) -> InterlocksAnswer:
        return InterlocksAnswer(self._interlocks())

    def metrics(self) -> Awaitable[str]:
        return self._metrics()
