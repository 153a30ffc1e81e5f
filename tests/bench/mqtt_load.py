"""Many plugs that publish telemetry at a steady rate, and one that is overloaded on demand.

``python -m tests.bench.mqtt_load --port 1883 --plugs 200 --rate 4000`` connects that many
native or Tasmota plugs over a few connections, publishes R messages a second in all, spread
evenly, and prints JSON lines, each with ``mono_ns`` (CLOCK_MONOTONIC, comparable between
processes). Standard input takes JSON lines:

- ``{"over": "plug7"}``: its next message shows ``--over-a``; ``{"over": null}``: the plug whose
  turn is next. Told as ``{"kind":"over","plug":…}`` once that message was handed to the kernel.
- ``{"quiet": true}``: says nothing any more, asked or not, and tells its counters: what is on its
  way when it is counted is then no message that seems lost.
- ``{"stats": true}``: counters. ``{"stop": true}``, or the end of the input: ends.

Commands that arrive are told as ``{"kind":"command","plug":…,"on":…}`` with the time at which
their bytes arrived, and obeyed: an overloaded plug that is switched off draws nothing.

A site that fits: N devices with profile ``--profile`` (one outlet each) and the topics
``plug0`` … ``plugN-1``; ``--site FILE`` writes one.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import threading
import time
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from simulators.mqtt.link import Link, open_link
from simulators.mqtt.message import Message
from simulators.mqtt.packets import Login

BEAT_S = 0.001
"""Messages leave in bunches of what is due; 4,000 a second are four each time, as plugs that know
nothing of each other would send them."""
PLUGS_A_LINK = 50
VOLTAGE_V = 230.0
FAMILIES = {"native": "pilegate-native", "tasmota": "tasmota-plug"}


@dataclass(slots=True)
class Plug:
    """One plug of one outlet."""

    name: str
    is_on: bool = True
    over_next: bool = False
    is_over: bool = False
    sequence: int = 0


@dataclass(slots=True)
class Load:
    """All plugs, their connections, and whose turn it is."""

    arguments: argparse.Namespace
    plugs: list[Plug] = field(default_factory=list)
    links: list[Link] = field(default_factory=list)
    turn: int = 0
    said: int = 0
    unsent: int = 0
    is_quiet: bool = False

    def tell(self, kind: str, mono_ns: int | None = None, **fields: Any) -> None:
        record = {"kind": kind, **fields, "mono_ns": mono_ns or time.monotonic_ns()}
        sys.stdout.write(json.dumps(record) + "\n")
        sys.stdout.flush()

    # The wire

    async def connect(self) -> None:
        """Connect everything. Raises OSError or TryLater."""
        arguments = self.arguments
        self.plugs = [Plug(f"plug{n}") for n in range(arguments.plugs)]
        for first in range(0, len(self.plugs), PLUGS_A_LINK):
            login = Login(f"load-{os.getpid()}-{first}", 60)
            link = await open_link(
                arguments.host, arguments.port, login, hear=self.hear, now_ns=time.monotonic_ns
            )
            self.links.append(link)
            for plug in self.plugs[first : first + PLUGS_A_LINK]:
                link.subscribe([(self.command_topic(plug.name), 1)])
                for message in self.birth(plug):
                    link.publish(message)

    def command_topic(self, name: str) -> str:
        is_native = self.arguments.family == "native"
        return f"pilegate/{name}/+" if is_native else f"cmnd/{name}/#"

    def birth(self, plug: Plug) -> list[Message]:
        if self.arguments.family == "native":
            return [Message(f"pilegate/{plug.name}/online", b"true", retain=True)]
        return [Message(f"tele/{plug.name}/LWT", b"Online", retain=True)]

    def hear(self, message: Message, received_ns: int) -> None:
        """Obey a command."""
        parts = message.topic.split("/")
        if len(parts) != 3 or self.is_quiet:
            return
        plug = self.plug(parts[1])
        if self.arguments.family == "native":
            self.hear_native(plug, parts[2], message.payload, received_ns)
        else:
            self.hear_tasmota(plug, parts[2], message.payload.decode(), received_ns)

    def hear_native(self, plug: Plug, kind: str, payload: bytes, received_ns: int) -> None:
        if kind == "ask":
            self.publish(plug)
        elif kind == "command":
            command = json.loads(payload)
            if "relay_on" in command:
                self.switch(plug, bool(command["relay_on"]), received_ns)
            ack = json.dumps({"id": command["id"], "result": "done", "detail": ""}).encode()
            self.link(plug).publish(Message(f"pilegate/{plug.name}/ack", ack, qos=1))
            self.publish(plug, "state")

    def hear_tasmota(self, plug: Plug, command: str, payload: str, received_ns: int) -> None:
        word = command.upper().rstrip("0123456789")
        if word == "BACKLOG":
            for step in payload.split(";"):
                name, _, value = step.strip().partition(" ")
                self.hear_tasmota(plug, name, value, received_ns)
        elif word == "POWER" and payload.upper() in ("ON", "OFF"):
            self.switch(plug, payload.upper() == "ON", received_ns)
            state = "ON" if plug.is_on else "OFF"
            self.link(plug).publish(Message(f"stat/{plug.name}/POWER", state.encode()))
        elif word == "STATUS" and payload == "8":
            status = json.dumps({"StatusSNS": self.tasmota(plug)}).encode()
            self.link(plug).publish(Message(f"stat/{plug.name}/STATUS8", status))
        elif word == "STATUS" and payload == "11":
            state = "ON" if plug.is_on else "OFF"
            status = json.dumps({"StatusSTS": {"POWER": state}}).encode()
            self.link(plug).publish(Message(f"stat/{plug.name}/STATUS11", status))
        elif word == "POWERONSTATE":
            self.link(plug).publish(Message(f"stat/{plug.name}/RESULT", b'{"PowerOnState":0}'))

    def switch(self, plug: Plug, on: bool, received_ns: int) -> None:
        plug.is_on = on
        if not on:
            plug.is_over = False
        self.tell("command", received_ns, plug=plug.name, on=on)

    # What is published

    def publish(self, plug: Plug, kind: str = "telemetry") -> None:
        """Publish one message of a plug."""
        is_first_over = plug.over_next
        plug.is_over |= plug.over_next
        plug.over_next = False
        plug.sequence += 1
        if self.arguments.family == "native":
            topic, payload = f"pilegate/{plug.name}/{kind}", self.native(plug)
        else:
            topic, payload = f"tele/{plug.name}/SENSOR", json.dumps(self.tasmota(plug))
        if self.link(plug).publish(Message(topic, payload.encode())):
            self.said += 1
        else:
            self.unsent += 1
        if is_first_over:
            self.tell("over", plug=plug.name)

    def current_a(self, plug: Plug) -> float:
        if not plug.is_on:
            return 0.0
        # Never twice the same, as no meter shows.
        ripple = plug.sequence % 10 / 1_000
        over_a: float = self.arguments.over_a
        return (over_a if plug.is_over else 0.4) + ripple

    def native(self, plug: Plug) -> str:
        current_a = self.current_a(plug)
        return (
            f'{{"outlets":[{{"channel":1,"voltage_v":230.0,"current_a":{current_a:.3f},'
            f'"power_w":{current_a * VOLTAGE_V:.1f},"energy_wh":12.5,'
            f'"relay_on":{"true" if plug.is_on else "false"},"temperature_c":25.0}}],'
            f'"seq":{plug.sequence}}}'
        )

    def tasmota(self, plug: Plug) -> dict[str, Any]:
        current_a = self.current_a(plug)
        power_w = round(current_a * VOLTAGE_V)
        energy = {"Total": 0.012, "Power": power_w, "ApparentPower": power_w, "Factor": 1.0}
        energy |= {"Voltage": 230, "Current": round(current_a, 3)}
        return {"Time": "2023-05-19T20:52:56", "ENERGY": energy}

    async def run(self) -> None:
        """Publish for ever at the rate asked for; what is late is caught up with."""
        began_s = time.monotonic()
        due = 0
        while not self.is_quiet:
            wanted = int((time.monotonic() - began_s) * self.arguments.rate)
            while due < wanted:
                self.publish(self.plugs[self.turn])
                self.turn = (self.turn + 1) % len(self.plugs)
                due += 1
            await asyncio.sleep(BEAT_S)

    # What it is told

    def plug(self, name: str) -> Plug:
        return self.plugs[int(name.removeprefix("plug"))]

    def link(self, plug: Plug) -> Link:
        return self.links[int(plug.name.removeprefix("plug")) // PLUGS_A_LINK]

    def obey(self, line: bytes, stop: asyncio.Event) -> None:
        order = json.loads(line)
        if "over" in order:
            plug = self.plug(order["over"]) if order["over"] else self.plugs[self.turn]
            plug.over_next = True
        elif order.get("quiet") or order.get("stats"):
            self.is_quiet = self.is_quiet or bool(order.get("quiet"))
            self.tell("stats", said=self.said, unsent=self.unsent, plugs=len(self.plugs))
        elif order.get("stop"):
            stop.set()


def read_input(load: Load, loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
    """Hand on what is written to standard input, until its end."""
    for line in sys.stdin.buffer:
        if line.strip():
            loop.call_soon_threadsafe(partial(load.obey, line, stop))
            if b'"stop"' in line:
                return  # a thread that still reads can't be ended with the interpreter
    loop.call_soon_threadsafe(stop.set)


def write_site(path: Path, arguments: argparse.Namespace) -> None:
    """Write a site file whose plugs are the ones that are simulated here."""
    plugs = range(arguments.plugs)
    profile = arguments.profile or FAMILIES[arguments.family]
    lines = [
        "site: {id: load, name: Load}",
        # Without a delay of its own: what is measured is the way, not the rule.
        f"limits: {{overcurrent_instant: {{above_a: {arguments.over_a / 2}}}, overcurrent: null,",
        "  overpower: null}",
        "buses:",
        f"  - {{id: plugs, kind: mqtt, host: {arguments.host}, port: {arguments.port}}}",
        "devices:",
        *(f"  - {{id: plug{n}, bus: plugs, topic: plug{n}, profile: {profile}}}" for n in plugs),
        "stations:",
        "  - id: s",
        "    name: S",
        "    piles:",
        "      - id: p",
        "        outlets:",
        *(f"          - {{id: o{n}, device: plug{n}, channel: 1}}" for n in plugs),
    ]
    path.write_text("\n".join(lines) + "\n")


async def main(arguments: argparse.Namespace) -> None:
    load = Load(arguments)
    await load.connect()
    load.tell("ready", plugs=len(load.plugs), links=len(load.links), rate=arguments.rate)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    threading.Thread(target=read_input, args=(load, loop, stop), daemon=True).start()
    async with asyncio.TaskGroup() as tasks:
        publishing = tasks.create_task(load.run(), name="publishing")
        await stop.wait()
        publishing.cancel()
    load.tell("end", said=load.said, unsent=load.unsent, dropped=sum(x.dropped for x in load.links))
    for link in load.links:
        link.disconnect()


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.mqtt_load")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--plugs", type=int, default=200)
    parser.add_argument("--rate", type=float, default=4_000, help="messages a second in all")
    parser.add_argument("--family", choices=sorted(FAMILIES), default="native")
    parser.add_argument("--over-a", type=float, default=14.0)
    parser.add_argument("--profile", help="for --site; one outlet a plug")
    parser.add_argument("--site", type=Path, help="write a fitting site file, and end")
    return parser.parse_args()


if __name__ == "__main__":
    chosen = parsed()
    if chosen.site is not None:
        write_site(chosen.site, chosen)
    else:
        asyncio.run(main(chosen))
