"""``top``: outlets and buses, live."""

from __future__ import annotations

import asyncio

import click

from gateway.commands.settings import Settings, global_options, pass_settings
from gateway.core.errors import CorrectInput


@click.command()
@global_options()
@pass_settings
def top(settings: Settings) -> None:
    """Show outlets and buses live; q or Ctrl-C ends it."""
    from gateway.commands.live import watch  # noqa: PLC0415 - rich and asyncio are slow to import
    from gateway.commands.tables import can_draw  # noqa: PLC0415

    if not can_draw():
        raise CorrectInput(
            "top needs a terminal that can be drawn on (see TERM): "
            "use pilegate outlets, or pilegate events --follow"
        )

    asyncio.run(watch(settings.socket()))
