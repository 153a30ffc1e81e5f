"""``top``: outlets and buses, live."""

from __future__ import annotations

import asyncio
import sys

import click

from gateway.commands.settings import Settings, global_options, pass_settings
from gateway.core.errors import CorrectInput


@click.command()
@global_options()
@pass_settings
def top(settings: Settings) -> None:
    """Show outlets and buses live; q or Ctrl-C ends it."""
    if not sys.stdout.isatty():
        raise CorrectInput("top needs a terminal: use pilegate outlets, or pilegate events -f")
    from gateway.commands.live import watch  # noqa: PLC0415 - rich and asyncio are slow to import

    asyncio.run(watch(settings.socket()))
