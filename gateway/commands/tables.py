"""Outlets and buses as rich tables: one renderer for ``outlets``, ``top`` and the demonstration.

Everything that matters fits into 80 columns; wider terminals get more columns.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from gateway.commands.show import amount, energy, power, short_age, short_event
from gateway.core.units import format_duration
from gateway.link.messages import BusView, OutletView

WIDE = 110
"""From this many columns on, notes get a column of their own."""
WIDEST = 130
"""From this many on, the pile gets one as well."""
EVENT_WIDTH = len("ended: overcurrent_instant")
"""The longest that is usual."""
PIPE_WIDTH = 160
"""Width when nobody looks: another program reads whole lines."""

_STATE_STYLES = {
    "on": "bold green",
    "waiting": "cyan",
    "starting": "green",
    "stopping": "yellow",
    "cut": "bold red",
    "locked": "magenta",
    "unknown": "yellow",
}
_BUS_STYLES = {"open": "green", "lost": "bold red", "connecting": "yellow"}


def console() -> Console:
    """Make the console of stdout."""
    return Console(width=None if sys.stdout.isatty() else PIPE_WIDTH, highlight=False)


def can_draw() -> bool:
    """Say whether stdout is a terminal on which a live table can be drawn."""
    out = console()
    return out.is_terminal and not out.is_dumb_terminal


def outlet_table(views: Sequence[OutletView], *, width: int, now_utc_ms: int) -> Table:
    """Build the table of outlets, one line each, in the order given."""
    wide = width >= WIDE
    widest = width >= WIDEST
    table = _plain_table()
    table.add_column("outlet", no_wrap=True, min_width=6)
    if widest:
        table.add_column("pile", no_wrap=True, style="dim")
    table.add_column("state", no_wrap=True, min_width=8)
    for name, least in (("V", 5), ("A", 5), ("W", 5), ("Wh", 6), ("left", 6)):
        table.add_column(name, justify="right", no_wrap=True, min_width=least)
    table.add_column(
        "last event",
        no_wrap=True,
        overflow="ellipsis",
        ratio=None if wide else 1,
        width=EVENT_WIDTH if wide else None,
    )
    table.add_column("ago", justify="right", no_wrap=True, min_width=3)
    if wide:
        table.add_column("note", no_wrap=True, overflow="ellipsis", ratio=1)
    for view in views:
        event, age = _last_event(view, now_utc_ms, wide=wide)
        old = "dim" if view.stale else ""
        cells: list[RenderableType] = [
            view.outlet,
            Text(view.state, _STATE_STYLES.get(view.state, "")),
            Text(amount(view.voltage_v, 1), old),
            Text(amount(view.current_a, 2), old),
            Text(power(view.power_w), old),
            energy(view.energy_mwh) if view.energy_mwh or view.lease else "",
            _left(view, now_utc_ms),
            event,
            age,
        ]
        if widest:
            cells.insert(1, view.pile)
        if wide:
            cells.append(Text(note(view), "yellow" if view.stale else ""))
        table.add_row(*cells)
    return table


def bus_table(buses: Sequence[BusView]) -> Table:
    """Build the table of buses."""
    table = _plain_table()
    for name in ("bus", "state"):
        table.add_column(name, no_wrap=True, min_width=6)
    for name in ("busy", "cycle", "requests", "timeouts", "errors"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("detail", no_wrap=True, overflow="ellipsis", ratio=1)
    for bus in buses:
        table.add_row(
            bus.bus,
            Text(bus.state, _BUS_STYLES.get(bus.state, "")),
            "-" if bus.utilisation is None else f"{bus.utilisation:.0%}",
            "-" if bus.cycle_ms is None else f"{bus.cycle_ms:.0f} ms",
            str(bus.requests),
            str(bus.timeouts),
            str(sum(bus.errors.values())),
            bus.detail,
        )
    return table


def site_screen(
    views: Sequence[OutletView],
    buses: Sequence[BusView],
    *,
    head: str,
    trouble: str = "",
    foot: str,
    width: int,
    height: int,
    now_utc_ms: int,
) -> Group:
    """Build a whole screen of at most ``height`` lines: head, outlets, buses, foot."""
    around = 1 + bool(trouble) + 1 + 1 + 1 + len(buses) + 1 + foot.count("\n")
    room = height - around
    shown = fitting(views, max(room, 3))
    parts: list[RenderableType] = [Text(head, "bold", no_wrap=True, overflow="ellipsis")]
    if trouble:
        parts.append(Text(trouble, "bold red", no_wrap=True, overflow="ellipsis"))
    parts.append(outlet_table(shown, width=width, now_utc_ms=now_utc_ms))
    if hidden := len(views) - len(shown):
        parts.append(Text(f"… and {hidden} more; see: pilegate outlets", "dim"))
    parts += ["", bus_table(buses), Text(foot, "dim", no_wrap=True, overflow="ellipsis")]
    return Group(*parts)


def fitting(views: Sequence[OutletView], room: int) -> Sequence[OutletView]:
    """Choose what fits: all of them, else those that need eyes first, in site order."""
    if len(views) <= room:
        return views
    ranked = sorted(range(len(views)), key=lambda index: (_dull(views[index]), index))
    return [views[index] for index in sorted(ranked[: room - 1])]


def _dull(view: OutletView) -> int:
    """Rank how little an outlet needs eyes: 0 the least dull."""
    if view.latch is not None or view.alarms:
        return 0
    if view.state != "off":
        return 1
    return 2 if view.stale else 3


def summary(views: Sequence[OutletView]) -> str:
    """Count outlets by state: ``20 outlets: 3 on, 1 cut``."""
    counts: dict[str, int] = {}
    for view in views:
        counts[view.state] = counts.get(view.state, 0) + 1
    states = ", ".join(f"{count} {state}" for state, count in counts.items())
    return f"{len(views)} outlets: {states}" if views else "no outlets"


def note(view: OutletView) -> str:
    """Say what keeps an outlet from being used, or what is wrong with it."""
    notes = []
    if view.latch is not None:
        notes.append(f"{view.latch.reason}, release: {view.latch.release}")
    notes += [f"alarm: {alarm}" for alarm in view.alarms]
    if view.waits_for is not None:
        notes.append(f"waits for room on circuit {view.waits_for}")
    if view.locks:
        notes.append(f"locked: {', '.join(view.locks)}")
    if view.stale:
        notes.append(_silence(view))
    return "; ".join(notes)


def _silence(view: OutletView) -> str:
    state = "" if view.device_state in ("", "online") else f", device {view.device_state}"
    if view.sample_age_ms is None:
        return f"never measured{state}"
    return f"no sample for {short_age(view.sample_age_ms)}{state}"


def _last_event(view: OutletView, now_utc_ms: int, *, wide: bool) -> tuple[Text, str]:
    """Say what happened last; a narrow table says here what is wrong, if anything is."""
    fact = view.last_fact
    if not wide and view.latch is not None:
        since = view.latch.since_utc_ms
        return Text(f"cut: {view.latch.reason}", "red"), short_age(now_utc_ms - since)
    if not wide and (view.stale or view.alarms):
        return Text(note(view), "yellow"), ""
    if fact is None:
        return Text(""), ""
    return Text(short_event(fact.kind, fact.reason)), short_age(now_utc_ms - fact.utc_ms)


def _left(view: OutletView, now_utc_ms: int) -> str:
    if view.lease is None:
        return ""
    return format_duration(max(0.0, (view.lease.until_utc_ms - now_utc_ms) / 1000))


def _plain_table() -> Table:
    """Make a table without rules: it stays readable in a pipe, and 80 columns are few."""
    return Table(box=None, padding=(0, 1, 0, 0), header_style="underline", expand=True)
