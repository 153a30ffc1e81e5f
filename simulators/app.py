"""The simulators' program: ``pilegate sim``."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from gateway.core.errors import CorrectFiles, CorrectInput, PilegateError
from simulators.load_specs import TraceSpec
from simulators.loads import LoadFactory, load_factory
from simulators.mains import MainsSettings
from simulators.mqtt.bus import MqttBus
from simulators.mqtt.families import make_nodes
from simulators.mqtt.places import MqttPlace
from simulators.mqtt.settings import PlugSettings
from simulators.player import Player
from simulators.priority import take_priority
from simulators.records import Recorder
from simulators.rtu_line import RtuLine
from simulators.scenario import CommandStep, InputStep, PlugStep, Scenario, Step, parse_step
from simulators.scenario import read_scenario as read_scenario_file
from simulators.sites import SimSite, read_site
from simulators.tcp_server import TcpServer
from simulators.world import World
from simulators.world_clock import WorldClock

SUPERVISE_EVERY_S = 0.4
"""How often modules' own limits and watchdogs are looked at between requests."""
SUPERVISE_PARTS = 20
"""Not all at once: frames that are to be stamped when they arrive would wait."""
BABBLE_EVERY_S = 0.05
MAX_LINE_BYTES = 65_536
SWITCH_INTERVAL_S = 0.0001
"""Threads of serial lines must not wait for the interpreter's usual 5 ms."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be simulated."""

    site: SimSite
    mains: MainsSettings = field(default_factory=MainsSettings)
    seed: int = 0
    loads: dict[str, LoadFactory] = field(default_factory=dict)
    steps: tuple[Step, ...] = ()
    over_a: float | None = None
    plugs: dict[str, PlugSettings] = field(default_factory=dict)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the simulators until interrupted. Exit status 2: a file is wrong; 1: a port is taken."""
    arguments = _parser().parse_args(argv)
    try:
        plan = make_plan(arguments)
        return asyncio.run(_run(plan, wait_start=arguments.wait_start))
    except PilegateError as err:
        lines = err.problems if isinstance(err, CorrectFiles) else [err]
        for line in lines:
            print(f"pilegate sim: {line}", file=sys.stderr)  # noqa: T201 - a command's own output
        return 2 if isinstance(err, (CorrectFiles, CorrectInput)) else 1


class _Parser(argparse.ArgumentParser):
    """Says in one line what is wrong with the arguments."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message} (see {self.prog} --help)\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="pilegate sim",
        description="Simulate a site's modules, meters and chargers, by Modbus TCP and RTU.",
    )
    parser.add_argument("--scenario", type=Path, help="scenario file (YAML)")
    parser.add_argument("--site", type=Path, help="site file; the scenario names one, too")
    parser.add_argument("--trace", type=Path, help="CSV with seconds,power_w to play on an outlet")
    parser.add_argument("--outlet", help="with --trace: the outlet (default: the first one)")
    parser.add_argument("--speed", type=float, default=1.0, help="with --trace: times as fast")
    parser.add_argument(
        "--wait-start",
        action="store_true",
        help='time zero is when {"start": true} arrives on standard input',
    )
    return parser


def make_plan(arguments: argparse.Namespace) -> Plan:
    """Read all files. Raises CorrectFiles with everything that is wrong."""
    if arguments.scenario is None and arguments.site is None:
        raise CorrectInput("name a scenario or a site: --scenario FILE or --site FILE")
    scenario: Scenario | None = None
    site_path: Path | None = arguments.site
    loads: dict[str, LoadFactory] = {}
    if arguments.scenario is not None:
        scenario = read_scenario_file(arguments.scenario)
        folder = arguments.scenario.parent
        site_path = site_path or folder / scenario.site
        loads = {name: load_factory(spec, folder) for name, spec in scenario.loads.items()}
    assert site_path is not None
    site = read_site(site_path)
    steps: tuple[Step, ...] = ()
    if scenario is not None:
        devices = {place.id for place in site.devices} | {place.id for place in site.plugs}
        brokers = {place.id for place in site.brokers}
        places = {place.id for place in site.outlets}
        places |= {f"circuit/{place.id}" for place in site.circuits}
        scenario.check_names(places, devices, brokers)
        steps = scenario.steps
        _check_inputs(steps, site)
    if arguments.trace is not None:
        loads["trace"] = _trace_factory(arguments.trace, arguments.speed)
        outlet = _outlet(arguments.outlet, site)
        steps = (*steps, PlugStep(plug=outlet, load="trace"))
    if scenario is None:
        return Plan(site, loads=loads, steps=steps)
    mains = MainsSettings(**scenario.mains.model_dump())
    return Plan(site, mains, scenario.seed, loads, steps, scenario.over_a, scenario.plugs)


def _check_inputs(steps: tuple[Step, ...], site: SimSite) -> None:
    counts = {place.id: place.profile.channels for place in site.devices}
    counts |= {place.id: place.profile.channels for place in site.plugs}
    for step in steps:
        if isinstance(step, InputStep) and step.channel > counts.get(step.input, 0):
            raise CorrectInput(
                f"step input: {step.input} has no channel {step.channel}: it has "
                f"{counts.get(step.input, 0)}"
            )


def _outlet(name: str | None, site: SimSite) -> str:
    outlets = [place.id for place in site.outlets]
    if name is None and outlets:
        return outlets[0]
    if name not in outlets:
        raise CorrectInput(f"--outlet: {site.file} has no outlet {name or 'at all'}")
    return name


def _trace_factory(path: Path, speed: float) -> LoadFactory:
    if not 0 < speed <= 100_000:
        raise CorrectInput("--speed is above 0 and at most 100000")
    return load_factory(TraceSpec(kind="trace", file=str(path.resolve()), speed=speed), path.parent)


async def _run(plan: Plan, *, wait_start: bool) -> int:
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)

    def stop_soon() -> None:
        if not loop.is_closed():
            loop.call_soon_threadsafe(stop.set)

    recorder = Recorder(sys.stdout, stop_soon)
    async with AsyncExitStack() as stack:
        simulation = Simulation(plan, recorder)
        stack.push_async_callback(simulation.close)
        await simulation.start()
        console = Console(simulation, wait_start=wait_start, stop=stop)
        console.start(loop)
        if not wait_start:
            simulation.begin()
        await _until(stop, simulation)
        recorder.tell({"kind": "end", **simulation.stats()})
    await asyncio.to_thread(recorder.close)
    _leave_quietly()
    return 0


async def _until(stop: asyncio.Event, simulation: Simulation) -> None:
    """Play until ``stop``; what is meant to run for ever and ends is a failure."""
    async with asyncio.TaskGroup() as tasks:
        running = [
            tasks.create_task(simulation.player.run(), name="player"),
            tasks.create_task(simulation.supervise(), name="supervisor"),
            tasks.create_task(simulation.babble(), name="babble"),
            *(tasks.create_task(bus.run(), name=bus.place.id) for bus in simulation.brokers),
        ]
        await stop.wait()
        for task in running:
            task.cancel()


def _leave_quietly() -> None:
    """Keep the interpreter from complaining about a standard output that nobody reads."""
    try:
        sys.stdout.flush()
    except (OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class Simulation:
    """World, servers and player of one plan."""

    def __init__(self, plan: Plan, recorder: Recorder) -> None:
        self._plan = plan
        self._recorder = recorder
        self.clock = WorldClock()
        self.world = World(
            plan.site,
            mains=plan.mains,
            seed=plan.seed,
            loads=plan.loads,
            plugs=plan.plugs,
            report=recorder.tell,
            now_s=self.clock.now_s(),
        )
        if plan.over_a is not None:
            self.world.report_over(self.world.outlets, plan.over_a)
        self.player = Player(self.world, self.clock, recorder.tell)
        self._servers = [
            TcpServer(self.world, place, self.clock, recorder.tell) for place in plan.site.tcp
        ]
        self._lines = [
            RtuLine(self.world, place, self.clock, recorder.tell) for place in plan.site.lines
        ]
        self.brokers = [self._broker(place) for place in plan.site.brokers]

    def _broker(self, place: MqttPlace) -> MqttBus:
        plugs = [self.world.plugs[p.id] for p in self._plan.site.plugs if p.bus == place.id]
        nodes = make_nodes(plugs)
        bus = MqttBus(place, nodes, self.world.lock, self.clock, self._recorder.tell)
        self.world.publishers[place.id] = bus.publish
        return bus

    async def start(self) -> None:
        """Listen everywhere, then tell so. Raises FixInstallation when something is taken."""
        ports: dict[str, Any] = {}
        for server in self._servers:
            ports[server.place.id] = {"host": server.place.host, "port": await server.start()}
        for line in self._lines:
            ports[line.place.id] = {"port": str(line.place.port), "device": line.start()}
        for bus in self.brokers:
            ports[bus.place.id] = {"host": bus.place.host, "port": bus.place.port}
        record = {"kind": "ready", "buses": ports, "outlets": len(self.world.outlets)}
        self._recorder.tell({**record, "has_priority": take_priority()})

    def begin(self) -> None:
        """Time zero."""
        self.player.start(self._plan.steps)

    async def supervise(self) -> None:
        """Let the modules act by themselves, for ever."""
        devices = [*self.world.devices]
        while True:
            for part in range(SUPERVISE_PARTS):
                for device in devices[part::SUPERVISE_PARTS]:
                    self.world.supervise(device, self.clock.now_s())
                await asyncio.sleep(SUPERVISE_EVERY_S / SUPERVISE_PARTS)

    async def babble(self) -> None:
        """Send garbage where a device babbles, for ever."""
        while True:
            for server in self._servers:
                server.babble()
            await asyncio.sleep(BABBLE_EVERY_S)

    def stats(self) -> dict[str, Any]:
        """Counters of all buses since the start."""
        return {
            "lines": [line.stats() for line in self._lines],
            "tcp": [server.stats() for server in self._servers],
            "mqtt": [bus.stats() for bus in self.brokers],
        }

    def tell(self, record: dict[str, Any]) -> None:
        self._recorder.tell(record)

    async def close(self) -> None:
        """Close every port; symbolic links are removed."""
        for bus in self.brokers:
            await bus.close()
        for line in reversed(self._lines):  # the first may have made the folder of all links
            line.close()
        for server in self._servers:
            await server.close()


def _read_input() -> bytes:
    """Read what is there; empty at the end, and where there is no standard input."""
    try:
        return os.read(0, 4_096)
    except OSError:
        return b""


class Console:
    """Standard input: steps to play at once, ``{"start": true}``, ``{"stats": true}``."""

    def __init__(self, simulation: Simulation, *, wait_start: bool, stop: asyncio.Event) -> None:
        self._simulation = simulation
        self._waiting = wait_start
        self._ends_with_input = wait_start
        self._stop = stop

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Read in a thread: standard input may be a terminal, a pipe or a file.

        The descriptor itself is read: a thread that waits in ``sys.stdin`` holds a lock that
        the interpreter wants when it ends.
        """

        def call(action: Callable[..., None], *arguments: bytes) -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(action, *arguments)

        def read() -> None:
            rest = b""
            while data := _read_input():
                *lines, rest = (rest + data).split(b"\n")
                for line in lines:
                    call(self._take, line)
                rest = rest[:MAX_LINE_BYTES]
            call(self._take, rest)
            if self._ends_with_input:
                call(self._stop.set)

        threading.Thread(target=read, name="console", daemon=True).start()

    def _take(self, line: bytes) -> None:
        if len(line) >= MAX_LINE_BYTES:
            line = b"a line that is too long"
        if not line.strip():
            return
        try:
            self._obey(json.loads(line))
        except (ValueError, RecursionError) as err:
            told = str(err).splitlines()[0]
            self._simulation.tell({"kind": "error", "message": f"not understood: {told}"})

    def _obey(self, data: Any) -> None:
        if data == {"start": True}:
            if self._waiting:
                self._waiting = False
                self._simulation.begin()
            return
        if data == {"stats": True}:
            self._simulation.tell({"kind": "stats", **self._simulation.stats()})
            return
        step = parse_step(data)
        if isinstance(step, CommandStep):
            raise ValueError("commands are for the guard, not for the simulators")  # noqa: TRY004
        self._simulation.world.check(step)
        self._simulation.player.play_now(step)
