"""Brings recorded commands to the guard, and sees to it that each gets a verdict.

An ``on`` is sent once or never: a late ON is a danger. What makes outlets safer is sent
again until the guard answers, for as long as it is still what its author meant.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from gateway.config.site import Outlet, Site
from gateway.core.clock import Clock
from gateway.core.errors import (
    CorrectInput,
    FixInstallation,
    NotAllowed,
    NotKnown,
    PilegateError,
    Refused,
    TryLater,
)
from gateway.link.messages import Outcome, Target, TargetKind
from gateway.link.requests import (
    Method,
    OnAnswer,
    OnRequest,
    TargetRequest,
    Verdict,
    verdicts_from_json,
)
from gateway.serve import course
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

SEEN_WITHIN_MS = 120_000
"""How long after its answer samples must have shown a command's effect."""

SWEEP_S = 5.0
RETRY_S = 1.0
SETTLE_S = 1.0
"""How long facts get to tell what the lost answer would have said."""

TAKE_BACK_TRIES = 30

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
        self._left_behind: list[Command] = []
        self._under_way = 0
        self._idle = asyncio.Event()
        self._idle.set()

    def put(self, command: Command) -> None:
        """Have a command sent. An ``off`` overtakes every ``on`` that has not left yet."""
        self._number += 1
        self._under_way += 1
        self._idle.clear()
        if command.order.action in _STOPS:
            self._stops[command.order.target.scope] = self._number
        self._inbox.put_nowait((self._number, command))

    @property
    def under_way(self) -> int:
        """How many commands wait for the guard's answer."""
        return self._under_way

    async def look_back(self, commands: Commands) -> None:
        """Find what an earlier life left behind; before the first command of this one comes."""
        self._left_behind = await commands.unfinished((ANSWER_LOST,))

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
                    await self._until_answered(commands, command)
        finally:
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
            await self._advance(commands, command, _with(parts))
        return lost

    async def _on_one(
        self, command: Command, number: int, outlet: Outlet, count: int
    ) -> OutletCourse:
        if self._overtaken(number, outlet):
            return _part(OutletResult.FAILED, "overtaken", "an off or a lock came after it")
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
            return _part(OutletResult.FAILED, course.NOT_DELIVERED, str(err))
        except (TryLater, FixInstallation) as err:
            return _part(OutletResult.UNKNOWN, ANSWER_LOST, str(err))
        except PilegateError as err:
            return _no(err)
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

    async def _until_answered(self, commands: Commands, command: Command) -> None:
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
        while self._still_meant(command):
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
                await self._advance(commands, command, _refused(err))
                return
            await self._advance(commands, command, _answered(order.action, verdicts))
            return
        await self._advance(commands, command, lambda c: course.not_delivered(c, why))

    async def _recover(self, commands: Commands) -> None:
        """Settle what was under way when the program ended, once all facts are known.

        An ``on`` that no fact tells of was not delivered, and is not sent again.
        """
        await self._caught_up()
        for command in self._left_behind:
            if command.order.action is CommandAction.ON:
                await self._settle_lost(commands, command)
            elif command.state is CommandState.RECORDED:
                self.put(command)

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
            oldest_ms = self._clock.now().utc_ms - SEEN_WITHIN_MS
            for command in await self._open(commands):
                since_ms = command.answered_utc_ms or command.created_utc_ms
                if command.state is CommandState.ACCEPTED and since_ms < oldest_ms:
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

    def _still_meant(self, command: Command) -> bool:
        within_ms = SENT_WITHIN_MS[command.order.action]
        age_ms = self._clock.now().utc_ms - command.created_utc_ms
        return within_ms is None or age_ms <= within_ms

    def _overtaken(self, number: int, outlet: Outlet) -> bool:
        scopes = (
            f"outlet/{outlet.id}",
            f"pile/{outlet.pile}",
            f"station/{outlet.station}",
            f"site/{self._site.id}",
        )
        return any(self._stops.get(scope, 0) > number for scope in scopes)

    def _outlets(self, command: Command) -> tuple[Outlet, ...]:
        target = command.order.target
        return self._site.outlets_of(target.kind, target.id)


def _part(result: OutletResult, code: str, message: str) -> OutletCourse:
    return OutletCourse(result=result, code=code, message=message)


def _with(parts: dict[str, OutletCourse]) -> Callable[[Course], Course]:
    return lambda present: course.with_outlets(present, parts)


def _refused(err: PilegateError) -> Callable[[Course], Course]:
    part = _no(err)
    return lambda present: course.refused(present, part)


def _no(err: PilegateError) -> OutletCourse:
    """Read the guard's refusal."""
    match err:
        case Refused():
            return _part(OutletResult.REFUSED, err.code, str(err))
        case NotKnown():
            return _part(OutletResult.REFUSED, "not_known", str(err))
        case CorrectInput():
            return _part(OutletResult.REFUSED, "invalid", str(err))
        case NotAllowed():
            return _part(OutletResult.FAILED, "not_allowed", str(err))
        case _:
            return _part(OutletResult.FAILED, "failed", str(err))


def _answered(action: CommandAction, verdicts: tuple[Verdict, ...]) -> Callable[[Course], Course]:
    """Take in the guard's answer; an ``off`` is done when samples show it, the rest at once."""
    done = OutletResult.WAITING if action is CommandAction.OFF else OutletResult.DONE
    results = {
        Outcome.DONE: done,
        Outcome.REFUSED: OutletResult.REFUSED,
        Outcome.NOTHING_TO_DO: OutletResult.NOTHING_TO_DO,
    }
    parts = {
        verdict.outlet: _part(
            results[verdict.result],
            "refused" if verdict.result is Outcome.REFUSED else "",
            verdict.message or "",
        )
        for verdict in verdicts
    }

    def step(present: Course) -> Course:
        answered = course.with_outlets(present, parts)
        unknown = _part(OutletResult.REFUSED, "not_known", "the guard's site file lacks it")
        return course.for_all(answered, answered.unanswered, unknown)

    return step
