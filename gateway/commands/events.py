"""``events``: the facts of the journal, those written and those to come."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import click

from gateway.commands.settings import Settings, global_options, pass_settings
from gateway.commands.show import event_line
from gateway.core.errors import CorrectInput
from gateway.core.facts import Fact, FactKind
from gateway.link.journal import MOST_FACTS, JournalReader, journal_path
from gateway.link.messages import fact_to_json

LARGEST_SEQ = 2**63 - 1
"""Of an SQLite integer."""
LAST = 50
"""How many facts are shown when nobody says from where on."""


@click.command()
@click.option(
    "--after", type=click.IntRange(0, LARGEST_SEQ), metavar="N", help="Those numbered above N."
)
@click.option("--follow", "-f", is_flag=True, help="Go on with those to come, until Ctrl-C.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@click.option(
    "--kind",
    "kinds",
    multiple=True,
    type=click.Choice([kind.value for kind in FactKind]),
    metavar="KIND",
    help="Only this kind, like outlet.cut; may be given several times.",
)
@global_options()
@pass_settings
def events(
    settings: Settings, after: int | None, follow: bool, as_json: bool, kinds: tuple[str, ...]
) -> None:
    """Show what happened, from the guard's journal; works when the guard is down.

    Without --after it begins with the last 50.
    """
    state_dir = settings.state_dir()
    seq = after or 0
    with JournalReader(journal_path(state_dir)) as journal:
        if after is None:
            seq = max(0, journal.last_seq() - LAST)
        for fact in _written(journal, seq):
            seq = fact.seq
            _show(fact, kinds, as_json=as_json)
    if follow:
        asyncio.run(_to_come(settings.socket(), seq, kinds, as_json=as_json))


def _written(journal: JournalReader, seq: int) -> Iterator[Fact]:
    while page := journal.facts_after(seq, MOST_FACTS):
        yield from page
        seq = page[-1].seq


async def _to_come(socket: Path, seq: int, kinds: tuple[str, ...], *, as_json: bool) -> None:
    """Follow the guard over its restarts; being away is said once, on stderr."""
    from gateway.link.client import FactArrived  # noqa: PLC0415 - only here is asyncio needed
    from gateway.link.follow import LinkDown, LinkUp, follow_for_ever  # noqa: PLC0415

    away = False
    async for event in follow_for_ever(socket, facts_after=seq):
        match event:
            case FactArrived(fact):
                _show(fact, kinds, as_json=as_json)
            case LinkDown(CorrectInput() as error):
                raise error  # asked again, it would be refused again
            case LinkDown(error) if not away:
                away = True
                click.echo(f"pilegate: {error}; waiting for it", err=True)
            case LinkUp() if away:
                away = False
                click.echo("pilegate: the guard is back", err=True)
            case _:
                pass


def _show(fact: Fact, kinds: tuple[str, ...], *, as_json: bool) -> None:
    if not kinds or fact.kind in kinds:
        click.echo(json.dumps(fact_to_json(fact)) if as_json else event_line(fact))
