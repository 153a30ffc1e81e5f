"""What the guard shows of circuits."""

from __future__ import annotations

from gateway.config import Circuit
from gateway.guard import shedding
from gateway.guard.circuit_load import Carried, Stage, amps, is_over
from gateway.guard.circuit_state import TreeState
from gateway.guard.contactors import Contactor
from gateway.guard.grid import Grid
from gateway.link.circuits import CircuitState, CircuitView, ContactorWord


def circuit_views(grid: Grid) -> tuple[CircuitView, ...]:
    """Show every circuit, each after its parent."""
    views: list[CircuitView] = []
    for tree, state, scene, loads in grid.figures():
        order = [usage.outlet for usage in shedding.queue(tree, scene.usages)]
        running = [usage.outlet for usage in scene.usages if usage.stage is Stage.RUNNING]
        for at, circuit in enumerate(tree.circuits):
            waiting = tuple(o for o in order if grid.waits_for(o) == circuit.id)
            count = sum(at in tree.lines[outlet] for outlet in running)
            contactor = grid.contactors.get(circuit.id)
            word = _state(circuit, state, loads[at], contactor, is_waited_for=bool(waiting))
            views.append(_view(circuit, word, loads[at], contactor, count, waiting))
    return tuple(views)


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
