"""Simulated plugs for unit tests: one device of a family, fed messages at times of the test."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from simulators.appliances import Appliance, ApplianceSettings
from simulators.mains import Feed, Mains, MainsSettings
from simulators.mqtt.families import make_nodes, make_plug
from simulators.mqtt.faults import PlugFault, PlugTrouble
from simulators.mqtt.message import Message, Outgoing
from simulators.mqtt.places import PlugName, PlugPlace, PlugProfile
from simulators.mqtt.plug import Plug
from simulators.mqtt.settings import PlugSettings
from simulators.outlet import SimOutlet
from simulators.registers import Channel


class PlugBench:
    """One plug at a stiff mains of 230 V, with its client; ``said`` is what it published last."""

    def __init__(
        self,
        family: str,
        topic: str = "p1",
        channels: int = 1,
        *,
        names: dict[str, PlugName] | None = None,
        can_be_asked: bool = False,
        profile: dict[str, Any] | None = None,
        **settings: Any,
    ) -> None:
        self.mains = Mains(MainsSettings(source_ohm=0.0, noise_v=0.0))
        self.outlets = [SimOutlet(f"o{n}", Feed(self.mains)) for n in range(1, channels + 1)]
        self.records: list[dict[str, Any]] = []
        kind = PlugProfile(
            name=f"{family}-test",
            family=family,
            channels=channels,
            names=names or {},
            can_be_asked=can_be_asked,
            **(profile or {}),
        )
        fitted = [Channel(outlet, outlet) for outlet in self.outlets]
        self.plug: Plug = make_plug(
            PlugPlace("d1", "plugs", topic, kind),
            {"d1": PlugSettings(**settings)},
            fitted,
            report=self.records.append,
            seed=1,
            now_s=0.0,
        )
        [self.node] = make_nodes([self.plug])
        self.said: list[Outgoing] = []

    def load(self, power_w: float, now_s: float, outlet: int = 1) -> None:
        """Plug something in that draws so much, with a power factor of 1."""
        load = Appliance(ApplianceSettings(power_w=power_w, resistive=False, ripple=0.0), 1)
        self.outlets[outlet - 1].plug(load, now_s)

    def connect(self, now_s: float = 0.0) -> list[Message]:
        return self._take(self.node.connected(now_s))

    def tell(self, topic: str, payload: Any, now_s: float) -> list[Message]:
        """Send a command; anything but text is sent as JSON."""
        written = payload if isinstance(payload, str | bytes) else json.dumps(payload)
        data = written if isinstance(written, bytes) else written.encode()
        return self._take(self.node.receive(Message(topic, data), now_s, 77))

    def tick(self, now_s: float) -> list[Message]:
        return self._take(self.node.tick(now_s))

    def run(self, from_s: float, to_s: float) -> list[tuple[float, Message]]:
        """Live in steps of a tenth of a second; gives what was published, and when."""
        steps = range(round(from_s * 10), round(to_s * 10) + 1)
        return [(at / 10, message) for at in steps for message in self.tick(at / 10)]

    def suffer(self, fault: str, **how: Any) -> Callable[[], None]:
        trouble = PlugTrouble(PlugFault(fault), **how)
        self.plug.faults.start(trouble)
        return lambda: self.plug.faults.stop(trouble)

    def relays(self) -> list[tuple[str, bool, str]]:
        return [(r["outlet"], r["on"], r["by"]) for r in self.records if r["kind"] == "relay"]

    def _take(self, outgoing: list[Outgoing]) -> list[Message]:
        self.said = outgoing
        return [out.message for out in outgoing]


def texts(messages: list[Message]) -> list[tuple[str, str]]:
    """Topic and payload of each."""
    return [(message.topic, message.payload.decode()) for message in messages]


def document_on(messages: list[Message], topic: str) -> Any:
    """Payload of the last message on a topic, as JSON."""
    return json.loads([m for m in messages if m.topic == topic][-1].payload)
