"""PURE: whether a circuit is measured, closed and under voltage, and what follows from it."""

from __future__ import annotations

from types import MappingProxyType

from gateway.core.facts import FactKind
from gateway.core.ids import CircuitId
from gateway.core.reasons import Reason
from gateway.guard.circuit_load import is_heard
from gateway.guard.circuit_turn import Turn
from gateway.guard.slices import Slices


def meters(turn: Turn) -> Slices[None]:
    """Say once that a circuit's meter is lost, and that it is found."""
    for circuit in turn.tree.circuits:
        yield
        feed = turn.scene.feeds.get(circuit.id)
        if circuit.meter is None or feed is None:
            continue
        was_lost = circuit.id in turn.state.lost
        silent_ms = turn.now_ms - feed.at_ms
        if is_heard(circuit, feed, turn.now_ms):
            if was_lost:
                turn.state = turn.state._replace(lost=turn.state.lost - {circuit.id})
                turn.note(FactKind.CIRCUIT_METER_FOUND, circuit)
        elif not was_lost and silent_ms >= circuit.meter_silence_s * 1000:
            turn.state = turn.state._replace(lost=turn.state.lost | {circuit.id})
            data = {"silent_ms": silent_ms}
            turn.note(FactKind.CIRCUIT_METER_LOST, circuit, Reason.SILENCE, data)


def contactors(turn: Turn) -> Slices[None]:
    """Let what ran behind a contactor that is not closed wait; when it is, go on one by one."""
    opened = {circuit for circuit, feed in turn.scene.feeds.items() if feed.is_open}
    for at, circuit in enumerate(turn.tree.circuits):
        yield
        if circuit.id in opened:
            for usage in turn.running(at):
                turn.shed(usage, at, Reason.CONTACTOR)
                yield
    if opened == turn.state.opened:
        return
    if turn.state.opened - opened:
        turn.recover()
    turn.state = turn.state._replace(opened=frozenset(opened))


def darkness(turn: Turn) -> Slices[None]:
    """Let what ran when the voltage went away wait until it has been back for a while."""
    dark: dict[CircuitId, int | None] = {}
    for at, circuit in enumerate(turn.tree.circuits):
        yield
        if any(turn.tree.circuits[above].id in dark for above in turn.tree.above(at)):
            continue  # it is told of the circuit that feeds it
        voltage = _voltage(turn, at)
        if voltage is None:
            is_low = not _is_never_told(turn, at)
        else:
            is_low = voltage < circuit.restart.below_v
        if circuit.id not in turn.state.dark:
            running = turn.running(at)
            if is_low and voltage is not None and running:
                dark[circuit.id] = None
                data = {"voltage_v": round(voltage, 1)}
                turn.note(FactKind.CIRCUIT_DARK, circuit, Reason.NO_MAINS, data)
                for usage in running:
                    turn.shed(usage, at, Reason.NO_MAINS)
                    yield
            continue
        back_ms = turn.state.dark[circuit.id]
        if is_low:
            dark[circuit.id] = None
        elif back_ms is None or turn.now_ms - back_ms < circuit.restart.after_s * 1000:
            dark[circuit.id] = turn.now_ms if back_ms is None else back_ms
        else:
            turn.note(FactKind.CIRCUIT_LIT, circuit)
            turn.recover()
    if dark != turn.state.dark:
        turn.state = turn.state._replace(dark=MappingProxyType(dark))


def _is_never_told(turn: Turn, at: int) -> bool:
    """Say whether nobody who is left on a circuit could ever tell that its voltage is back."""
    members = turn.members[at]
    has_meter = turn.tree.circuits[at].meter is not None
    return bool(members) and not has_meter and not any(each.tells_voltage for each in members)


def _voltage(turn: Turn, at: int) -> float | None:
    """Give the voltage of a circuit: its meter's, or the highest of its outlets.

    Of outlets that are under voltage the first will do: most circuits are, at every look.
    """
    circuit = turn.tree.circuits[at]
    feed = turn.scene.feeds.get(circuit.id)
    if feed is not None and feed.voltage_v is not None and is_heard(circuit, feed, turn.now_ms):
        return feed.voltage_v
    highest: float | None = None
    for usage in turn.members[at]:
        volts = usage.voltage_v
        if volts is not None and (highest is None or volts > highest):
            highest = volts
            if highest >= circuit.restart.below_v:
                break
    return highest
