"""The ``pilegate`` command: which commands there are, and how each one ends."""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import sys
import traceback
from collections.abc import Sequence

import click

from gateway.commands.failure import Exit, exit_of, line_of, line_of_os_error
from gateway.commands.settings import Settings, global_options
from gateway.core.errors import PilegateError

COMMANDS: dict[str, tuple[str, str]] = {
    "outlets": ("gateway.commands.outlets:outlets", "Show all outlets as a table."),
    "interlocks": (
        "gateway.commands.interlocks:interlocks",
        "Show detectors and emergency stops.",
    ),
    "circuits": ("gateway.commands.circuits:circuits", "Show what feeds carry, and who waits."),
    "on": ("gateway.commands.switch:on", "Switch an outlet on for a time."),
    "off": ("gateway.commands.switch:off", "Switch off and leave free."),
    "reset": ("gateway.commands.switch:reset", "Release what was cut."),
    "lock": ("gateway.commands.switch:lock", "Switch off and refuse to switch on."),
    "unlock": ("gateway.commands.switch:unlock", "Allow switching on again."),
    "all-off": ("gateway.commands.all_off:all_off", "Switch everything off, guard or no guard."),
    "top": ("gateway.commands.top:top", "Show outlets and buses live."),
    "events": ("gateway.commands.events:events", "Show what happened, and follow it."),
    "flights": ("gateway.commands.flights:flights", "Show and export flight records."),
    "check": ("gateway.commands.check:check", "Check a site file and print its bus plan."),
    "replay": ("gateway.commands.replay:replay", "Replay recorded charges, to try limits."),
    "profile": ("gateway.commands.profiles:profile", "Test device profiles, and list them."),
    "scan-bus": ("gateway.commands.scan_bus:scan_bus", "Find the devices on a line."),
    "probe": ("gateway.commands.probe:probe", "Read one device, raw and decoded."),
    "schema": ("gateway.commands.check:schema", "Print the JSON Schema of a file."),
    "token": ("gateway.commands.token:token", "Make, list and revoke API tokens."),
    "guard": ("gateway.commands.daemons:guard", "Run process one: keeps outlets safe."),
    "serve": ("gateway.commands.daemons:serve", "Run process two: API and business."),
    "run": ("gateway.commands.daemons:run", "Run both under one supervisor."),
    "broker": ("gateway.commands.broker:broker", "Run the embedded MQTT broker."),
    "sim": ("gateway.commands.sim:sim", "Simulate the hardware of a scenario."),
    "scenario": ("gateway.commands.scenario:scenario", "Play and judge scenarios."),
    "demo": ("gateway.commands.scenario:demo", "Watch a whole site on simulated wires."),
}
"""Name to where the command is, and what it does; the modules are imported on demand,
so that an emergency ``off`` does not wait for what it does not use."""


class LazyGroup(click.Group):
    """A group that imports a command only when it is given."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        del ctx
        if cmd_name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[cmd_name][0].partition(":")
        command = getattr(importlib.import_module(module), attribute)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="pilegate", message="pilegate %(version)s")
@global_options(root=True)
def cli() -> None:
    """Keep charging outlets safe, and look after them.

    A TARGET is an outlet (n1-3), a pile (pile/n1), a station (station/north), a circuit
    (circuit/main) or the whole site (site).
    """


def run(arguments: Sequence[str]) -> int:
    """Run one command and return its exit status; never raises, never shows a traceback."""
    settings = Settings()
    _take_any_text()
    try:
        status = cli.main(
            args=list(arguments), prog_name="pilegate", standalone_mode=False, obj=settings
        )
        sys.stdout.flush()
    except click.exceptions.NoArgsIsHelpError as error:
        _say(error.format_message())
        return Exit.WRONG_INPUT
    except click.UsageError as error:
        _say(_usage_line(error))
        return Exit.WRONG_INPUT
    except click.ClickException as error:
        _say(f"pilegate: {' '.join(error.format_message().split())}")
        return Exit.WRONG_INPUT
    except (click.Abort, KeyboardInterrupt):
        return Exit.INTERRUPTED
    except BrokenPipeError:
        return _reader_went_away()
    except Exception as error:  # noqa: BLE001 - the last line of defence against a traceback
        return _fail(error, debug=settings.debug)
    return status if isinstance(status, int) else Exit.OK


def _fail(error: Exception, *, debug: bool) -> int:
    """Say what went wrong and choose the status."""
    if debug:
        traceback.print_exception(error)
    while isinstance(error, ExceptionGroup):  # what a TaskGroup raises: the first says the most
        error = error.exceptions[0]
    if isinstance(error, PilegateError):
        _say("\n".join(f"pilegate: {line}" for line in line_of(error).splitlines()))
        return exit_of(error)
    if isinstance(error, OSError):
        _say(f"pilegate: {line_of_os_error(error)}")
        return Exit.FAILED
    what = " ".join(f"{type(error).__name__}: {error}".split())
    _say(f"pilegate: unexpected {what} (this is a bug; run with --debug)")
    return Exit.FAILED


def _usage_line(error: click.UsageError) -> str:
    """Fold click's three lines into one."""
    path = error.ctx.command_path if error.ctx else "pilegate"
    message = " ".join(error.format_message().split()).rstrip(".")
    return f"{path}: {message[:1].lower()}{message[1:]} (see {path} --help)"


def _take_any_text() -> None:
    """Let output go wherever there is one, with a ``?`` for what its encoding lacks."""
    if sys.stdout is None:  # closed by whoever started us
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115 - for good
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")


def _say(text: str) -> None:
    """Write to stderr, also when nobody reads it any more."""
    with contextlib.suppress(OSError):
        print(text, file=sys.stderr, flush=True)  # noqa: T201 - this is a command line


def _reader_went_away() -> int:
    """End quietly: the reader of our output (``head``, a pager) has seen enough.

    Not with 0: what was to be told may be that something failed.
    """
    with contextlib.suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return Exit.FAILED
