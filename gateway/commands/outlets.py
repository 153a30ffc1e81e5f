"""``outlets``: how every outlet is, once."""

from __future__ import annotations

import json
import time

import click

from gateway.commands.ask import ask, ask_outlets, other_site
from gateway.commands.params import TARGET
from gateway.commands.settings import Settings, global_options, pass_settings
from gateway.commands.target import Target
from gateway.core.errors import CorrectInput, NotKnown
from gateway.link.messages import OutletView
from gateway.link.requests import BusesAnswer, HelloAnswer, Method


@click.command()
@click.argument("target", type=TARGET, default="site")
@click.option("--json", "as_json", is_flag=True, help="One JSON array, with units in the names.")
@global_options()
@pass_settings
def outlets(settings: Settings, target: Target, as_json: bool) -> None:
    """Show the outlets of TARGET (by default the site) as a table."""
    views = _views(settings, target)
    if told := other_site(settings):
        click.echo(f"pilegate: {told}", err=True)
    if as_json:
        click.echo(json.dumps([view.to_json() for view in views]))
        return
    from gateway.commands.tables import console, outlet_table  # noqa: PLC0415 - rich is slow

    out = console()
    table = outlet_table(views, width=out.width, now_utc_ms=time.time_ns() // 1_000_000)
    if out.is_terminal:
        out.print(table)
    else:
        with out.capture() as captured:
            out.print(table)
        for line in captured.get().splitlines():
            click.echo(line.rstrip())
    if any(view.stale for view in views):
        _tell_of_lost_buses(settings)


def _tell_of_lost_buses(settings: Settings) -> None:
    """Say why outlets may be silent; which bus is whose stands in the site file."""
    for bus in BusesAnswer.from_json(ask(settings, Method.BUSES)).buses:
        if bus.state != "open":
            click.echo(f"pilegate: bus {bus.bus} is {bus.state}: {bus.detail}", err=True)


def _views(settings: Settings, target: Target) -> list[OutletView]:
    if target.kind == "outlet":
        return ask_outlets(settings, [target.id])
    views = ask_outlets(settings)
    if target.kind == "site":
        if target.id and target.id != (
            site := HelloAnswer.from_json(ask(settings, Method.HELLO)).site
        ):
            raise NotKnown(f"{target}: this guard keeps the site {site}")
        return views
    if target.kind == "circuit":
        raise CorrectInput(f"{target}: see pilegate circuits", field="target")
    found = [view for view in views if getattr(view, target.kind) == target.id]
    if not found:
        raise NotKnown(f"{target}: no such {target.kind}: pilegate outlets shows what there is")
    return found
