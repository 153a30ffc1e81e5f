"""PURE: whether a circuit is measured, closed and under voltage, and what follows from it."""

from __future__ import annotations

from types import MappingProxyType
from typing import NamedTuple

from gateway.config import Circuit
from gateway.core.facts import FactKind
from gateway.core.ids import CircuitId
from gateway.core.reasons import Reason
from gateway.guard.circuit_load import is_heard
from gateway.guard.circuit_state import Low
from gateway.guard.circuit_turn import Turn
from gateway.guard.slices import Slices

SURE_S = 5.0
"""Without another reading, and without another meter, a low voltage is taken to be one, unless
power is seen to flow."""
FLOWS_W = 1.0
"""Less is what a meter shows of nothing (the rule *unplugged*, by default)."""


class _Told(NamedTuple):
    """What is known of a circuit's voltage."""

    voltage_v: float
    read_ms: int
    """When the newest of what it comes from was read."""
    by_meter: bool
    """Whether the circuit's own meter says so, and not the outlets beneath."""

    def is_below(self, circuit: Circuit) -> bool:
        return self.voltage_v < circuit.restart.below_v


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
    low: dict[CircuitId, Low] = {}
    for at, circuit in enumerate(turn.tree.circuits):
        yield
        if any(turn.tree.circuits[above].id in dark for above in turn.tree.above(at)):
            continue  # it is told of the circuit that feeds it
        told = _voltage(turn, at)
        if circuit.id in turn.state.dark:
            back_ms = _back(turn, at, told)
            if back_ms is None or turn.now_ms - back_ms < circuit.restart.after_s * 1000:
                dark[circuit.id] = back_ms
            else:
                turn.note(FactKind.CIRCUIT_LIT, circuit)
                turn.recover()
            continue
        first = _low(turn, at, told)
        if first is None:
            continue
        yield
        if not _is_sure(turn, at, first, told):
            low[circuit.id] = first
            continue
        yield
        dark[circuit.id] = None
        volts = first.voltage_v if told is None else told.voltage_v
        data = {"voltage_v": round(volts, 1)}
        turn.note(FactKind.CIRCUIT_DARK, circuit, Reason.NO_MAINS, data)
        for usage in turn.running(at):
            turn.shed(usage, at, Reason.NO_MAINS)
            yield
    if dark != turn.state.dark:
        turn.state = turn.state._replace(dark=MappingProxyType(dark))
    if low != turn.state.low:
        turn.state = turn.state._replace(low=MappingProxyType(low))


def _back(turn: Turn, at: int, told: _Told | None) -> int | None:
    """Say since when the voltage of a dark circuit is back; None: it is not."""
    circuit = turn.tree.circuits[at]
    is_low = not _is_never_told(turn, at) if told is None else told.is_below(circuit)
    back_ms = turn.state.dark[circuit.id]
    if is_low:
        return None
    return turn.now_ms if back_ms is None else back_ms


def _low(turn: Turn, at: int, told: _Told | None) -> Low | None:
    """Give the first word that the voltage of a circuit is away, where nothing says otherwise."""
    circuit = turn.tree.circuits[at]
    first = turn.state.low.get(circuit.id)
    if told is None:
        # A meter that has said it and is silent since may well be without voltage itself.
        is_low = (
            first is not None
            and not _is_never_told(turn, at)
            and not _flows(_drawn(turn, at), first.read_ms)
        )
    else:
        is_low = told.is_below(circuit)
        first = first or Low(turn.now_ms, told.read_ms, told.voltage_v)
    return first if is_low and turn.running(at) else None


def _is_sure(turn: Turn, at: int, first: Low, told: _Told | None) -> bool:
    """Say whether it is no single bad reading: by a later one, by another meter, or by time.

    Two meters are as good as two readings, and sooner: a blackout has to be known before outlets
    are cut for undervoltage, which ends their leases.
    """
    if told is not None and (told.read_ms > first.read_ms or _others_agree(turn, at, told)):
        return True
    drawn = _drawn(turn, at)
    if _flows(drawn, first.read_ms):
        return False
    if turn.now_ms - first.since_ms >= SURE_S * 1000:
        return True
    # Outlets of one module have one voltage between them, but each has a power of its own.
    is_seen = all(read_ms >= first.read_ms for _, read_ms in drawn)
    return told is not None and len(drawn) > 1 and is_seen


def _others_agree(turn: Turn, at: int, told: _Told) -> bool:
    """Say whether more than one meter says that the voltage is low.

    Outlets whose voltage was read at one moment may have it from one register.
    """
    below_v = turn.tree.circuits[at].restart.below_v
    needed = 1 if told.by_meter else 2
    lows: set[int | None] = set()
    for usage in turn.members[at]:
        if usage.voltage_v is not None and usage.voltage_v < below_v:
            lows.add(usage.voltage_ms)
            if len(lows) >= needed:
                return True
    return False


def _drawn(turn: Turn, at: int) -> list[tuple[float, int]]:
    """Give what each outlet draws that runs and is measured, in W, and when that was read.

    What was read before it went on says nothing, and is as old as can be.
    """
    return [
        (usage.measured.power_w, usage.drawn_ms if usage.drawn_ms > usage.since_ms else 0)
        for usage in turn.running(at)
        if usage.measured is not None and usage.drawn_ms is not None
    ]


def _flows(drawn: list[tuple[float, int]], since_ms: int) -> bool:
    """Say whether an outlet was seen to draw power since then."""
    return any(power_w > FLOWS_W and read_ms >= since_ms for power_w, read_ms in drawn)


def _is_never_told(turn: Turn, at: int) -> bool:
    """Say whether nobody who is left on a circuit could ever tell that its voltage is back."""
    members = turn.members[at]
    has_meter = turn.tree.circuits[at].meter is not None
    return bool(members) and not has_meter and not any(each.tells_voltage for each in members)


def _voltage(turn: Turn, at: int) -> _Told | None:
    """Give the voltage of a circuit: its meter's, or the highest of its outlets.

    Of outlets that are under voltage the first will do: most circuits are, at every look.
    """
    circuit = turn.tree.circuits[at]
    feed = turn.scene.feeds.get(circuit.id)
    if feed is not None and feed.voltage_v is not None and is_heard(circuit, feed, turn.now_ms):
        return _Told(feed.voltage_v, feed.voltage_ms or 0, by_meter=True)
    highest_v, read_ms = None, 0
    for usage in turn.members[at]:
        volts = usage.voltage_v
        if volts is None:
            continue
        read_ms = max(read_ms, usage.voltage_ms or 0)
        if highest_v is None or volts > highest_v:
            highest_v = volts
            if highest_v >= circuit.restart.below_v:
                break
    return None if highest_v is None else _Told(highest_v, read_ms, by_meter=False)
