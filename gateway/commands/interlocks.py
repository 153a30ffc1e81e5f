"""``interlocks``: what detectors and emergency stops say, and what they open."""

from __future__ import annotations

import json

import click

from gateway.commands.ask import ask
from gateway.commands.columns import columns
from gateway.commands.settings import Settings, global_options, pass_settings
from gateway.commands.show import moment
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
    rows: list[tuple[str, ...]] = [("interlock", "watches", "state", "since", "opens")]
    rows += [_row(view) for view in views]
    for line in columns(rows):
        click.echo(line)


def _row(view: InterlockView) -> tuple[str, ...]:
    cause = f" ({view.cause})" if view.cause else ""
    opens = f"{view.outlets} outlets"
    if view.circuits:
        opens += f", {', '.join(view.circuits)}"
    return (
        view.interlock,
        view.watches.replace("_", " "),
        f"{view.state}{cause}",
        "" if view.since_utc_ms is None else moment(view.since_utc_ms),
        opens,
    )
