"""The circuits of the site, and the shell around their machine.

Outlets come first: whatever an outlet's own protection does has left before circuits look, and
they look a tree at a time, a few times a second. An outlet that is fed by circuits goes on when
they say so; the decision is the outlet's own, with every check (``requests.proceed``).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from gateway.config import Circuit, Site
from gateway.config.circuit_model import meter_point
from gateway.core.clock import Clock, Now
from gateway.core.errors import Refused
from gateway.core.ids import CircuitId, OutletId
from gateway.core.reasons import Reason
from gateway.guard.circuit_load import Carried, Feed, Scene, Tree, Usage, carried, trees_of
from gateway.guard.circuit_state import Decisions, TreeState
from gateway.guard.circuits import admit, defer, step
from gateway.guard.contactors import Contactor, Write, opened_of
from gateway.guard.drafts import draft
from gateway.guard.effects import Note, Refusal
from gateway.guard.events import Held, MakeRoom, Proceed, RequestOff
from gateway.guard.fleet import Fleet
from gateway.guard.journal_entry import Entry
from gateway.guard.model import Sample, WriteResult
from gateway.guard.outlet import Outlet
from gateway.guard.state import Phase
from gateway.guard.usage import MeterState, amount_of, asked_for, usage_of
from gateway.link.records import LatchRecord

log = logging.getLogger(__name__)

LOOK_S = 0.5
"""Trees are looked at so often; also when somebody begins to wait."""

REST = 9.0
"""After a look that somebody called for, so many times as long none is made for the next: however
many ask, cut-offs have nine tenths of the time."""

_CLOSED_FOR = frozenset({Phase.OFF, Phase.GRANTED, Phase.WAITING})
"""Phases in which an outlet is no load to a contactor that closes."""


class Meter:
    """The meter of one circuit (a ``fleet.PointOwner``)."""

    def __init__(self, now: Now, told: Callable[[float, int], None]) -> None:
        """``told`` takes each new current, and its time."""
        self.state = MeterState(now.mono_ms)
        self._told = told

    def on_sample(self, sample: Sample) -> None:
        self.state = self.state.take(sample)
        amount = amount_of(self.state.power_w, self.state.current_a)
        if amount is not None and self.state.at_ms == sample.at_ms:
            self._told(amount.current_a, sample.at_ms)

    def on_alive(self, at_ms: int) -> None:
        self.state = self.state._replace(at_ms=max(self.state.at_ms, at_ms))

    def on_write(self, wanted_on: bool, result: WriteResult) -> None:
        """Nothing is switched here."""


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
        self._in_use: list[dict[OutletId, None]] = [{} for _ in self.trees]
        self.meters: dict[CircuitId, Meter] = {}
        self.contactors: dict[CircuitId, Contactor] = {}
        self._called: set[int] = set()
        """Trees that somebody has begun to wait for."""
        self._rest_until_s = 0.0
        self._looked: list[asyncio.Future[None]] = []
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
        tree, now = self.trees[place], self._clock.now()
        nearest = tree.circuits[tree.lines[outlet.id][0]]
        asked = asked_for(outlet.id, outlet.limits, nearest, power_w, now.mono_ms)
        # As long as there is a place to wait, what is in use decides nothing: it is not counted.
        scene = self._scene(place, now, in_use=self._is_queue_full(place))
        answer = admit(tree, self._states[place], scene, asked)
        return Refusal(code=answer.code, message=answer.message) if answer.code else None

    def _is_queue_full(self, place: int) -> bool:
        outlets = self._fleet.outlets
        waiting = sum(outlets[name].state.phase is Phase.WAITING for name in self._in_use[place])
        return waiting >= self.trees[place].top.most_waiting

    async def settled(self) -> None:
        """Wait until those who have just begun to wait were looked at."""
        if self._called:
            looked = asyncio.get_running_loop().create_future()
            self._looked.append(looked)
            await looked

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
                self._in_use[place][outlet.id] = None
            if _does_not_open(outlet):
                self._open_for(outlet, _reason_of(outlet))
            if outlet.state.phase is Phase.WAITING:
                self._call(place)
        except Exception:
            log.exception("outlet %s: its circuits were not told", outlet.id)

    def _call(self, place: int) -> None:
        if not self._called:
            loop = asyncio.get_running_loop()
            loop.call_later(max(0.0, self._rest_until_s - loop.time()), self._called_for)
        self._called.add(place)

    def _called_for(self) -> None:
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        for place in sorted(self._called):
            self._look_at(place)
        self._called.clear()
        now_s = loop.time()
        self._rest_until_s = now_s + REST * (now_s - began_s)
        looked, self._looked = self._looked, []
        for future in looked:
            if not future.done():
                future.set_result(None)

    # What goes on while it runs

    async def run(self) -> None:
        """Look at the trees for ever, one at a time."""
        while True:
            await asyncio.sleep(LOOK_S)
            for place in range(len(self.trees)):
                self._look_at(place)
                await asyncio.sleep(0)

    def look(self) -> None:
        """Look at all trees now."""
        for place in range(len(self.trees)):
            self._look_at(place)

    def _look_at(self, place: int) -> None:
        try:
            self._follow_contactors(place)
            self._judge(place)
        except Exception:  # outlets keep themselves safe, whatever becomes of circuits
            if not self._faulty:
                log.exception("circuit %s: could not be judged", self.trees[place].top.id)
            self._faulty = True

    def _judge(self, place: int) -> None:
        tree, now = self.trees[place], self._clock.now()
        self._states[place], said = step(tree, self._states[place], self._scene(place, now))
        self._do(place, said, now)

    def _do(self, place: int, said: Decisions, now: Now) -> None:
        outlets = self._fleet.outlets
        for shed in said.sheds:
            event = MakeRoom(circuit=shed.circuit, reason=shed.reason, evidence=shed.evidence)
            outlets[shed.outlet].feed(event, now)
        for name in said.starts:
            outlet = outlets[name]
            lease = outlet.state.lease
            if lease is None or self._fleet.switches[name].room_for_ons() <= 0:
                continue  # its bus has enough to do: at the next look
            refusal = outlet.feed(Proceed(lease_id=lease.id), now)
            if refusal is not None:
                self._states[place] = defer(self._states[place], name, now.mono_ms)
                nearest = self.trees[place].circuits[self.trees[place].lines[name][0]]
                outlet.feed(Held(circuit=nearest.id, why=refusal.code), now)
        for name, circuit in said.blocked.items():
            if outlets[name].state.waits_for != circuit:
                outlets[name].feed(Held(circuit=circuit), now)
        if said.notes:
            facts = tuple(
                draft(
                    "circuit",
                    each.circuit,
                    Note(kind=each.kind, reason=each.reason, data=each.data),
                    now,
                )
                for each in said.notes
            )
            self._write(Entry(facts))

    def _scene(self, place: int, now: Now, *, in_use: bool = True) -> Scene:
        tree = self.trees[place]
        usages: list[Usage] = []
        for name in list(self._in_use[place]) if in_use else ():
            outlet = self._fleet.outlets[name]
            state = outlet.state
            if state.phase is Phase.OFF:
                continue  # since a moment ago: metrics are gathered in a thread of their own
            nearest = tree.circuits[tree.lines[name][0]]
            usages.append(usage_of(name, state, outlet.limits, nearest, now.mono_ms))
        feeds = {c.id: self._feed(c.id) for c in tree.circuits if c.meter or c.contactor}
        return Scene(usages, feeds, now.mono_ms)

    def _feed(self, circuit: CircuitId) -> Feed:
        meter, contactor = self.meters.get(circuit), self.contactors.get(circuit)
        is_open = contactor is not None and contactor.state.is_open
        latched = contactor is not None and contactor.state.opened is not None
        if meter is None:
            return Feed(0, is_open=is_open, latched=latched)
        state = meter.state
        amount = amount_of(state.power_w, state.current_a)
        return Feed(state.at_ms, amount, state.voltage_v, is_open, latched)

    # Contactors

    def _follow_contactors(self, place: int) -> None:
        for name in list(self._in_use[place]):
            outlet = self._fleet.outlets[name]
            off, found = outlet.state.stop, self._opens.get(name)
            if outlet.state.phase is not Phase.STOPPING or off is None or found is None:
                continue
            assert found.circuit.contactor is not None
            waited_ms = self._clock.now().mono_ms - off.since_ms
            if waited_ms >= found.circuit.contactor.after_s * 1000:
                self._open_for(outlet, _reason_of(outlet))
        for circuit in self.trees[place].circuits:
            contactor = self.contactors.get(circuit.id)
            if contactor is not None:
                is_asked = contactor.state.seen.is_closed is False
                contactor.tick(may_close=is_asked and self._is_clear(circuit.id))

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

    def figures(self) -> Iterator[tuple[Tree, TreeState, Scene, list[Carried]]]:
        """Give every tree with what is seen of it, and what each of its circuits carries."""
        now = self._clock.now()
        for place, tree in enumerate(self.trees):
            scene = self._scene(place, now)
            yield tree, self._states[place], scene, carried(tree, scene)

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
