"""What ``check`` says about circuits: the tree, its limits, and what hangs on it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from gateway.commands.switch import names

if TYPE_CHECKING:
    from gateway.config import Circuit, Site

MOST_NAMES = 6


def circuit_lines(site: Site) -> Iterator[str]:
    """Give a line for each circuit, indented beneath the one that feeds it."""
    for circuit in site.circuits:
        if circuit.parent is None:
            yield from _lines(site, circuit, 0)


def _lines(site: Site, circuit: Circuit, depth: int) -> Iterator[str]:
    facts = [_limits(circuit), *_ends(circuit), _fed(site, circuit)]
    what = "circuit " if depth == 0 else ""
    yield f"{'  ' * depth}{what}{circuit.id}: {'; '.join(fact for fact in facts if fact)}"
    for child in site.circuits:
        if child.parent == circuit.id:
            yield from _lines(site, child, depth + 1)


def _limits(circuit: Circuit) -> str:
    parts = []
    if circuit.current_a is not None:
        each = " each of 3 phases" if circuit.phases == 3 else ""
        parts.append(f"{circuit.current_a:g} A{each}{_starts_below(circuit.start_below_a)}")
    if circuit.power_w is not None:
        parts.append(f"{circuit.power_w:g} W{_starts_below(circuit.start_below_w)}")
    if not parts:
        return "no limit"
    policy = circuit.policy.value.replace("_", " ")
    return f"{' and '.join(parts)}, over it for {circuit.delay_s:g} s sheds by {policy}"


def _starts_below(below: float | None) -> str:
    return "" if below is None else f" (starts below {below:g})"


def _ends(circuit: Circuit) -> Iterator[str]:
    if circuit.phase is not None:
        yield f"on {circuit.phase}"
    if circuit.meter is not None:
        yield f"measured by {circuit.meter.device}:{circuit.meter.channel}"
    if circuit.contactor is not None:
        relay = circuit.contactor.relay
        yield f"opened by {relay.device}:{relay.channel}"


def _fed(site: Site, circuit: Circuit) -> str:
    beneath = site.outlets_of("circuit", circuit.id)
    if not circuit.outlets:
        return f"{len(beneath)} outlets by its circuits"
    return f"feeds {names(circuit.outlets, MOST_NAMES)}"
