"""A tree of circuits played without wires: outlets draw, are told, and obey."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from gateway.config import Amount, Circuit, Policy
from gateway.core.ids import CircuitId, OutletId
from gateway.guard.circuit_load import Feed, Scene, Stage, Tree, Usage, draws, trees_of
from gateway.guard.circuit_state import Decisions, TreeState
from gateway.guard.circuits import step

VOLTS = 230.0
DARK_V = 50.0
"""Below it nothing draws."""
OUTLETS = ("a", "b", "c", "d")
"""Those of a yard of one circuit."""


def circuit(name: str, *outlets: str, parent: str | None = None, **said: Any) -> Circuit:
    """Make a circuit; what is not said is as in a site file that does not say it."""
    said.setdefault("priorities", MappingProxyType({}))
    said.setdefault("rest_s", 0.0)
    return Circuit(
        id=CircuitId(name),
        name=name,
        parent=None if parent is None else CircuitId(parent),
        outlets=tuple(OutletId(outlet) for outlet in outlets),
        **said,
    )


def tree_of(*circuits: Circuit) -> Tree:
    (tree,) = trees_of(circuits)
    return tree


def watts(power_w: float) -> Amount:
    return Amount(power_w, power_w / VOLTS)


@dataclass
class Yard:
    """Outlets of one tree, what each would draw, and what the machine has said to them."""

    tree: Tree
    would_w: dict[str, float] = field(default_factory=dict)
    limit_w: float = 1_000.0
    start_w: float = 300.0
    settle_ms: int = 5_000
    now_ms: int = 1_000_000
    off_after_ms: int = 500
    """How long an outlet needs to be seen off."""
    voltage_v: float | None = VOLTS
    misread: bool = False
    """Whether the mains are well, whatever is read."""
    voltage_ms: int | None = None
    """When all of them were read; None: they are read at every step."""
    tells_voltage: bool = True
    state: TreeState = field(default_factory=TreeState)
    others_w: dict[str, float] = field(default_factory=dict)
    """By circuit whose meter works: what else it shows beside its outlets."""
    feeds: dict[str, Feed] = field(default_factory=dict)
    since: dict[str, tuple[Stage, int, int]] = field(default_factory=dict)
    """By outlet: its stage, since when, and when its lease was granted."""
    sheds: list[tuple[int, str, str]] = field(default_factory=list)
    starts: list[tuple[int, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    last: Decisions = field(default_factory=Decisions)

    def ask(self, *outlets: str) -> None:
        for outlet in outlets:
            self.since[outlet] = (Stage.WAITING, self.now_ms, self.now_ms)
            self.now_ms += 1

    def end(self, outlet: str) -> None:
        del self.since[outlet]

    def usage(self, outlet: str) -> Usage:
        stage, since_ms, granted_ms = self.since[outlet]
        flows = stage is Stage.GOING or (stage is Stage.RUNNING and since_ms < self.now_ms)
        is_dark = self.voltage_v is not None and self.voltage_v < DARK_V and not self.misread
        power_w = self.would_w.get(outlet, 100.0) if flows and not is_dark else 0.0
        start = watts(min(self.start_w, self.limit_w))
        return Usage(
            outlet=OutletId(outlet),
            stage=stage,
            granted_ms=granted_ms,
            since_ms=since_ms,
            limit=watts(self.limit_w),
            start=start,
            measured=watts(power_w),
            drawn_ms=self.now_ms,
            voltage_v=self.voltage_v,
            voltage_ms=None if self.voltage_v is None else self.voltage_ms or self.now_ms,
            tells_voltage=self.tells_voltage,
            settled=self.now_ms - since_ms >= self.settle_ms,
        )

    def scene(self) -> Scene:
        usages = [self.usage(outlet) for outlet in sorted(self.since)]
        feeds: Mapping[CircuitId, Feed] = {CircuitId(c): feed for c, feed in self.feeds.items()}
        return Scene(usages, feeds, self.now_ms)

    def step(self, after_s: float = 0.25) -> Decisions:
        """Let time pass, judge, and do what is said."""
        self.now_ms += round(after_s * 1000)
        for outlet, (stage, since_ms, granted_ms) in list(self.since.items()):
            if stage is Stage.GOING and self.now_ms - since_ms >= self.off_after_ms:
                self.since[outlet] = (Stage.WAITING, self.now_ms, granted_ms)
        for name, other_w in self.others_w.items():
            at = self.tree.by_id[CircuitId(name)]
            mine = [o for o in self.since if at in self.tree.lines[OutletId(o)]]
            shown = sum((draws(self.usage(outlet)).power_w for outlet in mine), 0.0)
            self.metered(name, shown + other_w)
        self.state, said = step(self.tree, self.state, self.scene())
        for shed in said.sheds:
            stage, _, granted_ms = self.since[shed.outlet]
            assert stage is Stage.RUNNING, shed
            self.since[shed.outlet] = (Stage.GOING, self.now_ms, granted_ms)
            self.sheds.append((self.now_ms, shed.outlet, shed.reason.value))
        for outlet in said.starts:
            stage, _, granted_ms = self.since[outlet]
            assert stage is Stage.WAITING, outlet
            self.since[outlet] = (Stage.RUNNING, self.now_ms, granted_ms)
            self.starts.append((self.now_ms, outlet))
        self.notes += [f"{note.kind.value} {note.circuit}" for note in said.notes]
        self.last = said
        return said

    def steps(self, seconds: float, every_s: float = 0.25) -> None:
        for _ in range(round(seconds / every_s)):
            self.step(every_s)

    def at(self, stage: Stage) -> list[str]:
        return sorted(outlet for outlet, (its, _, _) in self.since.items() if its is stage)

    @property
    def running(self) -> list[str]:
        return self.at(Stage.RUNNING)

    @property
    def waiting(self) -> list[str]:
        return self.at(Stage.WAITING)

    def metered(self, name: str, power_w: float, voltage_v: float = VOLTS) -> None:
        """Let a circuit's meter say something now."""
        feed = Feed(self.now_ms, watts(power_w), voltage_v, voltage_ms=self.now_ms)
        self.feeds[name] = feed


def yard(power_w: float = 1_000, policy: Policy = Policy.LATEST_FIRST, **said: Any) -> Yard:
    """Make a yard of one circuit."""
    top = circuit("top", *OUTLETS, power_w=power_w, policy=policy, delay_s=10, **said)
    return Yard(tree_of(top))


def started(policy: Policy = Policy.LATEST_FIRST, **said: Any) -> Yard:
    """Three outlets that draw 300 W each, settled, on a circuit of 1000 W."""
    found = yard(policy=policy, **said)
    found.would_w = dict.fromkeys(OUTLETS, 300.0)
    if "meter" in said:
        found.others_w = {"top": 0.0}
    for outlet in ("a", "b", "c"):
        found.ask(outlet)
        found.step()
    found.steps(6)
    assert found.running == ["a", "b", "c"]
    return found
