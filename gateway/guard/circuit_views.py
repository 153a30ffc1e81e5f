"""What the guard shows of circuits."""

from __future__ import annotations

from gateway.config import Circuit
from gateway.guard import shedding
from gateway.guard.circuit_load import Carried, Scene, Stage, Tree, amps, is_over
from gateway.guard.circuit_state import TreeState
from gateway.guard.contactors import Contactor
from gateway.guard.grid import Grid
from gateway.guard.slices import Slices, a_few
from gateway.link.circuits import CircuitState, CircuitView, ContactorWord


def circuit_views(grid: Grid) -> Slices[tuple[CircuitView, ...]]:
    """Show every circuit, each after its parent."""
    views: list[CircuitView] = []
    for place, tree in enumerate(grid.trees):
        state, scene, loads = yield from grid.figures(place)
        running = yield from _running(tree, scene)
        waiting: dict[str, list[str]] = {}
        for usage in shedding.queue(tree, scene.usages):
            waiting.setdefault(grid.waits_for(usage.outlet), []).append(usage.outlet)
        for at, circuit in enumerate(tree.circuits):
            yield
            waits = tuple(waiting.get(circuit.id, ()))
            contactor = grid.contactors.get(circuit.id)
            word = _state(circuit, state, loads[at], contactor, is_waited_for=bool(waits))
            views.append(_view(circuit, word, loads[at], contactor, running[at], waits))
    return tuple(views)


def _running(tree: Tree, scene: Scene) -> Slices[list[int]]:
    """Count what runs on each circuit, by its place."""
    count = [0] * len(tree.circuits)
    for few in a_few(scene.usages):
        for usage in few:
            if usage.stage is Stage.RUNNING:
                for at in tree.lines[usage.outlet]:
                    count[at] += 1
        yield
    return count


def _view(  # noqa: PLR0917 - what one line of the table is made of
    circuit: Circuit,
    word: CircuitState,
    load: Carried,
    contactor: Contactor | None,
    running: int,
    waiting: tuple[str, ...],
) -> CircuitView:
    opened = None if contactor is None else contactor.state.opened
    return CircuitView(
        circuit=circuit.id,
        name=circuit.name,
        parent=circuit.parent,
        state=word,
        power_w=round(load.base.power_w, 1),
        current_a=round(amps(circuit, load.base), 2),
        counted_w=round(load.counted.power_w, 1),
        counted_a=round(amps(circuit, load.counted), 2),
        limit_w=circuit.power_w,
        limit_a=circuit.current_a,
        known_by=load.known.value,
        running=running,
        waiting=waiting,
        contactor=None if contactor is None else _word(contactor),
        opened_reason=None if opened is None else opened.reason.value,
        opened_utc_ms=None if opened is None else opened.since_utc_ms,
    )


def _state(
    circuit: Circuit,
    state: TreeState,
    load: Carried,
    contactor: Contactor | None,
    *,
    is_waited_for: bool,
) -> CircuitState:
    if contactor is not None and contactor.state.opened is not None:
        return CircuitState.OPENED
    if circuit.id in state.dark or (contactor is not None and contactor.state.is_open):
        return CircuitState.DARK
    if is_over(circuit, load.base):
        return CircuitState.OVER
    return CircuitState.FULL if is_waited_for else CircuitState.OK


def _word(contactor: Contactor) -> ContactorWord:
    is_closed = contactor.state.seen.is_closed
    if is_closed is None:
        return ContactorWord.UNKNOWN
    return ContactorWord.CLOSED if is_closed else ContactorWord.OPEN
