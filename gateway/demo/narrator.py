"""Tells a run line by line, where no live table is shown."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from gateway.commands.show import event_detail
from gateway.demo.log import Log, Seen
from gateway.demo.session import Session
from simulators.scenario import CommandStep

_ONE_LOOK = ("at_s", "id", "via", "refused")


@dataclass(slots=True)
class Narrator:
    """Writes to stdout, unless a live table has it."""

    log: Log
    quiet: bool = False
    last_step: str = ""
    """What was done last, with its time: a live table shows it."""

    def say(self, line: str) -> None:
        """Write one line."""
        if not self.quiet:
            click.echo(line)

    def fact(self, seen: Seen) -> None:
        """Write what happened, with the seconds since time zero."""
        fact = seen.fact
        parts = [fact.kind, fact.subject.removeprefix("outlet/")]
        if fact.reason:
            parts.append(fact.reason)
        if detail := event_detail(fact):
            parts.append(f"({detail})")
        self._at(seen.mono_ns, "  ".join(parts))

    def cause(self, record: dict[str, Any]) -> None:
        """Write what the simulators did: a plug pulled, a load stepped up, a fault."""
        step = dict(record.get("step") or {})
        words = [f"{key} {value}" for key, value in step.items() if key not in _ONE_LOOK]
        self._step(int(record["mono_ns"]), f"> {', '.join(words)}")

    def command(self, step: CommandStep, mono_ns: int) -> None:
        """Write a command as it is given."""
        target = step.outlet or step.pile or step.station or "site"
        lasting = f" for {step.for_s:g} s" if step.for_s is not None else ""
        self._step(mono_ns, f"> {step.command} {target}{lasting} by {step.via}")

    def _step(self, mono_ns: int, line: str) -> None:
        self.last_step = f"{self.log.at_s(mono_ns):.1f} s {line}"
        self._at(mono_ns, line)

    def _at(self, mono_ns: int, line: str) -> None:
        self.say(f"{self.log.at_s(mono_ns):8.2f} s  {line}")


def hints(session: Session) -> list[str]:
    """Say how to try the API and the command line on this run."""
    url = session.api.url
    return [
        f"API    {url}",
        f"token  {session.token}",
        f"try    curl -H @{near(session.header_file)} {url}/v1/outlets",
        f"       {_pilegate()} --state-dir {near(session.place.state_dir)} off n1-1",
    ]


def near(path: Path) -> Path:
    """Write a path relative to the working directory, where that is shorter."""
    relative = Path(os.path.relpath(path))
    return relative if len(str(relative)) < len(str(path)) else path


def _pilegate() -> str:
    """Say how this very program is called from here."""
    beside = Path(sys.executable).with_name("pilegate")
    return str(near(beside)) if beside.exists() else f"{near(Path(sys.executable))} -m gateway"
