"""4,000 MQTT messages a second through broker, driver and protection, and cut-offs meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import shutil
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.guard.model import BusState
from gateway.link.address import SOCKET_NAME
from gateway.link.client import GuardClient
from tests.bench.figures import Spread
from tests.bench.guard import cpu_s, guarding, switch_all_on
from tests.bench.noise import timers
from tests.bench.processes import (
    MEASURED,
    SIMULATED,
    BenchFailed,
    Event,
    Program,
    real_time,
    running,
)
from tests.support.ports import free_port

PLUGS = 400
RATE = 4_000
BROKER_S = 30.0
SETTLE_S = 3.0
NS_PER_MS = 1_000_000
SAMPLES = "pilegate_samples_total"


@dataclass(frozen=True, slots=True)
class PlugSite:
    """Where the guard of a bench finds its site file, and its socket is found."""

    guard_file: Path
    state_dir: Path

    @property
    def socket(self) -> Path:
        return self.state_dir / SOCKET_NAME


@dataclass(frozen=True, slots=True)
class PlugFlood:
    """What came of it."""

    seconds: float
    rate: float
    """Messages a second meanwhile."""
    messages: int
    """Published from the moment in which the guard listened."""
    samples: int
    """Taken by protection: one a message, when none was lost."""
    cuts: Spread
    """From the over-limit message handed to the broker to the OFF received by the plug."""
    missing: int
    cpu_share: float
    timers: Spread
    broker: str

    def to_json(self) -> dict[str, Any]:
        return {
            "seconds": round(self.seconds, 1),
            "messages": self.messages,
            "samples": self.samples,
            "lost": self.messages - self.samples,
            "rate": round(self.rate),
            "cuts": self.cuts.to_json(),
            "missing": self.missing,
            "cpu_share": round(self.cpu_share, 3),
            "timers_late": self.timers.to_json(),
            "broker": self.broker,
        }


class _Watch:
    """From the over-limit message to the OFF, for each plug."""

    def __init__(self) -> None:
        self.latencies_ms: list[float] = []
        self.over_ns: dict[str, int] = {}

    def on_event(self, event: Event) -> None:
        if event["kind"] == "over":
            self.over_ns[event["plug"]] = event["mono_ns"]
        elif event["kind"] == "command" and not event["on"]:
            over_ns = self.over_ns.pop(event["plug"], None)
            if over_ns is not None:
                self.latencies_ms.append((event["mono_ns"] - over_ns) / NS_PER_MS)


async def measure_plugs(folder: Path, seconds: float, cuts: int) -> PlugFlood:
    """Flood a guard with the telemetry of plugs, and overload some of them one by one."""
    port = free_port()
    site = await _write_site(folder, port)
    load_arguments = ["tests.bench.mqtt_load", "--port", str(port), "--plugs", str(PLUGS)]
    async with (
        _broker(folder, port) as broker,
        guarding(site, folder) as (guard, client),
        _subscribed(client),  # what is published before is not for it
        running(
            "plugs",
            [*load_arguments, "--rate", str(RATE)],
            folder,
            priority=real_time(SIMULATED),
        ) as plugs,
    ):
        await plugs.wait_for("ready")
        outlets = [f"o{number}" for number in range(PLUGS)]
        await switch_all_on(client, outlets)
        await asyncio.sleep(SETTLE_S)
        watch = _Watch()
        plugs.on_event = watch.on_event
        before = await plugs.ask({"stats": True}, "stats")
        began_s, cpu_before_s = time.monotonic(), cpu_s(guard.pid)
        with timers() as late_ms:
            await _overload(plugs, cuts, seconds)
        elapsed_s, used_s = time.monotonic() - began_s, cpu_s(guard.pid) - cpu_before_s
        quiet = await plugs.ask({"quiet": True}, "stats")
        await asyncio.sleep(SETTLE_S)
        end = await plugs.ask({"stats": True}, "stats")
        samples = await _samples(client)
        if not watch.latencies_ms:
            raise BenchFailed(f"not one cut-off was seen: {guard.log}")
    return PlugFlood(
        seconds=elapsed_s,
        rate=(int(quiet["said"]) - int(before["said"])) / elapsed_s,
        messages=int(end["said"]),
        samples=samples,
        cuts=Spread.of(watch.latencies_ms),
        missing=len(watch.over_ns),
        cpu_share=used_s / elapsed_s,
        timers=Spread.of(late_ms),
        broker=broker,
    )


@contextlib.asynccontextmanager
async def _subscribed(client: GuardClient) -> AsyncIterator[None]:
    """Wait until the guard listens to every topic."""
    deadline_s = time.monotonic() + BROKER_S
    while time.monotonic() < deadline_s:
        buses = (await client.call("buses"))["buses"]
        if all(bus["state"] == BusState.OPEN for bus in buses):
            yield
            return
        await asyncio.sleep(0.1)
    raise BenchFailed(f"the guard did not subscribe within {BROKER_S:g} s: {buses}")


async def _overload(plugs: Program, cuts: int, seconds: float) -> None:
    chance = random.Random(1)
    for number in chance.sample(range(PLUGS), cuts):
        plugs.say(json.dumps({"over": f"plug{number}"}))
        await asyncio.sleep(chance.uniform(0.5, 1.5) * seconds / cuts)


async def _samples(client: GuardClient) -> int:
    text = str((await client.call("metrics"))["text"])
    line = next(line for line in text.splitlines() if line.startswith(f"{SAMPLES} "))
    return int(float(line.split()[1]))


async def _write_site(folder: Path, port: int) -> PlugSite:
    path, state_dir = folder / "plugs.yaml", folder / "state"
    arguments = ["--port", str(port), "--plugs", str(PLUGS), "--site", str(path)]
    writing = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.bench.mqtt_load", *arguments
    )
    if await writing.wait() != 0:
        raise BenchFailed(f"the site of {PLUGS} plugs could not be written to {path}")
    state_dir.mkdir()
    text = path.read_text(encoding="utf-8")
    path.write_text(f"{text}state_dir: {state_dir}\n", encoding="utf-8")
    return PlugSite(path, state_dir)


@contextlib.asynccontextmanager
async def _broker(folder: Path, port: int) -> AsyncIterator[str]:
    """Run mosquitto where it is installed, and the embedded broker elsewhere."""
    if shutil.which("mosquitto"):
        settings = folder / "mosquitto.conf"
        settings.write_text(
            f"listener {port} 127.0.0.1\nallow_anonymous true\nmax_queued_messages 0\n"
            "set_tcp_nodelay true\n",  # as drivers/mqtt/README.md wants it
            encoding="utf-8",
        )
        process = await asyncio.create_subprocess_exec(
            *(*real_time(MEASURED), "mosquitto", "-c", str(settings)),
            stderr=asyncio.subprocess.DEVNULL,
        )
        try:
            await _listening(port)
            yield "mosquitto"
        finally:
            process.terminate()
            await process.wait()
        return
    arguments = ["gateway", "broker", "--listen", f"127.0.0.1:{port}"]
    async with running("broker", arguments, folder, priority=real_time(MEASURED)):
        await _listening(port)
        yield "embedded"


async def _listening(port: int) -> None:
    deadline_s = time.monotonic() + BROKER_S
    while time.monotonic() < deadline_s:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.1)
            continue
        writer.close()
        return
    raise BenchFailed(f"no broker on port {port} after {BROKER_S:g} s")
