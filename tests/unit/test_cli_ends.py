"""How commands end: one line on stderr, the right status, never a traceback."""

from __future__ import annotations

import asyncio
import errno
import io
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import click
import pytest

from gateway import cli
from gateway.cli import run
from gateway.commands import events
from gateway.commands.failure import GuardNotReachable, Unsuccessful
from gateway.core.errors import (
    CorrectFiles,
    CorrectInput,
    FixInstallation,
    NotAllowed,
    NotKnown,
    Problem,
    Refused,
    TryLater,
)
from gateway.link.follow import LinkDown


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> Callable[[BaseException], None]:
    """Make ``pilegate top`` fail with an error."""

    def install(error: BaseException) -> None:
        @click.command()
        def fails() -> None:
            raise error

        monkeypatch.setattr(cli.LazyGroup, "get_command", lambda *_: fails)

    return install


@pytest.mark.parametrize(
    ("error", "status", "line"),
    [
        (Refused("n1 is cut", code="latched"), 1, "n1 is cut"),
        (Unsuccessful("not\nall\n are off"), 1, "not all are off"),
        (NotAllowed("not you"), 1, "not you"),
        (FixInstallation("a newer database"), 1, "a newer database"),
        (CorrectInput("no such form", field="x"), 2, "no such form"),
        (NotKnown("no outlet"), 2, "no outlet"),
        (GuardNotReachable("nobody listens"), 3, "nobody listens"),
        (TryLater("hung"), 3, "hung"),
        (ExceptionGroup("tasks", [FixInstallation("port taken")]), 1, "port taken"),
        (
            OSError(errno.EROFS, "Read-only file system", "/x/guard.db"),
            1,
            (
                "/x/guard.db: read-only file system "
                "(the disk is mounted read-only: choose another place or remount it)"
            ),
        ),
        (
            ZeroDivisionError("division\nby zero"),
            1,
            "unexpected ZeroDivisionError: division by zero (this is a bug; run with --debug)",
        ),
    ],
)
def test_errors(
    failing: Callable[[BaseException], None],
    capsys: pytest.CaptureFixture[str],
    error: BaseException,
    status: int,
    line: str,
) -> None:
    failing(error)
    assert run(["top"]) == status
    out, err = capsys.readouterr()
    assert out == ""
    assert err == f"pilegate: {line}\n"


def test_wrong_files_get_a_line_each(
    failing: Callable[[BaseException], None], capsys: pytest.CaptureFixture[str]
) -> None:
    failing(CorrectFiles([Problem("a.yaml", 3, "buses[0]", "x"), Problem("a.yaml", None, "", "y")]))
    assert run(["top"]) == 2
    assert capsys.readouterr().err == "pilegate: a.yaml:3: buses[0]: x\npilegate: a.yaml: y\n"


def test_debug_shows_the_traceback_as_well(
    failing: Callable[[BaseException], None], capsys: pytest.CaptureFixture[str]
) -> None:
    failing(ZeroDivisionError("why"))
    assert run(["--debug", "top"]) == 1
    err = capsys.readouterr().err
    assert "Traceback" in err
    assert err.endswith("(this is a bug; run with --debug)\n")


@pytest.mark.parametrize("error", [KeyboardInterrupt(), click.Abort()])
def test_interrupts_are_quiet(
    failing: Callable[[BaseException], None],
    capsys: pytest.CaptureFixture[str],
    error: BaseException,
) -> None:
    failing(error)
    assert run(["top"]) == 130
    out, err = capsys.readouterr()
    assert (out, err.strip()) == ("", "")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["on", "n1-1"], "pilegate on: missing option '--for'"),
        (["on", "n1-1", "--for", "soon"], "'soon' is not a duration: write 90s, 30m, 2h"),
        (["on", "n1-1", "--for", "0s"], "'0s' is no time at all"),
        (["on", "n1-1", "--for", "1h", "--energy-wh", "nan"], "'nan' is no number above 0"),
        (["on", "n1-1", "--for", "1h", "--power-w", "inf"], "'inf' is no number above 0"),
        (["on", "n1-1", "--for", "1h", "--power-w", "-1"], "'-1' is no number above 0"),
        (["events", "--after", "9" * 30], "is not in the range 0<=x<="),
        (["token", "create", "x", "--role", "viewer", "--for", "99999d"], "--for: at most 3650d"),
        (["replay", "x.csv", "--poll", "0.00001s"], "--poll: expected 0.05s to 60m"),
        (["replay", "x.csv", "--voltage", "nan"], "'nan' is no number above 0"),
        (["replay", "x.csv", "--power-factor", "3"], "expected 0.05 to 1, not '3'"),
        (["sim", "--bogus"], "pilegate sim: unrecognized arguments: --bogus (see pilegate sim"),
        (["sim"], "pilegate sim: name a scenario or a site"),
        (["sim", "--scenario", "nope"], "pilegate sim: nope: "),
        (["on", "pile/n1", "--for", "1h"], "'pile/n1': only one outlet at a time goes on"),
        (["off"], "pilegate off: missing argument 'TARGET'"),
        (["off", "pile/"], "'pile/' is not a target: write an outlet (n1-3), pile/n1"),
        (["off", "Pile/n1"], "'Pile/n1' is not a target"),
        (["off", "../x"], "'../x' is not a target"),
        (["frobnicate"], "no such command 'frobnicate'"),
        (["--colour"], "no such option"),
        (["top"], "top needs a terminal that can be drawn on"),
        (["schema", "house"], "'house' is not one of 'site', 'profile'"),
        (["events", "--after", "-1"], "-1 is not in the range"),
        (["events", "--kind", "boom"], "'boom' is not one of"),
        (["demo", "--by", "tcp", "--site", __file__], "--by and --site both choose a site"),
        (["demo", "--scenario", "nope"], "is called 'nope'"),
        (["demo", "--scenario", "../sites/demo-tcp"], "is called '../sites/demo-tcp'"),
    ],
)
def test_wrong_arguments_are_one_line_and_status_two(
    capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    assert run(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert said in err
    assert err.count("\n") == 1
    assert err.startswith("pilegate")


def test_every_command_has_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--help"]) == 0
    overview = capsys.readouterr().out
    for name in cli.COMMANDS:
        assert f"\n  {name} " in overview
        assert run([name, "--help"]) == 0
        assert capsys.readouterr().out.startswith(("Usage: pilegate", "usage: pilegate"))


def test_schemas_are_json_schemas(capsys: pytest.CaptureFixture[str]) -> None:
    for kind, key in (("site", "stations"), ("profile", "values")):
        assert run(["schema", kind]) == 0
        assert f'"{key}"' in capsys.readouterr().out


def test_output_that_is_closed_is_no_bug(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    assert run(["scenario", "list"]) == 0


def test_output_takes_any_text_in_any_encoding(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="latin-1"))

    @click.command()
    def tells() -> None:
        print("Tor 北门 …")  # noqa: T201 - as rich does, past click

    monkeypatch.setattr(cli.LazyGroup, "get_command", lambda *_: tells)
    assert run(["tells"]) == 0
    assert raw.getvalue() == b"Tor ?? ?\n"


def test_following_ends_when_the_guard_says_that_it_can_not_be(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Asked again, it refused again, once a second for ever."""

    async def refused(*_: object, **__: object) -> AsyncIterator[LinkDown]:
        yield LinkDown(CorrectInput("this is another journal"))

    monkeypatch.setattr("gateway.link.follow.follow_for_ever", refused)
    with pytest.raises(CorrectInput, match="another journal"):
        asyncio.run(events._to_come(Path("guard.sock"), 9, (), as_json=False))
