"""Circuits of a site file: a tree of feeds, and what hangs on each of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from gateway.config.channel import Channel
from gateway.config.circuit_file import CircuitItem
from gateway.config.circuit_model import (
    Amount,
    Circuit,
    Contactor,
    PhaseName,
    Policy,
    Restart,
    may_draw,
    start_with,
)
from gateway.config.explain import nearest
from gateway.config.findings import Findings
from gateway.config.site_model import Outlet
from gateway.config.site_outlets import Ends, Layout
from gateway.config.site_targets import Targets, split_target
from gateway.config.site_words import ChannelItem
from gateway.config.yaml_source import KeyPath
from gateway.core.ids import CircuitId, OutletId

_TOP_ONLY = ("priorities", "rotate_s", "most_waiting")
"""A tree has one queue, so its top says how that is kept."""


@dataclass(frozen=True, slots=True)
class _Entry:
    """A circuit as it is written, and where."""

    item: CircuitItem
    path: KeyPath


def read_circuits(found: Findings, layout: Layout, ends: Ends) -> list[Circuit]:
    """Read the circuits, parents before their children; what is wrong goes to ``found``."""
    data = found.source.data.get("circuits")
    if data is None:
        return []
    sure = not found.problems
    entries: dict[str, _Entry] = {}
    for path, entry in found.entries(data, ("circuits",)):
        item: CircuitItem | None = found.read(CircuitItem, entry, path)
        if item is not None and ends.claims.claim(
            ("circuit", item.id),
            (*path, "id"),
            f"circuit {item.id!r} stands already on line {{line}}",
        ):
            entries[item.id] = _Entry(item, path)
    reader = _Reader(found, layout, ends, entries)
    order = reader.order()
    if not sure or found.problems:
        # After other errors, what a circuit names may be missing for their sake.
        return []
    return reader.circuits(order)


def warn_of_budgets(
    found: Findings, circuits: Sequence[Circuit], outlets: Iterable[Outlet]
) -> None:
    """Tell which outlets alone are too much for a circuit that feeds them."""
    if not circuits:
        return  # there are none, or none that could be read
    by_id = {circuit.id: circuit for circuit in circuits}
    paths = {
        entry["id"]: path
        for path, entry in found.entries(found.source.data.get("circuits") or [], ("circuits",))
    }
    limits = {outlet.id: outlet.limits for outlet in outlets}
    too_much: dict[CircuitId, list[OutletId]] = {}
    for circuit in circuits:
        for outlet in circuit.outlets:
            start = start_with(circuit, may_draw(limits[outlet]))
            for feed in _upwards(circuit, by_id):
                if _is_too_much(feed, start):
                    too_much.setdefault(feed.id, []).append(outlet)
                    break
    for name, refused in too_much.items():
        more = f" (and {len(refused) - 1} more)" if len(refused) > 1 else ""
        found.warn(
            paths[name],
            f"outlet {refused[0]!r}{more} may draw more than circuit {name!r} carries, and is "
            "refused: lower its limits, or set start_w to what it counts with at first",
        )


def _is_too_much(circuit: Circuit, start: Amount) -> bool:
    most_w, most_a = circuit.power_w, circuit.current_a
    return (most_w is not None and start.power_w > most_w) or (
        most_a is not None and start.current_a > most_a
    )


def _upwards(circuit: Circuit, by_id: Mapping[CircuitId, Circuit]) -> Iterator[Circuit]:
    at: Circuit | None = circuit
    while at is not None:
        yield at
        at = None if at.parent is None else by_id[at.parent]


class _Reader:
    def __init__(
        self,
        found: Findings,
        layout: Layout,
        ends: Ends,
        entries: Mapping[str, _Entry],
    ) -> None:
        self._found = found
        self._ends = ends
        self._entries = entries
        self._targets = Targets(found, layout)

    # --- the tree

    def order(self) -> list[str]:
        """Put parents before their children; note parents that are not there, and rings."""
        for entry in self._entries.values():
            parent = entry.item.parent
            if parent is not None and parent not in self._entries:
                hint = nearest(parent, self._entries)
                self._found.wrong((*entry.path, "parent"), f"unknown circuit {parent!r}; {hint}")
        order: list[str] = []
        for circuit in self._entries:
            line: list[str] = []
            at: str | None = circuit
            while at is not None and at in self._entries and at not in order:
                if at in line:
                    self._tell_ring(line[line.index(at) :])
                    return order
                line.append(at)
                at = self._entries[at].item.parent
            order.extend(reversed(line))
        return order

    def _tell_ring(self, ring: list[str]) -> None:
        first = max(ring, key=lambda name: self._found.source.line(self._entries[name].path) or 0)
        circle = " -> ".join([*ring, ring[0]])
        path = (*self._entries[first].path, "parent")
        self._found.wrong(path, f"circuits feed each other in a ring: {circle}")

    def _line(self, circuit: str) -> list[str]:
        """Give a circuit and all above it, upwards."""
        line = [circuit]
        while (parent := self._entries[line[-1]].item.parent) is not None:
            line.append(parent)
        return line

    # --- what hangs on it

    def circuits(self, order: Sequence[str]) -> list[Circuit]:
        """Resolve the circuits; those above are resolved before."""
        fed = self._fed()
        made: dict[str, Circuit] = {}
        for name in order:
            entry = self._entries[name]
            above = None if entry.item.parent is None else made[entry.item.parent]
            outlets = tuple(o for o in self._targets.outlets if fed.get(o) == name)
            made[name] = self._circuit(entry, above, outlets)
        self._check_phases(made, fed)
        self._check_idle(made)
        return list(made.values())

    def _fed(self) -> dict[OutletId, str]:
        """Say on which circuit each outlet hangs: the deepest of those that name it."""
        fed: dict[OutletId, str] = {}
        for name, entry in self._entries.items():
            for index, written in enumerate(entry.item.feeds):
                path = (*entry.path, "feeds", index)
                for outlet in self._targets.named(written, path):
                    other = fed.get(outlet)
                    if other is None or other in self._line(name):
                        fed[outlet] = name
                    elif name not in self._line(other):
                        line = self._found.source.line(self._entries[other].path)
                        self._found.wrong(
                            path,
                            f"outlet {outlet!r} is fed by circuit {other!r} already (line {line}): "
                            "one cable leads to an outlet",
                        )
        return fed

    # --- one circuit

    def _circuit(
        self, entry: _Entry, above: Circuit | None, outlets: tuple[OutletId, ...]
    ) -> Circuit:
        item = entry.item
        self._check(entry, above)
        restart = item.restart
        inherited = above or _NOTHING
        return Circuit(
            id=CircuitId(item.id),
            name=item.name or item.id,
            parent=None if item.parent is None else CircuitId(item.parent),
            outlets=outlets,
            phases=item.phases,
            phase=self._phase(entry, above),
            current_a=item.current_a,
            power_w=item.power_w,
            start_below_a=item.start_below_a,
            start_below_w=item.start_below_w,
            delay_s=item.delay_s,
            policy=inherited.policy if item.policy is None else Policy(item.policy),
            priorities=self._priorities(entry) if above is None else above.priorities,
            rotate_s=item.rotate_s or inherited.rotate_s,
            start_w=inherited.start_w if item.start_w is None else item.start_w,
            start_a=inherited.start_a if item.start_a is None else item.start_a,
            settle_s=inherited.settle_s if item.settle_s is None else item.settle_s,
            rest_s=inherited.rest_s if item.rest_s is None else item.rest_s,
            meter=self._channel(item.meter, (*entry.path, "meter"), "meter"),
            meter_silence_s=item.meter_silence_s,
            contactor=self._contactor(entry),
            restart=inherited.restart
            if restart is None
            else Restart(below_v=restart.below_v, after_s=restart.after_s, every_s=restart.every_s),
            most_waiting=(
                inherited.most_waiting if item.most_waiting is None else item.most_waiting
            ),
        )

    def _phase(self, entry: _Entry, above: Circuit | None) -> PhaseName | None:
        own, inherited = entry.item.phase, None if above is None else above.phase
        if own is not None and inherited is not None and own != inherited:
            message = f"its parent is on {inherited}: nothing beneath it can be on {own}"
            self._found.wrong((*entry.path, "phase"), message)
        if entry.item.phases == 3 and (own or inherited) is not None:
            self._found.wrong((*entry.path, "phases"), "a circuit on one phase does not have three")
        return own or inherited

    def _priorities(self, entry: _Entry) -> Mapping[OutletId, int]:
        """Resolve priorities: an outlet's own before its pile's, and that before its station's."""
        found: dict[OutletId, int] = {}
        for rank in ("site", "station", "pile", "outlet"):
            for written, value in (entry.item.priorities or {}).items():
                kind, _ = split_target(written)
                if kind == rank:
                    path = (*entry.path, "priorities", written)
                    found.update(dict.fromkeys(self._targets.named(written, path), value))
        return MappingProxyType(found)

    def _contactor(self, entry: _Entry) -> Contactor | None:
        item = entry.item.contactor
        relay = self._channel(item, (*entry.path, "contactor"), "relay")
        return (
            None if item is None or relay is None else Contactor(relay=relay, after_s=item.after_s)
        )

    def _channel(self, item: ChannelItem | None, path: KeyPath, part: str) -> Channel | None:
        """Take a channel for the circuit, if it can do what is asked of it, and is nobody's."""
        channel = self._ends.channel(item, path, part)
        if channel is None:
            return None
        message = (
            f"{part} {channel.channel} of {channel.device} belongs to something else already on "
            "line {line}"
        )
        return channel if self._ends.claims.claim((part, channel), path, message) else None

    # --- what can't be right, or is odd

    def _check(self, entry: _Entry, above: Circuit | None) -> None:
        item, path = entry.item, entry.path
        if item.current_a is None and item.power_w is None and item.contactor is None:
            self._found.wrong(path, "has neither a limit (current_a, power_w) nor a contactor")
        if item.phases == 3 and item.meter is not None:
            self._found.wrong(
                (*path, "meter"),
                "one channel can't measure three phases: make a circuit with a phase and a meter "
                "of each",
            )
        for start, most in (("start_below_a", "current_a"), ("start_below_w", "power_w")):
            below, limit = getattr(item, start), getattr(item, most)
            if below is not None and (limit is None or below > limit):
                message = f"needs {most} beside it" if limit is None else f"is above its {most}"
                self._found.wrong((*path, start), message)
        if above is not None:
            self._check_child(entry, above)
        elif item.priorities and item.policy != "priority":
            self._found.warn((*path, "priorities"), "without policy: priority they do nothing")

    def _check_child(self, entry: _Entry, above: Circuit) -> None:
        item, path = entry.item, entry.path
        top = self._line(item.id)[-1]
        for key in _TOP_ONLY:
            if getattr(item, key) is not None:
                message = f"a tree has one queue: say it at its top, {top!r}"
                self._found.wrong((*path, key), message)
        for key in ("current_a", "power_w"):
            own, most = getattr(item, key), getattr(above, key)
            if own is not None and most is not None and own > most:
                self._found.warn((*path, key), f"its parent {above.id!r} carries only {most:g}")

    def _check_phases(self, made: Mapping[str, Circuit], fed: Mapping[OutletId, str]) -> None:
        for outlet, name in fed.items():
            if made[name].phase is not None:
                continue
            three = next((c for c in self._line(name) if made[c].phases == 3), None)
            if three is not None:
                self._found.wrong(
                    (*self._entries[name].path, "feeds"),
                    f"circuit {three!r} has three phases, and nothing says on which outlet "
                    f"{outlet!r} is: feed it by a circuit with a phase",
                )

    def _check_idle(self, made: Mapping[str, Circuit]) -> None:
        fed = {
            above for name, circuit in made.items() if circuit.outlets for above in self._line(name)
        }
        for name in made:
            if name not in fed:
                self._found.warn(self._entries[name].path, f"circuit {name!r} feeds no outlet")


_NOTHING = Circuit(
    id=CircuitId("nothing"),
    name="",
    parent=None,
    outlets=(),
    priorities=MappingProxyType({}),
)
"""What holds at the top of a tree that says nothing."""
