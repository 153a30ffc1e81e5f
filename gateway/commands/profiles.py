"""``profile``: device profiles, and whether they say what a document or a captured line says."""

from __future__ import annotations

from pathlib import Path

import click

from gateway.commands.failure import Unsuccessful
from gateway.commands.settings import Settings, global_options, pass_settings
from gateway.core.errors import CorrectFiles, CorrectInput, Problem

MAX_BYTES = 1024 * 1024


@click.group()
def profile() -> None:
    """Check device profiles, and list those that come with the program."""


@profile.command("list")
def list_() -> None:
    """List the delivered profiles."""
    from gateway.config.profile_files import BUILT_IN  # noqa: PLC0415 - pydantic is slow to import
    from gateway.config.yaml_source import read_yaml  # noqa: PLC0415

    rows = [(path.stem, str(read_yaml(path).data["name"])) for path in BUILT_IN.glob("*.yaml")]
    width = max((len(name) for name, _ in rows), default=0)
    for name, what in sorted(rows):
        click.echo(f"{name.ljust(width)}  {what}")


@profile.command("test")
@click.argument("file")
@click.option(
    "--transcript",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    required=True,
    metavar="T",
    help="Requests and answers in hex, with the values they must give.",
)
@click.option("--unit", type=click.IntRange(1, 255), help="The device's; else the first one.")
@click.option(
    "--channel",
    type=click.IntRange(1, 256),
    default=1,
    show_default=True,
    help="What names without a number at their end stand for.",
)
@click.option("--quiet", "-q", is_flag=True, help="Print only what is wrong, and the sum.")
@global_options()
@pass_settings
def test(
    settings: Settings,
    file: str,
    *,
    transcript: Path,
    unit: int | None,
    channel: int,
    quiet: bool,
) -> None:
    """Compare a profile FILE with a transcript of raw bytes. Touches no hardware.

    FILE is a YAML file, or the name of a delivered profile. The transcript's format stands in
    drivers/modbus/README.md. Exit status 1: the profile makes something else of the bytes.
    """
    del settings
    from drivers.modbus.transcript import (  # noqa: PLC0415 - brings in the drivers
        NotATranscript,
        check_transcript,
        read_transcript,
    )
    from gateway.commands.profile_file import modbus_profile  # noqa: PLC0415

    checked = modbus_profile(file)
    if transcript.stat().st_size > MAX_BYTES:
        raise CorrectInput(f"{transcript}: a transcript has at most {MAX_BYTES} bytes")
    try:
        lines = read_transcript(transcript.read_text(encoding="utf-8"))
        found = check_transcript(checked, lines, unit=unit, channel=channel)
    except NotATranscript as err:
        line, _, message = str(err).partition(": ")
        number = int(line.removeprefix("line "))
        raise CorrectFiles([Problem(str(transcript), number, "", message)]) from err
    except UnicodeDecodeError as err:
        problem = Problem(str(transcript), None, "", "is no text in UTF-8")
        raise CorrectFiles([problem]) from err
    for verdict in found.verdicts:
        if not (quiet and verdict.is_ok):
            word = "ok   " if verdict.is_ok else "wrong"
            click.echo(f"{word}  {transcript.name}:{verdict.line}: {verdict.text}")
    if not found.exchanges:
        raise CorrectInput(f"{transcript}: no exchange in it: write requests (>) and answers (<)")
    if found.not_shown:
        click.echo(f"not shown by any answer: {', '.join(found.not_shown)}")
    wrong = len(found.wrong)
    if wrong:
        raise Unsuccessful(
            f"profile {checked.profile} and {transcript} do not agree in {wrong} places: "
            "correct the one that is wrong"
        )
    click.echo(f"{checked.profile}: {found.exchanges} exchanges, {found.values} values: all ok")
