"""A small site for tests, and a bus that only notes what it is told."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from gateway.config import Site, load_site
from gateway.core.clock import Now, TimeQuality
from gateway.core.ids import OutletId

SITE = """
site: {id: shed, name: A shed}
limits: {silence: {delay_s: 5}}
buses:
  - {id: net1, kind: modbus-tcp, host: 127.0.0.1, port: 15020}
devices:
  - {id: m1, bus: net1, unit: 1, profile: pilegate-ref10}
stations:
  - id: north
    name: North gate
    piles:
      - {id: n1, name: Pile 1, module: {device: m1, channels: 1-5, outlets: "n1-{channel}"}}
      - {id: n2, name: Pile 2, module: {device: m1, channels: 6-10, outlets: "n2-{channel}"}}
"""


def small_site(folder: Path) -> Site:
    """Write the site file and load it: two piles of five outlets on one module."""
    path = folder / "site.yaml"
    path.write_text(SITE)
    return load_site(path)


@dataclass
class HandClock:
    """A clock that goes when it is told to."""

    mono_ms: int = 1_000_000
    utc_ms: int = 1_790_000_000_000
    quality: TimeQuality = TimeQuality.SYNCED

    def now(self) -> Now:
        return Now(self.mono_ms, self.utc_ms, self.quality)

    def go(self, seconds: float) -> None:
        self.mono_ms += round(seconds * 1000)
        self.utc_ms += round(seconds * 1000)


@dataclass(eq=False)
class NotingSwitch:
    """Takes what outlets ask of a bus."""

    told: list[tuple[str, str]] = field(default_factory=list)
    room: int = 100

    def switch_on(self, outlet: OutletId, for_ms: int) -> None:
        del for_ms
        self.told.append((outlet, "on"))

    def keep_on(self, outlet: OutletId, for_ms: int) -> None:
        self.told.append((outlet, f"keep on for {for_ms} ms"))

    def switch_off(self, outlet: OutletId, *, urgent: bool) -> None:
        self.told.append((outlet, "cut" if urgent else "off"))

    def room_for_ons(self) -> int:
        """No ON ever leaves this one."""
        return self.room - sum(what == "on" for _, what in self.told)
