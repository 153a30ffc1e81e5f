"""``interlocks``: what detectors and emergency stops say, and what they open."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import click

from gateway.commands.ask import ask
from gateway.commands.settings import Settings, global_options, pass_settings
from gateway.link.interlocks import InterlockView
from gateway.link.requests import InterlocksAnswer, Method


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object for each interlock.")
@global_options()
@pass_settings
def interlocks(settings: Settings, *, as_json: bool) -> None:
    """Show every interlock: what it watches, how it is, and how much it opens."""
    views = InterlocksAnswer.from_json(ask(settings, Method.INTERLOCKS)).interlocks
    if as_json:
        for view in views:
            click.echo(json.dumps(view.to_json(), separators=(",", ":")))
        return
    if not views:
        click.echo("no interlocks: the site file has none (interlocks:)")
        return
    rows: list[tuple[str, ...]] = [("interlock", "watches", "state", "since (UTC)", "opens")]
    rows += [_row(view) for view in views]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        click.echo("  ".join(cells).rstrip())


def _row(view: InterlockView) -> tuple[str, ...]:
    cause = f" ({view.cause})" if view.cause else ""
    opens = f"{view.outlets} outlets"
    if view.circuits:
        opens += f", {', '.join(view.circuits)}"
    return (
        view.interlock,
        view.watches.replace("_", " "),
        f"{view.state}{cause}",
        "" if view.since_utc_ms is None else _time(view.since_utc_ms),
        opens,
    )


def _time(utc_ms: int) -> str:
    return datetime.fromtimestamp(utc_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")
