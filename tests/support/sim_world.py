"""Worlds for tests of the simulators: small sites on the shipped profiles."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from simulators.appliances import Appliance, ApplianceSettings
from simulators.chargers import CcCvCharger, ChargerSettings
from simulators.codec import Function
from simulators.mains import MainsSettings
from simulators.physics import Load
from simulators.scenario import parse_step
from simulators.sites import read_site
from simulators.world import World

ROOT = Path(__file__).resolve().parents[2]
DEMO_TCP = ROOT / "config" / "sites" / "demo-tcp.yaml"
SCENARIOS = ROOT / "config" / "scenarios"


def kettle(_seed: int) -> Load:
    """2,300 W: 10 A at 230 V."""
    return Appliance(ApplianceSettings(power_w=2300, resistive=False))


def bike(_seed: int) -> Load:
    """A bike at its plateau from the first moment."""
    return CcCvCharger(ChargerSettings(plateau_w=180, start_soc=0.5, ramp_s=0))


LOADS: dict[str, Callable[[int], Load]] = {"kettle": kettle, "bike": bike}


@dataclass
class Bench:
    """A world on a stiff, quiet mains, spoken to by PDUs."""

    world: World
    records: list[dict[str, Any]] = field(default_factory=list)

    def ask(self, bus: str, unit: int, pdu: str, now_s: float) -> str | None:
        """Send a PDU in hex; give the answer's PDU in hex, None for no answer."""
        told = self.world.ask(bus, unit, bytes.fromhex(pdu), now_s, received_ns=1)
        return None if told is None else told.answer.pdu.hex()

    def words(self, bus: str, unit: int, pdu: str, now_s: float) -> list[int]:
        """Send a read of registers; give the words."""
        told = self.world.ask(bus, unit, bytes.fromhex(pdu), now_s, received_ns=1)
        assert told is not None
        answer = told.answer.pdu
        assert answer[0] in (Function.READ_HOLDING, Function.READ_INPUT), answer.hex()
        return [int.from_bytes(answer[at : at + 2], "big") for at in range(2, len(answer), 2)]

    def do(self, now_s: float, **step: Any) -> Callable[[float], None] | None:
        """Play a step."""
        parsed = parse_step(step)
        self.world.check(parsed)
        return self.world.apply(parsed, now_s)

    def relays(self) -> list[tuple[str, bool, str]]:
        """Give the relay records so far: outlet, on, by."""
        return [(r["outlet"], r["on"], r["by"]) for r in self.records if r["kind"] == "relay"]


def demo_bench(site: Path = DEMO_TCP, **mains: float) -> Bench:
    """Give the demonstration's site, without noise and sag."""
    records: list[dict[str, Any]] = []
    settings = MainsSettings(**{"source_ohm": 0.0, "noise_v": 0.0, **mains})
    world = World(read_site(site), mains=settings, loads=LOADS, report=records.append)
    return Bench(world, records)
