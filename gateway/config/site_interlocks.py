"""Interlocks of a site file: inputs, and what each of them opens."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from gateway.config.circuit_model import Circuit
from gateway.config.findings import Findings
from gateway.config.interlock_file import InterlockItem
from gateway.config.interlock_model import Interlock
from gateway.config.site_outlets import Ends, Layout
from gateway.config.site_targets import Targets, split_target
from gateway.config.yaml_source import KeyPath
from gateway.core.ids import CircuitId, InterlockId, OutletId
from gateway.guard.interlocks import Rule, Watches


def read_interlocks(
    found: Findings, layout: Layout, ends: Ends, circuits: Sequence[Circuit]
) -> list[Interlock]:
    """Read the interlocks; what is wrong goes to ``found``."""
    data = found.source.data.get("interlocks")
    if data is None:
        return []
    sure = not found.problems
    items: list[tuple[KeyPath, InterlockItem]] = []
    for path, entry in found.entries(data, ("interlocks",)):
        item: InterlockItem | None = found.read(InterlockItem, entry, path)
        if item is not None and ends.claims.claim(
            ("interlock", item.id),
            (*path, "id"),
            f"interlock {item.id!r} stands already on line {{line}}",
        ):
            items.append((path, item))
    # After other errors, what an interlock names may be missing for their sake.
    return _Reader(found, layout, ends, circuits).interlocks(items) if sure else []


class _Reader:
    def __init__(
        self, found: Findings, layout: Layout, ends: Ends, circuits: Sequence[Circuit]
    ) -> None:
        self._found = found
        self._ends = ends
        self._targets = Targets(found, layout)
        self._circuits = {circuit.id: circuit for circuit in circuits}
        self._beneath = _beneath(circuits)

    def interlocks(self, items: Sequence[tuple[KeyPath, InterlockItem]]) -> list[Interlock]:
        made = [self._interlock(path, item) for path, item in items]
        return [interlock for interlock in made if interlock is not None]

    def _interlock(self, path: KeyPath, item: InterlockItem) -> Interlock | None:
        at = (*path, "input")
        channel = self._ends.channel(item.input, at, "input")
        outlets: set[OutletId] = set()
        circuits: list[CircuitId] = []
        for index, written in enumerate(item.guards):
            here = (*path, "guards", index)
            outlets.update(self._targets.named(written, here, {"circuit": self._beneath}))
            kind, name = split_target(written)
            if kind == "circuit" and name in self._circuits:
                circuits.append(CircuitId(name))
        if channel is None:
            return None
        message = (
            f"input {channel.channel} of {channel.device} belongs to something else already on "
            "line {line}"
        )
        if not self._ends.claims.claim(("input", channel), at, message):
            return None
        return Interlock(
            id=InterlockId(item.id),
            name=item.name or item.id,
            watches=Watches(item.watches),
            input=channel,
            rule=Rule(
                trips_when_on=item.trips_when == "on",
                delay_s=item.delay_s,
                silence_s=item.silence_s,
            ),
            outlets=tuple(outlet for outlet in self._targets.outlets if outlet in outlets),
            circuits=tuple(circuits),
            holds=frozenset(self._held(circuits)),
        )

    def _held(self, named: Sequence[CircuitId]) -> Iterator[CircuitId]:
        """Give what is fed through the named circuits, and the contactor that opens them."""
        for circuit in self._circuits.values():
            line = [each.id for each in self._above(circuit)]
            if any(name in line for name in named):
                yield circuit.id
        for name in named:
            above = self._above(self._circuits[name])
            yield from [each.id for each in above if each.contactor is not None][:1]

    def _above(self, circuit: Circuit) -> list[Circuit]:
        """Give a circuit and those that feed it, upwards."""
        line = [circuit]
        while line[-1].parent is not None:
            line.append(self._circuits[line[-1].parent])
        return line


def _beneath(circuits: Sequence[Circuit]) -> dict[str, Sequence[OutletId]]:
    """Give all outlets that hang on each circuit; parents come before their children."""
    beneath: dict[str, list[OutletId]] = {circuit.id: [*circuit.outlets] for circuit in circuits}
    for circuit in reversed(circuits):
        if circuit.parent is not None:
            beneath[circuit.parent] += beneath[circuit.id]
    return dict(beneath)
