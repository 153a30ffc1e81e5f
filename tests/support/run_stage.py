"""A whole site on real processes that tests can kill and start again.

Simulators, guard and serve are brought up as the demonstration does it, on a scenario that
lasts for ever; whatever happens to them is asked for by the test.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import yaml

from gateway.core.errors import PilegateError
from gateway.demo.alongside import alongside
from gateway.demo.api_client import ApiClient
from gateway.demo.children import Child, Children
from gateway.demo.place import Place, make_folder, resolve
from gateway.demo.session import Session, bring_up, outlets
from gateway.link.client import FactArrived, GuardClient
from gateway.link.follow import LinkUp, follow_for_ever
from gateway.link.journal import journal_path
from gateway.link.messages import OutletView

SITES = Path(__file__).parents[2] / "config" / "sites"
FOR_EVER_S = 86_400
BIKE = {"kind": "cc_cv", "plateau_w": 180, "capacity_wh": 2_000, "start_soc": 0.1, "ramp_s": 0.5}
COMES_UP_S = 60.0
ANSWERS_S = 30.0
PATIENT = {"silence": {"delay_s": 30}, "no_reaction": {"delay_s": 30}}
"""Limits under which a machine that stands still for some seconds ends no lease."""
PAUSE_S = 0.05

T = TypeVar("T")


class Programs(Children):
    """Children that are known by name: each can be killed, stopped and started again."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._by_name: dict[str, tuple[Child, list[str]]] = {}

    async def start(self, name: str, arguments: Sequence[str], *, piped: bool = False) -> Child:
        child = await super().start(name, arguments, piped=piped)
        self._by_name[name] = (child, list(arguments))
        return child

    def pid(self, name: str) -> int:
        return self._by_name[name][0].process.pid

    def alive(self, name: str) -> bool:
        return self._by_name[name][0].alive

    def send(self, name: str, number: signal.Signals) -> None:
        os.kill(self.pid(name), number)

    def log(self, name: str) -> str:
        return self._by_name[name][0].log.read_text(encoding="utf-8", errors="replace")

    async def kill(self, name: str) -> None:
        """SIGKILL, and wait until the kernel has taken it away."""
        child, _ = self._by_name[name]
        with suppress(ProcessLookupError):
            child.process.kill()
        await child.process.wait()

    async def again(self, name: str) -> None:
        """Start it as it was started before."""
        await self.start(name, self._by_name[name][1])


@dataclass(slots=True)
class Records:
    """What the simulators told: the truth about the relays."""

    on: dict[str, bool] = field(default_factory=dict)
    relay: list[dict[str, Any]] = field(default_factory=list)
    over: list[dict[str, Any]] = field(default_factory=list)

    def take(self, record: dict[str, Any]) -> None:
        match record.get("kind"):
            case "relay":
                self.relay.append(record)
                self.on[record["outlet"]] = record["on"]
            case "over":
                self.over.append(record)
            case "error":
                raise AssertionError(f"the simulators: {record}")


@dataclass(slots=True)
class Stage:
    """Everything is up."""

    programs: Programs
    session: Session
    records: Records

    @property
    def place(self) -> Place:
        return self.session.place

    @property
    def api(self) -> ApiClient:
        return self.session.api

    @property
    def journal(self) -> Path:
        return journal_path(self.place.state_dir)

    def say(self, **step: Any) -> None:
        """Have the simulators do a step at once."""
        stdin = self.session.simulator.child.process.stdin
        assert stdin is not None
        stdin.write(json.dumps(step).encode() + b"\n")

    async def views(self) -> dict[str, OutletView]:
        """Ask the guard for every outlet, by a connection of its own."""
        async with await GuardClient.connect(self.place.socket, ANSWERS_S) as client:
            return {view.outlet: view async for view in outlets(client)}

    async def call(self, method: str, **params: object) -> dict[str, Any]:
        """Ask the guard by a connection of its own."""
        async with await GuardClient.connect(self.place.socket) as client:
            return await client.call(method, timeout_s=ANSWERS_S, **params)

    async def relay_is(self, outlet: str, on: bool) -> None:
        """Wait until the simulators have told so; what they tell may come after an answer."""

        async def told() -> bool:
            return self.records.on.get(outlet, False) is on

        what = f"{outlet} is told to go {'on' if on else 'off'}"
        await until(what, told, within_s=COMES_UP_S)

    async def guard_answers(self) -> dict[str, OutletView]:
        """Wait until the guard answers, and give what it shows."""
        return await until("the guard answers", self.views, within_s=COMES_UP_S)

    async def serve_answers(self) -> None:
        """Wait until the API is ready."""

        async def ready() -> bool:
            return (await self.api.request("GET", "/readyz", timeout_s=2.0)).status == 200

        await until("the API is ready", ready, within_s=COMES_UP_S)


async def until(what: str, attempt: Callable[[], Awaitable[T]], *, within_s: float) -> T:
    """Try until it gives something true; errors that a person may meet are tried again."""
    deadline = time.monotonic() + within_s
    last: object = None
    while time.monotonic() < deadline:
        try:
            last = await attempt()
        except PilegateError as error:
            last = error
        else:
            if last:
                return last
        await asyncio.sleep(PAUSE_S)
    raise AssertionError(f"waited {within_s:g} s until {what}: {last}")


async def follow_facts(place: Place, seen: list[int]) -> None:
    """Follow the guard over all its lives, and keep the numbers of the facts as they come."""
    async for event in follow_for_ever(place.socket, facts_after=0):
        match event:
            case FactArrived(fact):
                seen.append(fact.seq)
            case LinkUp():
                pass


def write_scenario(folder: Path, site: Path, plugged: Sequence[str], **more: Any) -> Path:
    """Write a scenario in which the outlets have a charger each, and nothing else happens."""
    scenario = {
        "scenario": "stage",
        "title": "Nothing happens by itself",
        "site": str(site),
        "seed": 1,
        "duration_s": FOR_EVER_S,
        "loads": {"bike": BIKE},
        "steps": [{"at_s": 0, "plug": outlet, "load": "bike"} for outlet in plugged],
        **more,
    }
    path = folder / "stage.yaml"
    path.write_text(yaml.safe_dump(scenario), encoding="utf-8")
    return path


def outlet_ids(site: Path) -> list[str]:
    """Name the outlets of one of the demonstration's sites."""
    document = yaml.safe_load(site.read_text(encoding="utf-8"))
    found: list[str] = []
    for station in document["stations"]:
        for pile in station["piles"]:
            module = pile.get("module")
            if module is not None:
                first, _, last = str(module["channels"]).partition("-")
                name = module.get("outlets", f"{pile['id']}-{{channel}}")
                found += [name.format(channel=n) for n in range(int(first), int(last or first) + 1)]
            found += [outlet["id"] for outlet in pile.get("outlets", [])]
    return found


def set_limits(site_file: Path, limits: Mapping[str, Any]) -> None:
    """Replace limits in a site file."""
    site = yaml.safe_load(site_file.read_text(encoding="utf-8"))
    site["limits"] = {**site.get("limits", {}), **limits}
    site_file.write_text(yaml.safe_dump(site, sort_keys=False), encoding="utf-8")


@asynccontextmanager
async def on_stage(
    parent: Path,
    site: Path,
    *,
    plugged: Sequence[str] | None = None,
    prepare: Callable[[Place], None] = lambda _: None,
    limits: Mapping[str, Any] | None = None,
    **more: Any,
) -> AsyncIterator[Stage]:
    """Bring a site up, and end every process on any way out.

    ``prepare`` may change the place before anything is started; ``limits`` replace those of
    the site, and ``more`` goes into the scenario.
    """
    folder = make_folder(parent)
    place = resolve(site, folder)
    set_limits(place.site_file, limits or {})
    prepare(place)
    chargers = outlet_ids(site) if plugged is None else plugged
    scenario = write_scenario(folder, site, chargers, **more)
    programs = Programs(folder)
    records = Records()
    try:
        async with bring_up(programs, scenario, place, records.take, lambda _: None) as session:
            yield Stage(programs, session, records)
    finally:
        await programs.end()


async def play(stage: Stage, story: Callable[[Stage], Awaitable[T]], **beside: Any) -> T:
    """Begin, and run a story while the simulators are listened to."""

    async def main() -> T:
        await stage.session.simulator.begin()
        return await story(stage)

    return await alongside(main(), simulators=stage.session.simulator.listen(), **beside)
