"""PURE: the policies: who is shed first, and who goes on first."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from gateway.config import Amount, Policy
from gateway.config.circuit_model import PHASES
from gateway.guard.circuit_load import (
    Carried,
    Load,
    Stage,
    Tree,
    Usage,
    draws,
    has_room,
    is_over,
    is_over_current,
    is_over_power,
    parts,
)
from gateway.guard.slices import Slices

_NO_FLOW = 1e-9


def queue(tree: Tree, usages: Iterable[Usage]) -> list[Usage]:
    """Give those who wait, in the order in which they go on: the top's policy says which."""
    waiting = [usage for usage in usages if usage.stage is Stage.WAITING]
    top = tree.top

    def rank(usage: Usage) -> tuple[Any, ...]:
        if top.policy is Policy.FAIR_ROTATION:
            return usage.since_ms, usage.outlet
        if top.policy is Policy.PRIORITY:
            return -top.priorities.get(usage.outlet, 0), usage.granted_ms, usage.outlet
        return usage.granted_ms, usage.outlet

    return sorted(waiting, key=rank)


def in_order(tree: Tree, at: int, running: Iterable[Usage]) -> list[Usage]:
    """Give those who run, in the order in which a circuit sheds them."""
    circuit = tree.circuits[at]

    def rank(usage: Usage) -> tuple[int, ...]:
        latest = (-usage.since_ms, -usage.granted_ms)
        if circuit.policy is Policy.FAIR_ROTATION:
            return (usage.since_ms,)
        if circuit.policy is Policy.PRIORITY:
            return circuit.priorities.get(usage.outlet, 0), *latest
        return latest

    by_name = sorted(running, key=lambda usage: usage.outlet, reverse=True)
    return sorted(by_name, key=rank)


def without(tree: Tree, left: list[Carried], usage: Usage) -> None:
    """Take away from what is carried what an outlet counts with."""
    phase = tree.phases[usage.outlet]
    for at, part in list(parts(tree, left, usage.outlet, draws(usage), usage.limit)):
        left[at] = left[at]._replace(base=left[at].base.minus(part, phase))


def victims(
    tree: Tree, at: int, running: Iterable[Usage], carried: Sequence[Carried]
) -> Slices[list[Usage]]:
    """Choose who is shed, so that a circuit carries no more than it may.

    Those whose going would not help are left alone.
    """
    circuit, left = tree.circuits[at], carried[at].base
    chosen: list[Usage] = []
    for usage in in_order(tree, at, running):
        if not is_over(circuit, left):
            break
        part = dict(parts(tree, carried, usage.outlet, draws(usage), usage.limit))[at]
        phase = tree.phases[usage.outlet]
        if _helps(tree, at, left, part, phase):
            left = left.minus(part, phase)
            chosen.append(usage)
        yield
    return chosen


def _helps(tree: Tree, at: int, load: Load, part: Amount, phase: int) -> bool:
    circuit = tree.circuits[at]
    if is_over_power(circuit, load) and part.power_w > _NO_FLOW:
        return True
    if not is_over_current(circuit, load) or part.current_a <= _NO_FLOW:
        return False
    if circuit.phases != len(PHASES):
        return True
    most_a = circuit.current_a
    return most_a is not None and load.phases_a[phase] > most_a


def makes_room(
    tree: Tree,
    carried: Sequence[Carried],
    rested: Iterable[Usage],
    first: Usage,
    need: Mapping[int, Amount],
) -> Slices[list[tuple[Usage, int]]]:
    """Choose who has to go so that ``first`` fits, and on which circuit's account.

    Those on longest go first; nobody goes if it would not fit all the same.
    """
    left = list(carried)
    phase = tree.phases[first.outlet]
    chosen: list[tuple[Usage, int]] = []

    def full() -> int | None:
        return next(
            (at for at in need if not has_room(tree.circuits[at], left[at], need[at], phase)), None
        )

    for usage in sorted(rested, key=lambda usage: (usage.since_ms, usage.outlet)):
        at = full()
        if at is None:
            break
        if at in tree.lines[usage.outlet]:
            chosen.append((usage, at))
            without(tree, left, usage)
        yield
    return chosen if full() is None else []
