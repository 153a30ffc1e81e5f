"""``circuits``: what feeds carry, what they may, and who waits for them."""

from __future__ import annotations

import json
from collections.abc import Sequence

import click

from gateway.commands.ask import ask
from gateway.commands.columns import columns
from gateway.commands.settings import Settings, global_options, pass_settings
from gateway.link.circuits import CircuitState, CircuitView
from gateway.link.requests import CircuitsAnswer, Method


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object for each circuit.")
@global_options()
@pass_settings
def circuits(settings: Settings, *, as_json: bool) -> None:
    """Show every circuit: its load and its limit, who waits, and its contactor."""
    views = CircuitsAnswer.from_json(ask(settings, Method.CIRCUITS)).circuits
    if as_json:
        for view in views:
            click.echo(json.dumps(view.to_json(), separators=(",", ":")))
        return
    if not views:
        click.echo("no circuits: the site file has none (circuits:)")
        return
    rows: list[tuple[str, ...]] = [
        ("circuit", "state", "load", "limit", "on", "waiting", "contactor", "note")
    ]
    rows += [_row(view, _depth(view, views)) for view in views]
    for line in columns(rows):
        click.echo(line)


def _depth(view: CircuitView, views: Sequence[CircuitView]) -> int:
    by_id = {each.circuit: each for each in views}
    depth = 0
    while view.parent is not None:
        view, depth = by_id[view.parent], depth + 1
    return depth


def _row(view: CircuitView, depth: int) -> tuple[str, ...]:
    return (
        f"{'  ' * depth}{view.circuit}",
        view.state.value,
        _amounts(view.power_w, view.current_a, view),
        _amounts(view.limit_w, view.limit_a, view),
        str(view.running),
        str(len(view.waiting)) if view.waiting else "",
        "" if view.contactor is None else view.contactor.value,
        _note(view),
    )


def _amounts(power_w: float | None, current_a: float | None, view: CircuitView) -> str:
    """Write what is limited: W, A, or both; and W where nothing is."""
    parts = []
    if power_w is not None and (view.limit_w is not None or view.limit_a is None):
        parts.append(f"{power_w:.0f} W")
    if current_a is not None and view.limit_a is not None:
        parts.append(f"{current_a:.1f} A")
    return " ".join(parts)


def _note(view: CircuitView) -> str:
    notes = []
    if view.state is CircuitState.OPENED:
        notes.append(f"opened: {view.opened_reason}; reset circuit/{view.circuit} on site")
    if view.known_by == "limits":
        notes.append("its meter is lost: outlets count with their limits")
    if view.waiting:
        more = f" and {len(view.waiting) - 5} more" if len(view.waiting) > 5 else ""
        notes.append(f"waiting: {', '.join(view.waiting[:5])}{more}")
    return "; ".join(notes)
