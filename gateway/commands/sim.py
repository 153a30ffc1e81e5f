"""``sim``: the simulators, which read their own arguments."""

from __future__ import annotations

import click


@click.command(
    context_settings={"ignore_unknown_options": True, "help_option_names": []},
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def sim(arguments: tuple[str, ...]) -> int:
    """Simulate the hardware of a scenario; see pilegate sim --help."""
    from simulators.app import main  # noqa: PLC0415 - only here are simulators needed

    try:
        return main(arguments)
    except SystemExit as end:  # argparse, after it has said what is wrong
        return end.code if isinstance(end.code, int) else 2
