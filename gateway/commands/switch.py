"""``on``, ``off``, ``reset``, ``lock``, ``unlock``: a person switches, by the guard's socket."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence

import click

from gateway.commands.ask import ask, ask_outlets, other_site
from gateway.commands.failure import Unsuccessful
from gateway.commands.identity import actor
from gateway.commands.params import AMOUNT, DURATION, TARGET
from gateway.commands.settings import Settings, global_options, pass_settings
from gateway.commands.show import power, until
from gateway.commands.target import Target
from gateway.core.errors import CorrectInput
from gateway.link import messages
from gateway.link.messages import Outcome, TargetKind
from gateway.link.requests import (
    HelloAnswer,
    Method,
    OnAnswer,
    OnRequest,
    TargetRequest,
    Verdict,
    verdicts_from_json,
)

_REASON = click.option(
    "--reason", default="", metavar="TEXT", help="Why; recorded with the command."
)
REASON = "command line"
LINE_NAMES = 20


@click.command()
@click.argument("outlet")
@click.option(
    "--for", "for_s", type=DURATION, required=True, help="How long at most: 90s, 30m, 2h, 1h30m."
)
@click.option("--energy-wh", type=AMOUNT, help="End after so much.")
@click.option("--power-w", type=AMOUNT, help="Cut above so much.")
@_REASON
@click.option(
    "--wait/--no-wait", default=True, help="Wait until a sample shows it on (the default)."
)
@click.option("--timeout", "timeout_s", type=DURATION, default="5s", show_default=True)
@global_options()
@pass_settings
def on(
    settings: Settings,
    *,
    outlet: str,
    for_s: float,
    energy_wh: float | None,
    power_w: float | None,
    reason: str,
    wait: bool,
    timeout_s: float,
) -> None:
    """Switch OUTLET on for a time, with a lease that the guard enforces."""
    request = OnRequest(
        outlet=outlet_of(outlet),
        for_s=for_s,
        actor=actor(),
        reason=reason or REASON,
        energy_wh=energy_wh,
        power_w=power_w,
        request_id=os.urandom(16).hex(),
    )
    _refuse_other_site(settings)
    if not wait:
        answer = OnAnswer.from_json(ask(settings, Method.ON, **request.to_json()))
        now_ms = time.time_ns() // 1_000_000
        if answer.waits_for is not None:
            click.echo(_waits(request.outlet, answer.waits_for, answer.until_utc_ms, now_ms))
            return
        click.echo(f"{request.outlet} is told to go on until {until(answer.until_utc_ms, now_ms)}")
        return
    from gateway.commands.verdict import switch_on  # noqa: PLC0415 - asyncio is slow to import

    answer = switch_on(settings.socket(), request, timeout_s)
    now_ms = time.time_ns() // 1_000_000
    if answer.waits_for is not None:
        click.echo(_waits(request.outlet, answer.waits_for, answer.until_utc_ms, now_ms))
        return
    view = ask_outlets(settings, [request.outlet])[0]
    ends = until(answer.until_utc_ms, now_ms)
    load = f"{power(view.power_w)} W" if view.power_w else "no load yet"
    click.echo(f"{request.outlet} is on until {ends}, {load}")


def _waits(outlet: str, circuit: str, until_utc_ms: int, now_ms: int) -> str:
    ends = until(until_utc_ms, now_ms)
    return f"{outlet} waits for room on circuit {circuit}, until {ends} at the latest"


@click.command()
@click.argument("target", type=TARGET)
@_REASON
@global_options()
@pass_settings
def off(settings: Settings, target: Target, reason: str) -> None:
    """Switch TARGET off and leave it free."""
    _command(settings, Method.OFF, target, reason)


@click.command()
@click.argument("target", type=TARGET)
@click.option("--on-site", is_flag=True, help="You stand at it and have looked.")
@_REASON
@global_options()
@pass_settings
def reset(settings: Settings, target: Target, on_site: bool, reason: str) -> None:
    """Release what was cut at TARGET."""
    _command(settings, Method.RESET, target, reason, on_site=on_site)


@click.command()
@click.argument("target", type=TARGET)
@_REASON
@global_options()
@pass_settings
def lock(settings: Settings, target: Target, reason: str) -> None:
    """Switch TARGET off and refuse to switch it on."""
    _command(settings, Method.LOCK, target, reason)


@click.command()
@click.argument("target", type=TARGET)
@_REASON
@global_options()
@pass_settings
def unlock(settings: Settings, target: Target, reason: str) -> None:
    """Allow TARGET to be switched on again."""
    _command(settings, Method.UNLOCK, target, reason)


def outlet_of(text: str) -> str:
    """Read OUTLET, which is a TARGET that is one outlet. Raises CorrectInput."""
    target: Target = TARGET.convert(text, None, None)
    if target.kind != "outlet":
        raise CorrectInput(f"{text!r}: only one outlet at a time goes on", field="outlet")
    return target.id


def resolve(settings: Settings, target: Target) -> messages.Target:
    """Name a target as the guard does; the guard itself knows the id of its site."""
    name = target.id or HelloAnswer.from_json(ask(settings, Method.HELLO)).site
    return messages.Target(TargetKind(target.kind), name)


_DONE = {
    Method.OFF: "off",
    Method.RESET: "released",
    Method.LOCK: "locked",
    Method.UNLOCK: "unlocked",
}
_NOTHING = {
    Method.OFF: "was off already",
    Method.RESET: "was not cut",
    Method.LOCK: "was locked already",
    Method.UNLOCK: "was not locked",
}


def _refuse_other_site(settings: Settings) -> None:
    """Raise CorrectInput before something is allowed in a site that is not meant."""
    if told := other_site(settings):
        raise CorrectInput(told, field="site")


_MAKES_SAFE = {Method.OFF, Method.LOCK}
"""Done first, whatever else is wrong."""


def _command(
    settings: Settings, method: Method, target: Target, reason: str, *, on_site: bool = False
) -> None:
    if method not in _MAKES_SAFE:
        _refuse_other_site(settings)
    request = TargetRequest(
        target=resolve(settings, target),
        actor=actor(),
        reason=reason or REASON,
        request_id=os.urandom(16).hex(),
        on_site=on_site,
    )
    answer = verdicts_from_json(ask(settings, method, **request.to_json()))
    done = [verdict.outlet for verdict in answer if verdict.result is Outcome.DONE]
    refused = [verdict for verdict in answer if verdict.result is Outcome.REFUSED]
    if done:
        click.echo(f"{_DONE[method]}: {names(done)}")
    elif not refused:
        click.echo(f"{target}: {_NOTHING[method]}")
    if method in _MAKES_SAFE and (told := other_site(settings)):
        click.echo(f"pilegate: {told}", err=True)
    if refused:
        raise Unsuccessful(_refusals(method, target, refused))


def names(outlets: Sequence[str], most: int = LINE_NAMES) -> str:
    """List outlets in one line of bearable length."""
    if len(outlets) > most:
        return f"{', '.join(outlets[:most])} and {len(outlets) - most} more"
    return ", ".join(outlets)


def _refusals(method: Method, target: Target, refused: Sequence[Verdict]) -> str:
    messages_seen = list(dict.fromkeys(verdict.message or "no reason" for verdict in refused))
    if target.kind == "outlet":
        return f"{method} {target} was refused: {messages_seen[0]}"
    who = names([verdict.outlet for verdict in refused])
    return f"{method} of {target} was refused for {who}: {'; '.join(messages_seen[:3])}"
