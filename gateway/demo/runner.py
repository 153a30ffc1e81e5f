"""Plays a scenario once on real processes, shows it, and judges it."""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from gateway.commands.failure import Exit
from gateway.commands.keys import until_quit
from gateway.commands.live import Picture, keep_buses, paint
from gateway.commands.tables import can_draw
from gateway.config import load_site
from gateway.core.errors import CorrectInput, PilegateError
from gateway.demo.alongside import alongside
from gateway.demo.children import Children
from gateway.demo.commander import Commander
from gateway.demo.log import Log, Seen
from gateway.demo.narrator import Narrator, hints, near
from gateway.demo.place import Place, make_folder, resolve
from gateway.demo.session import Session, bring_up
from gateway.link.client import FactArrived
from gateway.link.follow import LinkDown, follow_for_ever
from simulators.scenario import CommandStep, Scenario, read_scenario
from simulators.verdict import Verdict, table

WATCH_S = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What to play, and how."""

    scenario: Path
    site: Path | None
    """Instead of the site that the scenario names."""
    folder: Path
    """Where the run makes its own directory."""
    exit_after_s: float | None
    slack_s: float
    """How much later than its bound each event may come."""
    keep: bool
    """Keep the run's directory also when nothing failed."""


async def play(options: Options) -> Exit:
    """Play a scenario and give the exit status: 1 when it was judged and did not pass.

    Whatever happens, every process is ended, and the run's directory is removed unless
    something failed in it. Raises PilegateError.
    """
    scenario = read_scenario(options.scenario)
    if options.exit_after_s is not None and options.exit_after_s < scenario.duration_s:
        raise CorrectInput(
            f"--exit-after {options.exit_after_s:g}: scenario {scenario.scenario} lasts "
            f"{scenario.duration_s:g} s: give at least that",
            field="exit_after",
        )
    template = options.site or options.scenario.parent / scenario.site
    load_site(template)  # what is wrong in it is told of this file, not of the run's copy
    folder = make_folder(options.folder)
    status = Exit.FAILED
    try:
        place = resolve(template, folder)
        with (folder / "sim.jsonl").open("w", encoding="utf-8") as records:
            run = _Run(options, scenario, Children(folder), place, records)
            await run.until_over()
        status = run.report()
    finally:
        _clear(folder, keep=options.keep or status is Exit.FAILED)
    return status


def _clear(folder: Path, *, keep: bool) -> None:
    if keep:
        _tell(f"logs and journal are in {near(folder)}")
        return
    shutil.rmtree(folder)
    with suppress(OSError):  # other runs live there
        folder.parent.rmdir()


def _tell(text: str) -> None:
    """Write to stderr, if anybody still reads it: what must be done after it is done anyway."""
    with suppress(OSError):
        print(text, file=sys.stderr, flush=True)  # noqa: T201 - this is a command line


class _Run:
    """One run in its directory."""

    def __init__(
        self,
        options: Options,
        scenario: Scenario,
        children: Children,
        place: Place,
        records: TextIO,
    ) -> None:
        self._options = options
        self._scenario = scenario
        self._children = children
        self._place = place
        self._records = records
        self._log = Log()
        self._picture = Picture()
        self._narrator = Narrator(self._log)
        self._verdict: Verdict | None = None
        self._hints: list[str] = []

    async def until_over(self) -> None:
        """Play until the end, or until somebody quits; every process has ended on return.

        Raises PilegateError, after the end of every log was shown.
        """
        playing = asyncio.create_task(self._play(), name="play")
        try:
            await until_quit(playing)
        except PilegateError:
            _tell(self._children.logs())
            raise
        finally:
            playing.cancel()
            await asyncio.gather(playing, return_exceptions=True)
            self._narrator.quiet = False
            _tell("ending the processes")
            await self._children.end()

    def report(self) -> Exit:
        """Print the verdict, if it came to one, and give the exit status."""
        verdict = self._verdict
        if verdict is None:
            bounded = self._options.exit_after_s is not None
            return Exit.INTERRUPTED if bounded else Exit.OK
        say = self._narrator.say
        say(f"\n{table(verdict)}")
        for line in self._log.wrong_commands:
            say(f"command: {line}")
        passed = verdict.passed and not self._log.wrong_commands
        outcome = "passed" if passed else "FAILED"
        say(f"{self._scenario.scenario}: {self._score(verdict)}: {outcome}")
        return Exit.OK if passed else Exit.FAILED

    async def _play(self) -> None:
        say = self._narrator.say
        say(f"{self._scenario.scenario}: {self._scenario.title}")
        scenario_file = self._options.scenario
        async with bring_up(
            self._children, scenario_file, self._place, self._on_record, say
        ) as session:
            self._hints = hints(session)
            for line in self._hints:
                say(line)
            work = self._scenario_and_after(session)
            if can_draw():
                self._set_foot(self._scenario.title)
                self._narrator.quiet = True
                buses = keep_buses(self._place.socket, self._picture)
                work = alongside(work, paint=paint(self._picture), buses=buses)
            await alongside(
                work,
                simulators=session.simulator.listen(),
                follow=self._follow(),
                children=self._watch_over(),
            )

    async def _scenario_and_after(self, session: Session) -> None:
        """Play the scenario and judge it; then, without a bound, leave everything running."""
        commander = Commander(
            guard=session.guard,
            api=session.api,
            site=session.site,
            on_cause=self._on_command,
            on_wrong=self._on_wrong,
        )
        zero_ns = await session.simulator.begin()
        self._log.zero_ns = zero_ns
        commands = [step for step in self._scenario.steps if isinstance(step, CommandStep)]
        await commander.play(commands, zero_ns)
        end_ns = zero_ns + round(self._scenario.duration_s * 1e9)
        await asyncio.sleep(max(0, end_ns - time.monotonic_ns()) / 1e9)
        self._verdict = await self._judged(end_ns)
        if self._options.exit_after_s is not None:
            return
        over = f"the scenario is over ({self._score(self._verdict)}); outlets stay usable"
        self._set_foot(f"{over}; q quits")
        self._narrator.say(f"{over}; Ctrl-C ends it")
        await asyncio.Event().wait()

    async def _judged(self, end_ns: int) -> Verdict:
        """Judge at the end; what is missing then is waited for as long as there is slack."""
        slack_s = self._options.slack_s
        late_ns = end_ns + round(slack_s * 1e9)
        while True:
            now_ns = time.monotonic_ns()
            verdict = self._log.verdict(self._scenario, slack_s)
            if verdict.passed or now_ns >= late_ns:
                return verdict
            await asyncio.sleep(min(WATCH_S, (late_ns - now_ns) / 1e9))

    async def _follow(self) -> None:
        """Take every fact and view as it arrives, over restarts of the guard."""
        async for event in follow_for_ever(self._place.socket, facts_after=0, views=True):
            now_ns = time.monotonic_ns()
            self._picture.take(event)
            match event:
                case FactArrived(fact):
                    self._log.facts.append(Seen(fact, now_ns))
                    self._narrator.fact(self._log.facts[-1])
                case LinkDown(error):
                    self._narrator.say(str(error))
                case _:
                    pass

    async def _watch_over(self) -> None:
        while True:
            self._children.require_alive()
            await asyncio.sleep(WATCH_S)

    def _on_record(self, record: dict[str, Any]) -> None:
        self._records.write(json.dumps(record) + "\n")
        if record.get("kind") == "cause":
            if (name := record.get("id")) is not None:
                self._log.causes[str(name)] = int(record["mono_ns"])
            self._narrator.cause(record)
            self._set_foot(self._narrator.last_step)

    def _on_command(self, step: CommandStep, mono_ns: int) -> None:
        if step.id is not None:
            self._log.causes[step.id] = mono_ns
        self._narrator.command(step, mono_ns)
        self._set_foot(self._narrator.last_step)

    def _set_foot(self, line: str) -> None:
        """Show a line below the live table, above how to try it."""
        self._picture.foot = "\n".join([line, *self._hints])

    def _on_wrong(self, line: str) -> None:
        self._log.wrong_commands.append(line)
        self._narrator.say(line)

    def _score(self, verdict: Verdict) -> str:
        fine = sum(line.result == "ok" for line in verdict.lines)
        return f"{fine} of {len(verdict.lines)} events as expected"
