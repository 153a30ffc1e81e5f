"""``token``: who may use the API. Works on the database itself; serve need not run."""

from __future__ import annotations

import asyncio
import json
import time

import click

from gateway.commands.params import DURATION
from gateway.commands.settings import Settings, global_options, pass_settings
from gateway.commands.show import date_time
from gateway.core.errors import CorrectInput

LONGEST_S = 3_650 * 86_400


@click.group()
def token() -> None:
    """Make, list and revoke API tokens."""


@token.command()
@click.argument("name")
@click.option(
    "--role",
    type=click.Choice(["viewer", "operator", "admin"]),
    required=True,
    help="viewer reads, operator also gives commands, admin also handles tokens.",
)
@click.option("--for", "for_s", type=DURATION, help="How long it is good for: 8h, 30d.")
@global_options()
@pass_settings
def create(settings: Settings, name: str, role: str, for_s: float | None) -> None:
    """Make a token called NAME and print it; it can't be shown again."""
    from gateway.serve.tokens import create_token  # noqa: PLC0415 - a database is slow to import

    if for_s is not None and for_s > LONGEST_S:
        raise CorrectInput("--for: at most 3650d; without it a token is good until it is revoked")
    site = settings.site()
    expires_utc_ms = None
    if for_s is not None:
        expires_utc_ms = time.time_ns() // 1_000_000 + round(for_s * 1000)
    made = create_token(site.serve.database, name, role, expires_utc_ms, folder=site.state_dir)
    click.echo(asyncio.run(made))


@token.command("list")
@click.option("--json", "as_json", is_flag=True, help="One JSON array.")
@global_options()
@pass_settings
def list_(settings: Settings, as_json: bool) -> None:
    """List all tokens, but not the tokens themselves."""
    from gateway.serve.tokens import TokenView, list_tokens  # noqa: PLC0415

    def state(view: TokenView, now_utc_ms: int) -> str:
        if view.revoked_utc_ms is not None:
            return f"revoked {date_time(view.revoked_utc_ms)}"
        if view.expires_utc_ms is None:
            return "good"
        over = view.expires_utc_ms <= now_utc_ms
        return f"{'over since' if over else 'good until'} {date_time(view.expires_utc_ms)}"

    site = settings.site()
    views = asyncio.run(list_tokens(site.serve.database, folder=site.state_dir))
    if not views:
        click.echo("no tokens yet: pilegate token create NAME --role viewer", err=True)
    if as_json:
        from dataclasses import asdict  # noqa: PLC0415 - only here

        click.echo(json.dumps([asdict(view) for view in views]))
        return
    now_utc_ms = time.time_ns() // 1_000_000
    for view in views:
        used = view.last_used_utc_ms
        last = f"last used {date_time(used)}" if used is not None else "never used"
        click.echo(f"{view.name:<24} {view.role:<9} {state(view, now_utc_ms):<26} {last}")


@token.command()
@click.argument("name")
@global_options()
@pass_settings
def revoke(settings: Settings, name: str) -> None:
    """End the token called NAME."""
    from gateway.serve.tokens import revoke_token  # noqa: PLC0415

    site = settings.site()
    asyncio.run(revoke_token(site.serve.database, name, folder=site.state_dir))
    click.echo(f"{name} is revoked; serve forgets it within two seconds")
