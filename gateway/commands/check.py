"""``check`` and ``schema``: files, before any hardware is touched."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gateway.commands.circuit_plan import circuit_lines
from gateway.commands.failure import Exit
from gateway.commands.settings import Settings, global_options, pass_settings

if TYPE_CHECKING:
    from gateway.config import Site
    from gateway.config.schema import Kind


@click.command()
@click.argument("file", type=click.Path(path_type=Path, readable=False), required=False)
@click.option("--requests", is_flag=True, help="Print every planned request, too.")
@global_options()
@pass_settings
def check(settings: Settings, file: Path | None, requests: bool) -> int:
    """Check a site FILE with its profiles, and print its bus plan. Touches no hardware.

    Exit status 2: something is wrong in a file, or the buses are too slow to keep the
    site's promise (promise.cut_off_ms), or what an outlet or an interlock takes for silence.
    """
    if file is not None:
        settings.site_option = file
    site = settings.site()
    for warning in site.warnings:
        click.echo(f"warning: {warning}", err=True)
    click.echo(_summary(site))
    for line in circuit_lines(site):
        click.echo(line)
    from gateway.commands.bus_plan import print_plans  # noqa: PLC0415 - brings in the drivers
    from gateway.commands.interlock_plan import print_interlocks  # noqa: PLC0415 - the same
    from gateway.commands.plug_plan import print_plug_plans  # noqa: PLC0415 - the same

    broken = print_interlocks(site)
    broken += print_plans(site, requests=requests) if site.buses else []
    broken += print_plug_plans(site)
    for line in broken:
        click.echo(f"pilegate: {line}", err=True)
    return Exit.WRONG_INPUT if broken else Exit.OK


def _summary(site: Site) -> str:
    counts = (
        (len(site.stations), "station"),
        (len(site.piles), "pile"),
        (len(site.outlets), "outlet"),
        (len(site.all_devices), "device"),
        (len(site.all_buses), "bus"),
    )
    words = ", ".join(f"{count} {_plural(word, count)}" for count, word in counts)
    return f"{site.file}: site {site.id}: {words}"


def _plural(word: str, count: int) -> str:
    if count == 1:
        return word
    return f"{word}es" if word.endswith("s") else f"{word}s"


@click.command()
@click.argument("kind", type=click.Choice(["site", "profile", "mqtt-profile"]), default="site")
def schema(kind: Kind) -> None:
    """Print the JSON Schema of site files or of device profiles, for editors."""
    from gateway.config.schema import schema as make  # noqa: PLC0415 - pydantic is slow to import

    click.echo(json.dumps(make(kind), indent=2))
