"""``broker``: the embedded MQTT broker, and who may connect to it."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gateway.commands.settings import Settings, global_options, pass_settings
from gateway.core.errors import CorrectInput

if TYPE_CHECKING:
    from gateway.config import BrokerSettings

USERS_OPTION = click.option(
    "--users-file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Lines of name:password-hash; the site file's without it.",
)


@click.group(invoke_without_command=True)
@click.option("--listen", metavar="HOST:PORT", help="Instead of the site file's broker.listen.")
@USERS_OPTION
@global_options()
@click.pass_context
def broker(ctx: click.Context, listen: str | None, users_file: Path | None) -> None:
    """Run the embedded MQTT broker (MQTT 3.1.1); until SIGTERM."""
    if ctx.invoked_subcommand is not None:
        return
    import uvloop  # noqa: PLC0415 - only daemons need it

    from gateway.broker.app import run_broker  # noqa: PLC0415 - only here is it needed
    from gateway.runtime.logging import set_up_logging  # noqa: PLC0415 - commands do not log

    settings = ctx.ensure_object(Settings)
    chosen = _chosen(settings, listen, users_file)
    set_up_logging(debug=settings.debug)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run_broker(chosen))


@broker.group()
def user() -> None:
    """Say who may connect to the embedded broker."""


@user.command()
@click.argument("name")
@click.option("--generate", is_flag=True, help="Make a password, and print it once.")
@USERS_OPTION
@global_options()
@pass_settings
def add(settings: Settings, name: str, generate: bool, users_file: Path | None) -> None:
    """Let NAME connect, or change its password. A running broker takes it over by itself."""
    from gateway.broker.users import generate_password, put_user  # noqa: PLC0415

    path = users_file or _site_broker(settings).users_file
    if path is None:
        raise CorrectInput(
            "no users file: write broker.users_file into the site file, or give --users-file",
            field="users_file",
        )
    password = generate_password() if generate else _asked(name)
    is_new = put_user(path, name, password)
    if generate:
        click.echo(password)
    click.echo(f"{path}: {name} {'added' if is_new else 'has another password now'}", err=True)


def _asked(name: str) -> str:
    """Ask at the terminal, twice; from a pipe the first line is taken."""
    if sys.stdin.isatty():
        return str(click.prompt(f"Password of {name}", hide_input=True, confirmation_prompt=True))
    return sys.stdin.readline().rstrip("\r\n")


def _site_broker(settings: Settings) -> BrokerSettings:
    site = settings.site()
    if site.broker is None:
        raise CorrectInput(
            f"{site.file} has no broker: section, so no broker is embedded: add one, such as"
            " broker: {listen: 127.0.0.1:1883}",
            field="broker",
        )
    return site.broker


def _chosen(settings: Settings, listen: str | None, users_file: Path | None) -> BrokerSettings:
    """Put the options and the site file together. Raises CorrectInput."""
    from dataclasses import replace  # noqa: PLC0415 - only here

    from gateway.config import BrokerSettings  # noqa: PLC0415 - pydantic is slow to import
    from gateway.config.settings_file import is_loopback, split_listen  # noqa: PLC0415

    if listen is None:
        chosen = _site_broker(settings)
        return chosen if users_file is None else replace(chosen, users_file=users_file)
    try:
        host, port = split_listen(listen)
    except ValueError as err:
        raise CorrectInput(f"--listen is like 127.0.0.1:1883: {err}", field="listen") from err
    if users_file is None and not is_loopback(host):
        raise CorrectInput(
            f"{host} can be reached from other machines: add --users-file, or listen on 127.0.0.1",
            field="listen",
        )
    return BrokerSettings(host=host, port=port, users_file=users_file)
