"""``guard``, ``serve``, ``run``: the processes themselves."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

import click

from gateway.commands.settings import Settings, global_options, pass_settings

if TYPE_CHECKING:
    from gateway.config import Site


@click.command()
@global_options()
@pass_settings
def guard(settings: Settings) -> None:
    """Run process one: owns the buses and keeps outlets safe; until SIGTERM."""
    from gateway.guard.app import run_guard  # noqa: PLC0415 - only here is the guard needed

    site = _begin(settings)
    for warning in site.warnings:
        logging.getLogger("gateway.config").warning("%s", warning)
    _run(run_guard(site, site.state_dir))


@click.command()
@global_options()
@pass_settings
def serve(settings: Settings) -> None:
    """Run process two: the API and what is done with outlets; until SIGTERM."""
    from gateway.serve.app import serve as run_serve  # noqa: PLC0415 - only here is it needed

    site = _begin(settings)
    _run(run_serve(site, site.state_dir))


@click.command()
@global_options()
@pass_settings
def run(settings: Settings) -> None:
    """Run guard, serve and the embedded broker, each started again when it ends; until SIGTERM."""
    from gateway.guard.state_lock import StateLock  # noqa: PLC0415 - only here is it needed
    from gateway.runtime.supervisor import Supervisor  # noqa: PLC0415 - only here is it needed

    site = _begin(settings)
    # Beside another guard, ours would only fail, and its failing would switch everything off.
    StateLock(site.state_dir).release()
    options = ["--site", str(site.file.absolute()), "--state-dir", str(site.state_dir)]
    if settings.debug:
        options.append("--debug")
    _run(Supervisor(options, with_broker=site.broker is not None).run())


def _begin(settings: Settings) -> Site:
    """Load the site, then log from here on: a wrong file is told as for any command."""
    from gateway.runtime.logging import set_up_logging  # noqa: PLC0415 - commands do not log

    site = settings.site()
    set_up_logging(debug=settings.debug)
    return site


def _run(main: Coroutine[Any, Any, None]) -> None:
    """Run a daemon on uvloop, one loop a process."""
    import uvloop  # noqa: PLC0415 - only daemons need it

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main)
