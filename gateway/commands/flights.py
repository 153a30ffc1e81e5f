"""``flights``: what the flight recorder kept, as a list and as JSON Lines."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import click

from gateway.commands.failure import Exit, Unsuccessful
from gateway.commands.settings import Settings, global_options, pass_settings
from gateway.commands.show import moment
from gateway.core.errors import CorrectInput, NotKnown
from gateway.core.facts import FactKind
from gateway.link.flight import FlightHead
from gateway.link.journal import MOST_FLIGHTS, JournalReader, journal_path

LAST = 50
"""How many records are shown when nobody says how many."""
KINDS = (FactKind.LEASE_ENDED, FactKind.OUTLET_CUT, FactKind.OUTLET_ALARM)


@click.command()
@click.argument("which", required=False, metavar="[OUTLET|ID]")
@click.option(
    "--kind",
    type=click.Choice([kind.value for kind in KINDS]),
    metavar="KIND",
    help="Only this kind: lease.ended, outlet.cut or outlet.alarm.",
)
@click.option("--reason", help="Only this reason, like overcurrent_instant.")
@click.option(
    "--last",
    "most",
    type=click.IntRange(min=1),
    help=f"So many of the newest; {LAST}, and all with --export.",
)
@click.option(
    "--export",
    "target",
    metavar="FILE|-",
    help="Write the records as JSON Lines to a new file, or to the terminal.",
)
@click.option("--json", "as_json", is_flag=True, help="The list as JSON, one object a line.")
@global_options()
@pass_settings
def flights(
    settings: Settings,
    *,
    which: str | None,
    kind: str | None,
    reason: str | None,
    most: int | None,
    target: str | None,
    as_json: bool,
) -> int:
    """Show flight records: the samples before and after every end, cut-off and alarm.

    OUTLET takes those of one outlet; a number takes the one that is about that fact, as numbered
    by `pilegate events`. Works when the guard is down. `pilegate replay FILE` replays an export.
    """
    outlet, seq = (None, int(which)) if which and which.isdigit() else (which, None)
    with JournalReader(journal_path(settings.state_dir())) as journal:
        if seq is not None:
            found = _one(journal, seq)
        else:
            limit = most or (LAST if target is None else None)
            found = _heads(journal, outlet, kind, reason, limit)
        if target is not None:
            return _export(journal, found, target)
        shown = 0
        for head in found:
            shown += 1
            click.echo(json.dumps(asdict(head)) if as_json else _line(head))
    if not shown and not as_json:
        click.echo("no flight records" + (f" of {outlet}" if outlet else ""))
    return Exit.OK


def _heads(
    journal: JournalReader,
    outlet: str | None,
    kind: str | None,
    reason: str | None,
    limit: int | None,
) -> Iterator[FlightHead]:
    """Give heads, newest first."""
    before: int | None = None
    left = limit
    while left is None or left > 0:
        size = MOST_FLIGHTS if left is None else min(left, MOST_FLIGHTS)
        page = journal.flights(
            outlet=outlet, kind=kind, reason=reason, before_seq=before, limit=size
        )
        yield from page
        if len(page) < size:
            return
        before = page[-1].seq
        left = None if left is None else left - len(page)


def _one(journal: JournalReader, seq: int) -> Iterator[FlightHead]:
    record = journal.flight(seq)
    if record is None:
        raise NotKnown(f"no flight record is about fact {seq}: see `pilegate flights`")
    first = int(record.header["seq"])
    yield from journal.flights(before_seq=first + 1, limit=1)


def _export(journal: JournalReader, heads: Iterator[FlightHead], target: str) -> int:
    if target == "-":
        for line in _lines(journal, heads):
            click.echo(line)
        return Exit.OK
    lines = _lines(journal, heads)
    first = next(lines, None)
    if first is None:
        raise Unsuccessful("no flight records: nothing was written")
    try:
        with Path(target).open("x", encoding="utf-8") as file:
            file.write(first + "\n")
            file.writelines(f"{line}\n" for line in lines)
    except FileExistsError as err:
        raise CorrectInput(f"{target}: exists: choose another name", field="export") from err
    return Exit.OK


def _lines(journal: JournalReader, heads: Iterator[FlightHead]) -> Iterator[str]:
    for head in heads:
        record = journal.flight(head.seq)
        if record is not None:  # else it was deleted meanwhile: it was the oldest
            yield from record.lines()


def _line(head: FlightHead) -> str:
    unsure = "" if head.quality == "synced" else f"  (clock {head.quality})"
    return (
        f"{head.seq:>6}  {moment(head.utc_ms)}  {head.kind:<12}  {head.outlet}  {head.reason}"
        f"  {head.samples} samples{unsure}"
    )
