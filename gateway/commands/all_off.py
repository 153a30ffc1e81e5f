"""``all-off``: everything off, through the guard if it answers and past it if not."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path

import click

from gateway.commands.ask import all_outlets, ask_at, guard_pid, other_site
from gateway.commands.failure import Unsuccessful, line_of
from gateway.commands.identity import actor
from gateway.commands.settings import Settings, global_options, pass_settings
from gateway.commands.switch import names
from gateway.core.errors import PilegateError
from gateway.link.messages import OutletState, OutletView, Target, TargetKind
from gateway.link.requests import HelloAnswer, Method, TargetRequest, verdicts_from_json

ANSWER_S = 2.0
"""How long the guard may take before the buses are driven past it."""
CONFIRM_S = 10.0


@click.command("all-off")
@click.option("--direct", is_flag=True, help="Do not ask a running guard; drive the buses.")
@click.option("--reason", default="", metavar="TEXT", help="Why; recorded by the guard.")
@global_options()
@pass_settings
def all_off(settings: Settings, direct: bool, reason: str) -> None:
    """Switch every outlet of the site off.

    A guard that runs is asked first. When none runs, when it does not answer within two
    seconds, or with --direct, the buses are driven from here: that needs the site file and
    nothing else, no journal and no database.
    """
    socket = settings.socket()
    pid = guard_pid(socket)
    if pid is not None and direct:
        _tell(f"a guard runs (pid {pid}); it is passed over, and may switch its outlets on again")
    elif pid is not None:
        try:
            _through_guard(socket, pid, reason)
            told = other_site(settings)
        except Unsuccessful:
            raise
        except PilegateError as error:
            _tell(f"{line_of(error)}; driving the buses from here")
        else:
            if not told:
                return
            _tell(f"{told}; driving the buses of {settings.site_file()}, too")
            pid = None
    elif _is_closed_to_us(socket):
        _tell(f"{socket}: this user may not speak to the guard; driving the buses from here")
    from gateway.commands.direct import switch_off_all  # noqa: PLC0415 - brings in the drivers

    switch_off_all(settings.site(), guard_pid=pid)


def _is_closed_to_us(socket: Path) -> bool:
    """Say whether a guard may run that only others may ask."""
    try:
        socket.stat()
    except PermissionError:  # its folder is closed already
        return True
    except OSError:
        return False
    return not os.access(socket, os.W_OK)


def _through_guard(socket: Path, pid: int, reason: str) -> None:
    """Ask for an orderly off, and wait until samples show it."""
    site = HelloAnswer.from_json(ask_at(socket, Method.HELLO, timeout_s=ANSWER_S)).site
    request = TargetRequest(
        target=Target(TargetKind.SITE, site), actor=actor(), reason=reason or "all-off"
    )
    answer = ask_at(socket, Method.OFF, timeout_s=ANSWER_S, **request.to_json())
    count = len(verdicts_from_json(answer))
    click.echo(f"the guard (pid {pid}) switches all {count} outlets off")
    unproven = _wait_until_off(socket)
    if unproven:
        what = names([f"{outlet} {why}" for outlet, why in unproven.items()], most=5)
        raise Unsuccessful(
            f"nothing shows {len(unproven)} of {count} outlets off ({what}): "
            "the guard goes on trying; look at the hardware, or run: pilegate all-off --direct"
        )
    click.echo(f"samples show all {count} outlets off")


def _wait_until_off(socket: Path) -> Mapping[str, str]:
    """Wait until every outlet is seen off; give those that are not, each with why."""
    deadline = time.monotonic() + CONFIRM_S
    while True:
        unproven = {
            view.outlet: "has no fresh sample" if view.stale else f"is {view.state}"
            for view in all_outlets(socket)
            if view.stale or view.relay_on is not False or _flows(view)
        }
        if not unproven or time.monotonic() > deadline:
            return unproven
        time.sleep(0.3)


def _flows(view: OutletView) -> bool:
    """Say whether a relay that says "off" is contradicted by its meter: it may be welded."""
    flowing = view.power_w if view.current_a is None else view.current_a
    return view.state is OutletState.STOPPING and flowing not in (None, 0.0)


def _tell(line: str) -> None:
    click.echo(f"pilegate: {line}", err=True)
