"""Brings recorded commands to the guard, and sees to it that each gets a verdict.

An ``on`` is sent once or never: a late ON is a danger. What makes outlets safer is sent
again until the guard answers, for as long as it is still what its author meant.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from gateway.config.site import Outlet, Site
from gateway.core.clock import EARLIEST_UTC_MS, Clock
from gateway.core.errors import (
    FixInstallation,
    PilegateError,
    TryLater,
)
from gateway.link.messages import Target, TargetKind
from gateway.link.requests import (
    Method,
    OnAnswer,
    OnRequest,
    TargetRequest,
    verdicts_from_json,
)
from gateway.serve import answers, course
from gateway.serve.commands import Command, Commands
from gateway.serve.course import (
    ANSWER_LOST,
    CommandAction,
    CommandState,
    Course,
    OutletCourse,
    OutletResult,
)
from gateway.serve.guard_link import GuardAway, GuardLink

SENT_WITHIN_MS = {
    CommandAction.OFF: 600_000,
    CommandAction.LOCK: None,
    # Later than this, what is to be released may not be what its author saw.
    CommandAction.RESET: 60_000,
    CommandAction.UNLOCK: 60_000,
}
"""How long after it was recorded a command is still sent; None: for ever."""

ON_WITHIN_MS = 30_000
"""How long after it was recorded an ``on`` may still leave: behind a guard that answers late,
the last outlets of a group would go on minutes after they were meant to."""

SEEN_WITHIN_MS = 120_000
"""How long after its answer samples must have shown a command's effect."""

UNKNOWN_AGE_MS = 3_600_000
"""Older than anything that is still sent."""

SWEEP_S = 5.0
RETRY_S = 1.0
SETTLE_S = 1.0
"""How long facts get to tell what the lost answer would have said."""

TAKE_BACK_TRIES = 30

ORDER_WITHIN_S = 5.0
"""How long an ``on`` waits for what was asked of the same outlet before it."""

BATCH = 20
"""Outlets of a group that are sent an ``on`` between two writes of its course."""

AT_ONCE = 8
"""Commands of each kind that wait for the guard's answer at the same time."""

log = logging.getLogger(__name__)

_STOPS = (CommandAction.OFF, CommandAction.LOCK)


class Delivery:
    """Sends commands, each in a task of its own; those that stop have lanes of their own."""

    def __init__(
        self, link: GuardLink, site: Site, clock: Clock, take_over: Callable[[], Awaitable[int]]
    ) -> None:
        self._link = link
        self._site = site
        self._clock = clock
        self._take_over = take_over
        self._inbox: asyncio.Queue[tuple[int, Command]] = asyncio.Queue()
        self._lanes = {True: asyncio.Semaphore(AT_ONCE), False: asyncio.Semaphore(AT_ONCE)}
        self._number = 0
        self._stops: dict[str, int] = {}
        """The last ``off`` or ``lock`` of each scope, by its number."""
        self._waiting_stops: dict[int, str] = {}
        """Scopes of those that the guard has not answered."""
        self._recorded_ms: dict[int, int] = {}
        """When each was recorded, by the monotonic clock: a step of UTC ages no command."""
        self._accepted_ms: dict[str, int] = {}
        """When each was first found accepted."""
        self._left_behind: list[Command] = []
        self._under_way = 0
        self._idle = asyncio.Event()
        self._idle.set()

    def put(self, command: Command, age_ms: int = 0) -> None:
        """Have a command sent. An ``off`` overtakes every ``on`` that has not left yet."""
        self._number += 1
        self._recorded_ms[self._number] = self._clock.now().mono_ms - age_ms
        self._under_way += 1
        self._idle.clear()
        if command.order.action in _STOPS:
            self._stops[command.order.target.scope] = self._number
            self._waiting_stops[self._number] = command.order.target.scope
        self._inbox.put_nowait((self._number, command))

    @property
    def under_way(self) -> int:
        """How many commands wait for the guard's answer."""
        return self._under_way

    async def look_back(self, commands: Commands) -> None:
        """Find what an earlier life left behind; before the first command of this one comes.

        Whatever makes outlets safer is sent again, and before anything that is newer.
        """
        for command in await commands.unfinished((ANSWER_LOST,)):
            if command.order.action is CommandAction.ON:
                self._left_behind.append(command)
            elif command.state is CommandState.RECORDED:
                self.put(command, self._age_ms(command))

    async def run(self, commands: Commands) -> None:
        """Settle what an earlier life left behind, then send what comes, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._recover(commands), name="commands-recover")
            tasks.create_task(self._sweep(commands), name="commands-sweep")
            while True:
                number, command = await self._inbox.get()
                tasks.create_task(
                    self._deliver(commands, number, command), name=f"command-{command.id}"
                )

    async def drained(self) -> None:
        """Wait until every command has its answer or can't have one now."""
        await self._idle.wait()

    async def _deliver(self, commands: Commands, number: int, command: Command) -> None:
        try:
            async with self._lanes[command.order.action in _STOPS]:
                if command.order.action is CommandAction.ON:
                    lost = await self._on(commands, number, command)
                else:
                    lost = False
                    await self._until_answered(commands, number, command)
        finally:
            self._recorded_ms.pop(number, None)
            self._waiting_stops.pop(number, None)
            self._under_way -= 1
            if not self._under_way:
                self._idle.set()
        if lost:
            await asyncio.sleep(SETTLE_S)
            await self._settle_lost(commands, command)

    async def _on(self, commands: Commands, number: int, command: Command) -> bool:
        """Send an ``on`` to each outlet of its target, once; say whether an answer was lost."""
        outlets = self._outlets(command)
        lost = False
        for start in range(0, len(outlets), BATCH):
            parts: dict[str, OutletCourse] = {}
            for outlet in outlets[start : start + BATCH]:
                parts[outlet.id] = await self._on_one(command, number, outlet, len(outlets))
            lost = lost or any(part.code == ANSWER_LOST for part in parts.values())
            await self._advance(commands, command, answers.with_parts(parts))
        return lost

    async def _on_one(
        self, command: Command, number: int, outlet: Outlet, count: int
    ) -> OutletCourse:
        if self._clock.now().utc_ms - command.created_utc_ms > ON_WITHIN_MS:
            why = f"its turn did not come within {ON_WITHIN_MS // 1000} s: it is not sent any more"
            return answers.part_of(OutletResult.FAILED, course.NOT_DELIVERED, why)
        if not await self._earlier_stops_answered(number, outlet):
            why = "an off or a lock from before it has not reached the guard"
            return answers.part_of(OutletResult.FAILED, course.NOT_DELIVERED, why)
        if self._overtaken(number, outlet):
            return answers.part_of(
                OutletResult.FAILED, "overtaken", "an off or a lock came after it"
            )
        lease = command.order.lease
        assert lease is not None
        request = OnRequest(
            outlet=outlet.id,
            for_s=lease.for_s,
            actor=command.actor,
            reason=command.order.reason,
            energy_wh=None if lease.energy_mwh is None else lease.energy_mwh / 1000,
            power_w=lease.power_w,
            request_id=course.request_id(command.id, outlet.id, single=count == 1),
        )
        try:
            answer = await self._link.ask(Method.ON, OnAnswer.from_json, request.to_json())
        except GuardAway as err:
            return answers.part_of(OutletResult.FAILED, course.NOT_DELIVERED, str(err))
        except (TryLater, FixInstallation) as err:
            return answers.part_of(OutletResult.UNKNOWN, ANSWER_LOST, str(err))
        except PilegateError as err:
            return answers.no(err)
        if self._overtaken(number, outlet):
            await self._take_back(command, outlet)
        return OutletCourse(
            result=OutletResult.WAITING,
            lease_id=answer.lease_id,
            until_utc_ms=answer.until_utc_ms,
        )

    async def _take_back(self, command: Command, outlet: Outlet) -> None:
        """Switch off what an ``off`` was meant for that the guard answered before the ``on``."""
        request = TargetRequest(
            target=Target(TargetKind.OUTLET, outlet.id),
            actor=command.actor,
            reason="an off or a lock came after it",
        )
        for _ in range(TAKE_BACK_TRIES):
            try:
                await self._link.call(Method.OFF, **request.to_json())
            except (TryLater, FixInstallation) as err:
                log.warning("command %s: %s is not switched off: %s", command.id, outlet.id, err)
                await asyncio.sleep(RETRY_S)
            else:
                return

    async def _until_answered(self, commands: Commands, number: int, command: Command) -> None:
        """Send an ``off``, ``reset``, ``lock`` or ``unlock`` until the guard answers."""
        order = command.order
        request = TargetRequest(
            target=order.target,
            actor=command.actor,
            reason=order.reason,
            request_id=command.id,
            on_site=order.on_site,
        )
        told = False
        why = "it was not sent in time"
        while self._still_meant(number, command):
            try:
                verdicts = await self._link.ask(
                    order.action.value, verdicts_from_json, request.to_json()
                )
            except (TryLater, FixInstallation) as err:
                why = str(err)
                if not told:
                    log.warning("command %s waits for the guard: %s", command.id, why)
                told = True
                await asyncio.sleep(RETRY_S)
                continue
            except PilegateError as err:
                await self._advance(commands, command, answers.refused(err))
                return
            await self._advance(commands, command, answers.answered(order.action, verdicts))
            return
        await self._advance(commands, command, lambda c: course.not_delivered(c, why))

    async def _recover(self, commands: Commands) -> None:
        """Settle every ``on`` that was under way when the program ended, once all facts are known.

        One that no fact tells of was not delivered, and is not sent again.
        """
        for command in self._left_behind:
            await self._settle_lost(commands, command)

    async def _settle_lost(self, commands: Commands, command: Command) -> None:
        await self._caught_up()
        why = "it did not reach the guard: no fact tells of it; it is not sent again"
        await self._advance(
            commands, command, lambda c: course.not_delivered(c, why), answered=False
        )

    async def _sweep(self, commands: Commands) -> None:
        """End what was accepted and what no sample has shown in all the time allowed."""
        why = f"no sample has shown it within {SEEN_WITHIN_MS // 1000} s: look at the outlet"
        while True:
            await asyncio.sleep(SWEEP_S)
            now_ms = self._clock.now().mono_ms
            accepted = [c for c in await self._open(commands) if c.state is CommandState.ACCEPTED]
            self._accepted_ms = {c.id: self._accepted_ms.get(c.id, now_ms) for c in accepted}
            for command in accepted:
                if now_ms - self._accepted_ms[command.id] > SEEN_WITHIN_MS:
                    await self._advance(
                        commands, command, lambda c: course.not_seen(c, why), answered=False
                    )

    async def _caught_up(self) -> None:
        while True:
            try:
                await self._take_over()
            except PilegateError:  # the fact taker tells the reason, once
                await asyncio.sleep(RETRY_S)
            else:
                return

    async def _open(self, commands: Commands) -> list[Command]:
        try:
            return await commands.unfinished()
        except PilegateError as err:
            log.warning("commands can't be read: %s", err)
            return []

    async def _advance(
        self,
        commands: Commands,
        command: Command,
        step: Callable[[Course], Course],
        *,
        answered: bool = True,
    ) -> None:
        """Write a step down; a database that is locked or full is waited for."""
        while True:
            try:
                await commands.advance(command.id, step, answered=answered)
            except PilegateError as err:
                log.warning("verdict of command %s is not written down: %s", command.id, err)
                await asyncio.sleep(RETRY_S)
            else:
                return

    def _still_meant(self, number: int, command: Command) -> bool:
        within_ms = SENT_WITHIN_MS[command.order.action]
        age_ms = self._clock.now().mono_ms - self._recorded_ms[number]
        return within_ms is None or age_ms <= within_ms

    def _age_ms(self, command: Command) -> int:
        """How old a command of an earlier life is, by the only clock that both lives share.

        Where that was not set, or was set back, an ``off`` is still meant and a release is not.
        """
        now = self._clock.now()
        age_ms = now.utc_ms - command.created_utc_ms
        if command.created_utc_ms >= EARLIEST_UTC_MS and age_ms >= 0:
            return age_ms
        return 0 if command.order.action in _STOPS else UNKNOWN_AGE_MS

    async def _earlier_stops_answered(self, number: int, outlet: Outlet) -> bool:
        """Keep the order: an ``off`` that is sent after a newer ``on`` would end it."""
        scopes = self._scopes(outlet)

        def waiting() -> bool:
            return any(
                earlier < number and scope in scopes
                for earlier, scope in self._waiting_stops.items()
            )

        try:
            async with asyncio.timeout(ORDER_WITHIN_S):
                while waiting():
                    await asyncio.sleep(0.02)
        except TimeoutError:
            return False
        return True

    def _overtaken(self, number: int, outlet: Outlet) -> bool:
        return any(self._stops.get(scope, 0) > number for scope in self._scopes(outlet))

    def _scopes(self, outlet: Outlet) -> tuple[str, ...]:
        return (
            f"outlet/{outlet.id}",
            f"pile/{outlet.pile}",
            f"station/{outlet.station}",
            *(f"circuit/{circuit}" for circuit in self._site.feeding(outlet.id)),
            f"site/{self._site.id}",
        )

    def _outlets(self, command: Command) -> tuple[Outlet, ...]:
        target = command.order.target
        return self._site.outlets_of(target.kind, target.id)
