"""What the guard does when it is asked: on, off, reset, lock, unlock."""

from __future__ import annotations

import asyncio
import dataclasses
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from gateway.config import Outlet as OutletSettings
from gateway.config import Site
from gateway.core.clock import Clock, Now
from gateway.core.errors import Refused, TryLater
from gateway.core.facts import FactDraft, FactKind
from gateway.core.ids import CircuitId, uuid7
from gateway.core.reasons import Reason
from gateway.guard.effects import Refusal
from gateway.guard.events import (
    Event,
    LeaseNotDurable,
    Lock,
    Renew,
    RequestOff,
    RequestOn,
    RequestReset,
    Unlock,
)
from gateway.guard.fleet import Fleet
from gateway.guard.grid import Grid
from gateway.guard.journal import Journal
from gateway.guard.journal_entry import DropLock, Entry, JournalFull, NotWritten, Ticket
from gateway.guard.model import Lease
from gateway.guard.outlet import Outlet
from gateway.guard.pacing import Pacing
from gateway.guard.recorder import FactRecorder
from gateway.guard.requests import tripped_line
from gateway.guard.state import Phase
from gateway.link.messages import Outcome, Target, TargetKind
from gateway.link.records import LockRecord, RequestRecord
from gateway.link.requests import (
    OnAnswer,
    OnRequest,
    RenewAnswer,
    RenewRequest,
    TargetRequest,
    Verdict,
)

DURABLE_TIMEOUT_S = 3.0
"""How long an answer waits for the disk. Less than clients wait for an answer (5 s in
``link.client``): they must hear of the disk, not of a guard that seems stuck."""
ANSWERS_KEPT = 10_000
"""Answers to requests that are remembered, to be given again."""


class _Known(NamedTuple):
    """An answer that was given."""

    outlet: str
    """Whom it was about; empty if nobody knows any more."""
    answer: OnAnswer


class Commands:
    """On, off, reset, lock and unlock, of one outlet or many."""

    def __init__(
        self,
        *,
        site: Site,
        fleet: Fleet,
        recorder: FactRecorder,
        journal: Journal,
        clock: Clock,
        find_answer: Callable[[str], RequestRecord | None],
        grid: Grid | None = None,
        tripped_over: Callable[[CircuitId], tuple[str, ...]] = lambda _: (),
    ) -> None:
        """``find_answer`` looks a request up in the journal; it may block on the disk.

        ``grid``: None for a site without circuits. ``tripped_over`` names the interlocks over a
        circuit that are tripped.
        """
        self._site = site
        self._fleet = fleet
        self._recorder = recorder
        self._journal = journal
        self._clock = clock
        self._find_answer = find_answer
        self._grid = grid
        self._tripped_over = tripped_over
        self._answers: OrderedDict[str, _Known] = OrderedDict()
        self._stops: Counter[str] = Counter()
        self._pacing = Pacing(fleet.switches)
        self.stopping = False

    async def on(self, request: OnRequest) -> OnAnswer:
        """Grant a lease; answered when it is written down and the ON is on its way.

        Raises NotKnown, Refused, or TryLater when the journal can't be written.
        """
        outlet = self._outlet(request.outlet)
        stops = self._stops[outlet.id]
        if request.request_id is not None:
            known = await self._known(request.request_id)
            if known is not None:
                _check_same(request, known)
                await self._started(known.answer)
                return await self._with_wait(outlet, known.answer)
        async with self._pacing.turn(outlet.id) as granted:
            again = self._answers.get(request.request_id or "")
            if again is not None:
                return again.answer
            if self._stops[outlet.id] != stops:
                # It came while this ON was looked up or waited, so it is the later word.
                message = f"{outlet.id}: an OFF came after it: ask again if it is still wanted"
                raise Refused(message, code="overtaken")
            answer, ticket = self._grant(outlet, request)
            handed_over = granted()
            ticket.when_done(lambda _: handed_over())
        await self._started(answer)
        return await self._with_wait(outlet, answer)

    async def _with_wait(self, outlet: Outlet, answer: OnAnswer) -> OnAnswer:
        """Say in an answer whether its lease has to wait for room on a circuit."""
        if self._grid is None:
            return answer
        await self._grid.settled()
        state = outlet.state
        if state.phase is not Phase.WAITING or state.lease is None:
            return answer
        if state.lease.id != answer.lease_id:
            return answer
        return dataclasses.replace(answer, waits_for=state.waits_for or None)

    def _grant(self, outlet: Outlet, request: OnRequest) -> tuple[OnAnswer, Ticket]:
        """Begin a lease. Gives the ticket under which it is written down."""
        self._check_accepting(outlet)
        now = self._clock.now()
        if request.before_mono_ms is not None and now.mono_ms > request.before_mono_ms:
            late_ms = now.mono_ms - request.before_mono_ms
            message = f"{outlet.id}: {late_ms} ms too late: ask again if it is still wanted"
            raise Refused(message, code="too_late")
        lease = _lease(request, now)
        refusal = self._no_room(outlet, lease) or outlet.feed(RequestOn(lease=lease), now)
        if refusal is not None:
            self._note_refusal(outlet, request, lease.request_id, refusal)
            raise Refused(f"{outlet.id}: {refusal.message}", code=refusal.code)
        answer = OnAnswer(
            lease_id=lease.id,
            until_utc_ms=now.utc_ms + lease.until_ms - now.mono_ms,
            request_id=lease.request_id,
            duplicate=False,
        )
        ticket = self._recorder.start_of(lease.id)
        if ticket is None:
            # It could not even be queued, and was taken back at once.
            raise self._not_started(None)
        self._remember(_Known(outlet.id, dataclasses.replace(answer, duplicate=True)))
        ticket.when_done(lambda done: self._forget_failed(answer.request_id, done))
        return answer, ticket

    def _no_room(self, outlet: Outlet, lease: Lease) -> Refusal | None:
        """Say whether circuits could never carry it, or have no place for it to wait."""
        state = outlet.state
        if self._grid is None or state.phase is not Phase.OFF or state.latch is not None:
            return None
        return self._grid.check(outlet, lease.power_w)

    def renew(self, request: RenewRequest) -> RenewAnswer:
        """Let a running lease last ``for_s`` from now. Raises Refused."""
        now = self._clock.now()
        until_ms = now.mono_ms + round(request.for_s * 1000)
        for outlet in self._fleet.outlets.values():
            lease = outlet.state.lease
            if lease is not None and lease.id == request.lease_id:
                renew = Renew(lease_id=lease.id, until_ms=until_ms, actor=request.actor)
                refusal = outlet.feed(renew, now)
                if refusal is not None:
                    raise Refused(f"{outlet.id}: {refusal.message}", code=refusal.code)
                return RenewAnswer(now.utc_ms + until_ms - now.mono_ms)
        raise Refused(f"lease {request.lease_id} is not running: ask for a new one", code="not_on")

    def off(self, request: TargetRequest) -> tuple[Verdict, ...]:
        """Switch off at once; never waits for the disk."""
        self._stops.update(each.id for each in self._settings_of(request.target))
        return self._each(
            request.target,
            lambda: RequestOff(
                actor=request.actor, request_id=request.request_id, why=request.reason
            ),
        )

    async def reset(self, request: TargetRequest) -> tuple[Verdict, ...]:
        """Release latches, as far as the person may."""
        verdicts = self._each(
            request.target,
            lambda: RequestReset(actor=request.actor, on_site=request.on_site, why=request.reason),
        )
        if request.target.kind is TargetKind.CIRCUIT and self._grid is not None:
            verdicts += self._reset_contactor(self._grid, request)
        await self._durable(self._journal.put_urgent(Entry()), "the reset")
        return verdicts

    def _reset_contactor(self, grid: Grid, request: TargetRequest) -> tuple[Verdict, ...]:
        """Let a circuit's contactor close again, once the outlets behind it are released."""
        circuit = CircuitId(request.target.id)
        tripped = self._tripped_over(circuit)
        if tripped:
            return (Verdict(request.target.id, Outcome.REFUSED, tripped_line(tripped)),)
        try:
            if not grid.release(circuit, request.actor, request.reason, on_site=request.on_site):
                return ()
        except Refused as err:
            return (Verdict(request.target.id, Outcome.REFUSED, str(err)),)
        return (Verdict(request.target.id, Outcome.DONE, "its contactor closes"),)

    async def lock(self, request: TargetRequest) -> tuple[Verdict, ...]:
        """Take a scope out of use: it is in force at once, and answered when written down."""
        scope = request.target.scope
        settings = self._settings_of(request.target)
        fresh = scope not in self._fleet.locks
        self._fleet.locks.add(scope)
        for each in settings:
            self._fleet.outlets[each.id].feed(Lock(scope=scope, actor=request.actor))
        now = self._clock.now()
        record = LockRecord(
            scope=scope, actor=request.actor, reason=request.reason, since_utc_ms=now.utc_ms
        )
        facts = (self._scope_fact(FactKind.LOCKED, request, now),) if fresh else ()
        await self._durable(self._journal.put_urgent(Entry(facts, (record,))), "the lock")
        return _verdicts(settings, Outcome.DONE if fresh else Outcome.NOTHING_TO_DO)

    async def unlock(self, request: TargetRequest) -> tuple[Verdict, ...]:
        """Give a scope back; what is locked by another scope stays locked."""
        scope = request.target.scope
        settings = self._settings_of(request.target)
        if scope not in self._fleet.locks:
            return _verdicts(settings, Outcome.NOTHING_TO_DO)
        self._fleet.locks.discard(scope)
        for each in settings:
            self._fleet.outlets[each.id].feed(Unlock(scope=scope))
        fact = self._scope_fact(FactKind.UNLOCKED, request, self._clock.now())
        entry = Entry((fact,), (DropLock(scope),))
        await self._durable(self._journal.put_urgent(entry), "the unlock")
        return _verdicts(settings, Outcome.DONE)

    def stop_all(self, reason: Reason) -> int:
        """Switch off whatever is on; return how many outlets that were."""
        running = [o for o in self._fleet.outlets.values() if o.state.lease is not None]
        for outlet in running:
            outlet.feed(RequestOff(actor="guard", reason=reason))
        return len(running)

    def _check_accepting(self, outlet: Outlet) -> None:
        if self.stopping:
            raise Refused("the guard is stopping: ask again when it runs", code="stopping")
        if not outlet.latch_is_written:
            # Until a crash can't forget the latch, nothing is said that rests on it.
            raise TryLater(f"{outlet.id} was just cut off: try again", retry_after_s=1.0)

    async def _known(self, request_id: str) -> _Known | None:
        """Return the answer that was given to this request before, in this run or another."""
        if request_id not in self._answers:
            record = await asyncio.to_thread(self._find_answer, request_id)
            if record is None:
                return self._answers.get(request_id)
            answer = OnAnswer(
                lease_id=str(record.answer["lease_id"]),
                until_utc_ms=int(record.answer["until_utc_ms"]),
                request_id=request_id,
                duplicate=True,
            )
            self._remember(_Known(str(record.answer.get("outlet", "")), answer))
        return self._answers.get(request_id)

    async def _started(self, answer: OnAnswer) -> None:
        ticket = self._recorder.start_of(answer.lease_id)
        if ticket is None:
            return
        try:
            async with asyncio.timeout(DURABLE_TIMEOUT_S):
                await ticket.durable()
        except (TimeoutError, NotWritten) as err:
            self._answers.pop(answer.request_id, None)
            self._take_back(answer.lease_id)
            raise self._not_started(err) from err

    def _not_started(self, err: Exception | None) -> TryLater:
        detail = self._journal.state.detail or str(err or "") or "the disk is too slow"
        return TryLater(
            f"not switched on: the journal can't be written ({detail}): mend that, try again"
        )

    def _take_back(self, lease_id: str) -> None:
        """Keep a lease that was answered as not started from starting late."""
        for outlet in self._fleet.outlets.values():
            lease = outlet.state.lease
            if lease is not None and lease.id == lease_id:
                outlet.feed(LeaseNotDurable(lease_id=lease_id))

    def _forget_failed(self, request_id: str, ticket: Ticket) -> None:
        if ticket.error is not None:
            self._answers.pop(request_id, None)

    def _note_refusal(
        self, outlet: Outlet, request: OnRequest, request_id: str, refusal: Refusal
    ) -> None:
        now = self._clock.now()
        draft = FactDraft(
            kind=FactKind.REQUEST_REFUSED,
            subject=f"outlet/{outlet.id}",
            utc_ms=now.utc_ms,
            quality=now.quality,
            actor=request.actor,
            reason=refusal.code,
            data={
                "outlet": outlet.id,
                "request_id": request_id,
                "code": refusal.code,
                "message": refusal.message,
            },
        )
        try:
            self._journal.put(Entry((draft,)))
        except JournalFull as err:
            # Refused all the same; what is missing is only the record of it.
            raise Refused(f"{outlet.id}: {refusal.message}", code=refusal.code) from err

    def _each(self, target: Target, event: Callable[[], Event]) -> tuple[Verdict, ...]:
        verdicts = []
        for settings in self._settings_of(target):
            refusal = self._fleet.outlets[settings.id].feed(event())
            if refusal is None:
                verdicts.append(Verdict(settings.id, Outcome.DONE))
            elif refusal.code == "nothing_to_do":
                verdicts.append(Verdict(settings.id, Outcome.NOTHING_TO_DO, refusal.message))
            else:
                verdicts.append(Verdict(settings.id, Outcome.REFUSED, refusal.message))
        return tuple(verdicts)

    async def _durable(self, ticket: Ticket, what: str) -> None:
        try:
            async with asyncio.timeout(DURABLE_TIMEOUT_S):
                await ticket.durable()
        except (TimeoutError, NotWritten) as err:
            detail = self._journal.state.detail or str(err) or "the disk is too slow"
            raise TryLater(
                f"{what} is in force but not written down ({detail}): mend that, ask again"
            ) from err

    def _settings_of(self, target: Target) -> tuple[OutletSettings, ...]:
        return self._site.outlets_of(target.kind.value, target.id)

    def _scope_fact(self, kind: FactKind, request: TargetRequest, now: Now) -> FactDraft:
        data: dict[str, Any] = {"scope": request.target.scope}
        if request.request_id is not None:
            data["request_id"] = request.request_id
        return FactDraft(
            kind=kind,
            subject=request.target.scope,
            utc_ms=now.utc_ms,
            quality=now.quality,
            actor=request.actor,
            reason=request.reason,
            data=data,
        )

    def _outlet(self, outlet_id: str) -> Outlet:
        return self._fleet.outlets[self._site.outlet(outlet_id).id]

    def _remember(self, known: _Known) -> None:
        self._answers[known.answer.request_id] = known
        while len(self._answers) > ANSWERS_KEPT:
            self._answers.popitem(last=False)


def _check_same(request: OnRequest, known: _Known) -> None:
    if known.outlet not in ("", request.outlet):
        raise Refused(
            f"request {request.request_id} was about {known.outlet}: give each request its own id",
            code="request_reused",
        )


def _lease(request: OnRequest, now: Now) -> Lease:
    lease_id = str(uuid7(now.utc_ms))
    return Lease(
        id=lease_id,
        request_id=request.request_id or lease_id,
        actor=request.actor,
        reason=request.reason,
        granted_ms=now.mono_ms,
        granted_utc_ms=now.utc_ms,
        until_ms=now.mono_ms + round(request.for_s * 1000),
        energy_mwh=None if request.energy_wh is None else round(request.energy_wh * 1000),
        power_w=request.power_w,
    )


def _verdicts(settings: Iterable[OutletSettings], outcome: Outcome) -> tuple[Verdict, ...]:
    return tuple(Verdict(each.id, outcome) for each in settings)
