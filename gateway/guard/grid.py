"""The circuits of the site, and the shell around their machine.

Outlets come first: whatever an outlet's own protection does has left before circuits look, and
they look a tree at a time, a few times a second. An outlet that is fed by circuits goes on when
they say so; the decision is the outlet's own, with every check (``requests.proceed``).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from gateway.config import Circuit, Site
from gateway.config.circuit_model import meter_point
from gateway.core.clock import Clock, Now
from gateway.core.errors import Refused
from gateway.core.ids import CircuitId, OutletId
from gateway.core.reasons import Reason
from gateway.guard.circuit_load import Carried, Feed, Scene, Tree, Usage, counted, trees_of
from gateway.guard.circuit_state import CircuitNote, Decisions, TreeState
from gateway.guard.circuits import admit, defer, judge
from gateway.guard.contactors import Contactor, Write, opened_of
from gateway.guard.drafts import draft
from gateway.guard.effects import Note, Refusal
from gateway.guard.events import Held, MakeRoom, Proceed, RequestOff
from gateway.guard.fleet import Fleet
from gateway.guard.journal_entry import Entry
from gateway.guard.looks import Looks
from gateway.guard.meters import Meter
from gateway.guard.model import Lease
from gateway.guard.outlet import Outlet
from gateway.guard.slices import Slices, a_few, whole
from gateway.guard.state import OutletState, Phase
from gateway.guard.usage import Allowed, allowed, amount_of, asked_for, usage_of
from gateway.link.records import LatchRecord

log = logging.getLogger(__name__)

LOOK_S = 0.5
"""Trees are looked at so often; also when somebody begins to wait."""

_CLOSED_FOR = frozenset({Phase.OFF, Phase.GRANTED, Phase.WAITING})
"""Phases in which an outlet is no load to a contactor that closes."""


class Grid:
    """All trees of circuits, their meters and contactors."""

    def __init__(
        self,
        site: Site,
        fleet: Fleet,
        clock: Clock,
        write: Write,
        latches: Iterable[LatchRecord] = (),
    ) -> None:
        """``latches`` say which contactors were opened, and why."""
        self._fleet = fleet
        self._clock = clock
        self._write = write
        self.trees: tuple[Tree, ...] = trees_of(site.circuits)
        self._states = [TreeState() for _ in self.trees]
        self._tree_of: dict[OutletId, int] = {}
        self._in_use: list[dict[OutletId, Outlet]] = [{} for _ in self.trees]
        self._allowed: dict[OutletId, Allowed] = {}
        """What each outlet may draw under the lease that it was last seen with."""
        self.meters: dict[CircuitId, Meter] = {}
        self.contactors: dict[CircuitId, Contactor] = {}
        self._looks = Looks(self._look_at)
        self._faulty = False
        self.tripped_over: Callable[[CircuitId], tuple[str, ...]] = lambda _: ()
        """Names the interlocks that keep a circuit's contactor open."""
        records, now = list(latches), clock.now()
        for place, tree in enumerate(self.trees):
            for circuit in tree.circuits:
                self._add(circuit, records, now)
            for outlet in tree.lines:
                self._tree_of[outlet] = place
                owner = fleet.outlets[outlet]
                owner.state = owner.state._replace(is_fed=True)
                owner.watcher = self._changed
        self._opens: dict[OutletId, Contactor] = {
            outlet: found
            for tree in self.trees
            for outlet, line in tree.lines.items()
            if (found := self._contactor_above(tree.circuits[line[0]].id)) is not None
        }
        """The nearest contactor before each outlet that has one."""

    def _add(self, circuit: Circuit, records: list[LatchRecord], now: Now) -> None:
        if circuit.contactor is not None:
            opened = opened_of(circuit.id, records, now)
            contactor = Contactor(circuit, self._fleet, self._clock, self._write, opened)
            self.contactors[circuit.id] = contactor
            self._fleet.points[contactor.point] = contactor
        if circuit.meter is not None:
            found = self.contactors.get(circuit.id)
            meter = Meter(now, found.flows if found is not None else lambda *_: None)
            self.meters[circuit.id] = meter
            self._fleet.points[meter_point(circuit.id)] = meter

    # What is asked of it

    def check(self, outlet: Outlet, power_w: float | None) -> Refusal | None:
        """Refuse a lease that could never start, or that finds no place to wait."""
        place = self._tree_of.get(outlet.id)
        if place is None:
            return None
        scene = whole(self._scene(place, self._that_decide(place)))
        nearest = self._nearest(outlet.id)
        asked = asked_for(outlet.id, outlet.limits, nearest, power_w, scene.now_ms)
        answer = admit(self.trees[place], self._states[place], scene, asked)
        return Refusal(code=answer.code, message=answer.message) if answer.code else None

    def _that_decide(self, place: int) -> list[tuple[Outlet, OutletState]]:
        """Give those who decide whether one more may ask (``admit``): none is counted in vain."""
        in_use, most = self._in_use_of(place), self.trees[place].top.most_waiting
        waiting = [each for each in in_use if each[1].phase is Phase.WAITING]
        if len(waiting) < most:
            return []
        return waiting or in_use

    async def settled(self) -> None:
        """Wait until those who have just begun to wait were looked at."""
        await self._looks.settled()

    def open_feed(self, circuit: CircuitId, reason: Reason, evidence: Mapping[str, Any]) -> bool:
        """Open the contactor of a circuit, or of the nearest above it, or else those beneath it.

        What is on behind it ends. For whatever finds that a feed must not carry anything: a weld,
        an interlock. False: there is no contactor.
        """
        above = self._contactor_above(circuit)
        opening = self._contactors_beneath(circuit) if above is None else [above]
        for found in opening:
            if found.open_it(reason, evidence):
                log.error("circuit %s: its contactor is opened: %s", found.circuit.id, reason)
                for outlet in self._beneath(found.circuit.id):
                    if outlet.state.lease is not None:
                        outlet.feed(RequestOff(actor="guard", reason=Reason.CONTACTOR))
        return bool(opening)

    def release(self, circuit: CircuitId, actor: str, why: str, *, on_site: bool) -> bool:
        """Let a contactor close again. False: there is none, or nothing has opened it.

        Raises Refused for somebody who is not on site, and while an outlet behind it is cut for
        what opened it.
        """
        found = self.contactors.get(circuit)
        if found is None or found.state.opened is None:
            return False
        if not on_site:
            message = f"circuit/{circuit}: opened because of {found.state.opened.reason}: only a "
            raise Refused(f"{message}person on site may reset it", code="on_site_only")
        stuck = [each.id for each in self._beneath(circuit) if _does_not_open(each)]
        if stuck:
            message = f"circuit/{circuit}: {', '.join(stuck[:5])} did not open: reset them first"
            raise Refused(message, code="not_off")
        found.release(actor, why)
        return True

    # What happens to outlets

    def _changed(self, outlet: Outlet) -> None:
        """Note that an outlet is in another phase, or is latched. Never raises."""
        try:
            place = self._tree_of[outlet.id]
            if outlet.state.phase is Phase.OFF:
                self._in_use[place].pop(outlet.id, None)
            else:
                self._in_use[place][outlet.id] = outlet
            if _does_not_open(outlet):
                self._open_for(outlet, _reason_of(outlet))
            if outlet.state.phase is Phase.WAITING:
                self._looks.call(place)
        except Exception:
            log.exception("outlet %s: its circuits were not told", outlet.id)

    # What goes on while it runs

    async def run(self) -> None:
        """Have the trees looked at for ever."""
        while True:
            await asyncio.sleep(LOOK_S)
            self._looks.due(range(len(self.trees)))

    def look(self) -> None:
        """Look at all trees now; not while a look is under way."""
        for place in range(len(self.trees)):
            whole(self._look_at(place))

    def _look_at(self, place: int) -> Slices[None]:
        try:
            yield from self._follow_contactors(place)
            yield from self._judge(place)
        except Exception:  # outlets keep themselves safe, whatever becomes of circuits
            if not self._faulty:
                log.exception("circuit %s: could not be judged", self.trees[place].top.id)
            self._faulty = True

    def _judge(self, place: int) -> Slices[None]:
        """See the whole tree at one moment, judge that in slices, and do what was decided.

        What happens to outlets meanwhile is for the next look, as what happens after it is. An
        OFF is right all the same; an ON is not where its lease is another by now.
        """
        in_use = self._in_use_of(place)
        scene = yield from self._scene(place, in_use)
        state, said = yield from judge(self.trees[place], self._states[place], scene)
        self._states[place] = state
        leases = {outlet.id: state.lease for outlet, state in in_use}
        yield from self._do(place, said, leases)

    def _do(
        self, place: int, said: Decisions, leases: Mapping[OutletId, Lease | None]
    ) -> Slices[None]:
        outlets = self._fleet.outlets
        for shed in said.sheds:
            event = MakeRoom(circuit=shed.circuit, reason=shed.reason, evidence=shed.evidence)
            outlets[shed.outlet].feed(event)
            yield
        for name in said.starts:
            outlet = outlets[name]
            lease = outlet.state.lease
            if lease is None or lease is not leases[name]:
                continue  # it was counted with what another lease allows: at the next look
            if self._fleet.switches[name].room_for_ons() <= 0:
                continue  # its bus has enough to do: at the next look
            refusal = outlet.feed(Proceed(lease_id=lease.id))
            if refusal is not None:
                now_ms = self._clock.now().mono_ms
                self._states[place] = defer(self._states[place], name, now_ms)
                outlet.feed(Held(circuit=self._nearest(name).id, why=refusal.code))
            yield
        for name, circuit in said.blocked.items():
            if outlets[name].state.waits_for != circuit:
                outlets[name].feed(Held(circuit=circuit))
                yield
        if said.notes:
            self._tell(said.notes)

    def _tell(self, notes: Iterable[CircuitNote]) -> None:
        now = self._clock.now()
        facts = tuple(
            draft(
                "circuit",
                each.circuit,
                Note(kind=each.kind, reason=each.reason, data=each.data),
                now,
            )
            for each in notes
        )
        self._write(Entry(facts))

    # What is seen

    def _in_use_of(self, place: int) -> list[tuple[Outlet, OutletState]]:
        """Give the outlets that are in use, and their states, which are frozen."""
        return [(outlet, outlet.state) for outlet in list(self._in_use[place].values())]

    def _scene(self, place: int, in_use: Iterable[tuple[Outlet, OutletState]]) -> Slices[Scene]:
        now, feeds = self._clock.now(), self._feeds(place)
        yield
        usages = yield from self._usages(in_use, now)
        return Scene(usages, feeds, now.mono_ms)

    def _feeds(self, place: int) -> dict[CircuitId, Feed]:
        measured = (c.id for c in self.trees[place].circuits if c.meter or c.contactor)
        return {circuit: self._feed(circuit) for circuit in measured}

    def _usages(
        self, in_use: Iterable[tuple[Outlet, OutletState]], now: Now
    ) -> Slices[list[Usage]]:
        usages: list[Usage] = []
        for few in a_few(in_use):
            for outlet, state in few:
                # One may have gone off just now: metrics are gathered in a thread of their own.
                if state.phase is not Phase.OFF:
                    may = self._may(outlet, state)
                    usages.append(usage_of(outlet.id, state, may, now.mono_ms))
            yield
        return usages

    def _may(self, outlet: Outlet, state: OutletState) -> Allowed:
        found = self._allowed.get(outlet.id)
        if found is None or not found.holds_for(state):
            found = allowed(state, outlet.limits, self._nearest(outlet.id))
            self._allowed[outlet.id] = found
        return found

    def _nearest(self, outlet: OutletId) -> Circuit:
        tree = self.trees[self._tree_of[outlet]]
        return tree.circuits[tree.lines[outlet][0]]

    def _feed(self, circuit: CircuitId) -> Feed:
        meter, contactor = self.meters.get(circuit), self.contactors.get(circuit)
        is_open = contactor is not None and contactor.state.is_open
        latched = contactor is not None and contactor.state.opened is not None
        if meter is None:
            return Feed(0, is_open=is_open, latched=latched)
        state = meter.state
        amount = amount_of(state.power_w, state.current_a)
        return Feed(state.at_ms, amount, state.voltage_v, is_open, latched, state.voltage_ms)

    # Contactors

    def _follow_contactors(self, place: int) -> Slices[None]:
        for few in a_few(self._in_use[place].values()):
            for outlet in few:
                self._follow_off(outlet)
            yield
        for circuit in self.trees[place].circuits:
            yield
            contactor = self.contactors.get(circuit.id)
            if contactor is not None:
                is_asked = contactor.state.seen.is_closed is False
                contactor.tick(may_close=is_asked and self._is_clear(circuit.id))

    def _follow_off(self, outlet: Outlet) -> None:
        """Open the contactor of an outlet that is not seen off for too long."""
        stop, found = outlet.state.stop, self._opens.get(outlet.id)
        if outlet.state.phase is not Phase.STOPPING or stop is None or found is None:
            return
        assert found.circuit.contactor is not None
        waited_ms = self._clock.now().mono_ms - stop.since_ms
        if waited_ms >= found.circuit.contactor.after_s * 1000:
            self._open_for(outlet, _reason_of(outlet))

    def _open_for(self, outlet: Outlet, reason: Reason) -> None:
        found = self._opens.get(outlet.id)
        if found is None:
            return
        stop, now_ms = outlet.state.stop, self._clock.now().mono_ms
        waited_ms = 0 if stop is None else now_ms - stop.since_ms
        evidence = {"outlet": outlet.id, "waited_ms": waited_ms}
        self.open_feed(found.circuit.id, reason, evidence)

    def _contactor_above(self, circuit: CircuitId) -> Contactor | None:
        for tree in self.trees:
            at = tree.by_id.get(circuit)
            if at is not None:
                line = (at, *tree.above(at))
                found = (self.contactors.get(tree.circuits[place].id) for place in line)
                return next((each for each in found if each is not None), None)
        return None

    def _contactors_beneath(self, circuit: CircuitId) -> list[Contactor]:
        for tree in self.trees:
            at = tree.by_id.get(circuit)
            if at is not None:
                return [
                    self.contactors[each.id]
                    for place, each in enumerate(tree.circuits)
                    if each.id in self.contactors and at in tree.above(place)
                ]
        return []

    def _beneath(self, circuit: CircuitId) -> list[Outlet]:
        for tree in self.trees:
            at = tree.by_id.get(circuit)
            if at is not None:
                return [self._fleet.outlets[o] for o, line in tree.lines.items() if at in line]
        return []

    def _is_clear(self, circuit: CircuitId) -> bool:
        """Say whether a contactor may close: nothing behind it is on, and no interlock is tripped.

        One that was not read yet counts: what it watches may have happened in a blackout.
        """
        return not self.tripped_over(circuit) and not any(
            outlet.state.phase not in _CLOSED_FOR
            or outlet.state.measured.relay_on is not False
            or _does_not_open(outlet)
            for outlet in self._beneath(circuit)
        )

    # What is shown

    def figures(self, place: int) -> Slices[tuple[TreeState, Scene, list[Carried]]]:
        """Give what is seen of a tree, and what each of its circuits carries."""
        state = self._states[place]
        scene = yield from self._scene(place, self._in_use_of(place))
        return state, scene, (yield from counted(self.trees[place], scene))

    def waits_for(self, outlet: OutletId) -> str:
        """Name the circuit on whose account an outlet waits; empty if it does not."""
        return self._fleet.outlets[outlet].state.waits_for


def _does_not_open(outlet: Outlet) -> bool:
    """Say whether an outlet is cut because it carries current, or is closed, although told off."""
    latch = outlet.state.latch
    if latch is None:
        return False
    if latch.reason is Reason.WELDED:
        return True
    return latch.reason is Reason.NO_REACTION and outlet.state.measured.relay_on is True


def _reason_of(outlet: Outlet) -> Reason:
    latch = outlet.state.latch
    return Reason.SILENCE if latch is None else latch.reason
