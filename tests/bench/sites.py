"""Sites and scenarios of the bench: plain data, written where the run lives."""

from __future__ import annotations

import random
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

OUTLETS_EACH = 10
EACH_FEED = 10
"""Modules on each feed of a site with circuits."""
PHASES = ("L1", "L2", "L3")
MOST_A = 9_000.0
"""What circuits carry: more than there is, so that nothing is shed."""
LINE = "line1"
FAR = "far"
NEAR = "near"
LIMIT_A = 12.0
LOAD_W = 60.0
OVERLOAD_W = 3_500.0
"""About 15 A at 230 V: over the instantaneous limit, and over no other before it acts."""

_LIMITS = {
    "overcurrent_instant": {"above_a": LIMIT_A},
    "overcurrent": None,
    "overpower": None,
    "unplugged": None,
    "full": None,
    "no_load": None,
}
_SCENARIO = {
    "title": "Steady loads, overloaded one after another by the bench",
    "seed": 1,
    "duration_s": 3_600,
    "mains": {"voltage_v": 230, "source_ohm": 0.05, "noise_v": 0.3},
    "over_a": LIMIT_A,
    "loads": {"steady": {"kind": "appliance", "power_w": LOAD_W, "resistive": True}},
}


@dataclass(frozen=True, slots=True)
class BenchSite:
    """Files of one run, and who is on it."""

    site_file: Path
    """What the simulators read."""
    guard_file: Path
    """The same site, where a tap stands between the guard and a line."""
    scenario_file: Path
    state_dir: Path
    outlets: tuple[str, ...]
    first_port: int
    api_port: int

    @property
    def socket(self) -> Path:
        return self.state_dir / "guard.sock"

    def in_turn(self) -> list[str]:
        """Outlets in an order in which a module comes again as late as possible.

        Several overloads in one answer would time the module's turn-around, not the master.
        The order of the modules is no order, as masters may read neighbours one after another.
        """
        first = list(self.outlets[::OUTLETS_EACH])
        random.Random(3).shuffle(first)
        module = {outlet: at for at, outlet in enumerate(self.outlets)}
        return [
            self.outlets[module[outlet] + channel]
            for channel in range(OUTLETS_EACH)
            for outlet in first
        ]


def write_tcp_site(folder: Path, modules: int, *, is_fed: bool = False) -> BenchSite:
    """A site of TCP modules, each on a port of its own, polled at 1 Hz.

    ``is_fed``: by a tree of circuits, which carry all of it.
    """
    first_port = _free_ports(modules + 1)
    buses: list[dict[str, Any]] = [
        {
            "id": f"net{number}",
            "kind": "modbus-tcp",
            "host": "127.0.0.1",
            "port": first_port + number - 1,
            "poll_ms": 1_000,
        }
        for number in range(1, modules + 1)
    ]
    devices = [
        {"id": f"m{number}", "bus": f"net{number}", "unit": 1, "profile": "pilegate-ref10"}
        for number in range(1, modules + 1)
    ]
    circuits = circuits_of(modules) if is_fed else []
    return _write(folder, buses, devices, first_port, first_port + modules, circuits=circuits)


def circuits_of(modules: int) -> list[dict[str, Any]]:
    """Feed every ten modules by a circuit of three phases, and each module by one of its own."""
    found: list[dict[str, Any]] = [
        {
            "id": "top",
            "phases": 3,
            "current_a": MOST_A,
            "start_w": 2 * LOAD_W,
            "most_waiting": 10_000,
        }
    ]
    for first in range(1, modules + 1, EACH_FEED):
        feed = f"feed-{first}"
        phases = [f"{feed}-{phase.lower()}" for phase in PHASES]
        found.append({"id": feed, "parent": "top", "phases": 3, "current_a": MOST_A})
        found += [
            {"id": name, "parent": feed, "phase": phase, "current_a": MOST_A}
            for name, phase in zip(phases, PHASES, strict=True)
        ]
        found += [
            {
                "id": f"c-m{number}",
                "parent": phases[number % len(phases)],
                "feeds": [f"pile/p-m{number}"],
                "current_a": MOST_A,
            }
            for number in range(first, min(first + EACH_FEED, modules + 1))
        ]
    return found


def write_rtu_site(folder: Path, modules: int, baud: int) -> BenchSite:
    """One serial line, polled as fast as it goes.

    The simulators make it at ``folder/far``; the guard opens ``folder/near``.
    """
    buses: list[dict[str, Any]] = [
        {"id": LINE, "kind": "modbus-rtu", "port": str(folder / FAR), "baud": baud, "poll_ms": 50}
    ]
    devices = [
        {"id": f"m{number}", "bus": LINE, "unit": number, "profile": "pilegate-ref10"}
        for number in range(1, modules + 1)
    ]
    return _write(folder, buses, devices, 0, _free_ports(1))


def _write(
    folder: Path,
    buses: list[dict[str, Any]],
    devices: list[dict[str, Any]],
    first_port: int,
    api_port: int,
    *,
    circuits: Sequence[dict[str, Any]] = (),
) -> BenchSite:
    state_dir = folder / "state"
    state_dir.mkdir(parents=True)
    piles = [
        {
            "id": f"p-{device['id']}",
            "module": {
                "device": device["id"],
                "channels": f"1-{OUTLETS_EACH}",
                "outlets": f"{device['id']}-{{channel}}",
            },
        }
        for device in devices
    ]
    outlets = tuple(
        f"{device['id']}-{channel}" for device in devices for channel in range(1, OUTLETS_EACH + 1)
    )
    site = {
        "site": {"id": "bench", "name": "Bench"},
        "state_dir": str(state_dir),
        "promise": {"cut_off_ms": 60_000},
        "limits": _LIMITS,
        "serve": {"listen": f"127.0.0.1:{api_port}"},
        "buses": buses,
        "devices": devices,
        "stations": [{"id": "hall", "name": "Hall", "piles": piles}],
        "circuits": list(circuits),
    }
    scenario = {
        "scenario": "bench",
        **_SCENARIO,
        "site": "site.yaml",
        "steps": [{"at_s": 0, "plug": outlet, "load": "steady"} for outlet in outlets],
    }
    site_file = _dump(folder / "site.yaml", site)
    for bus in buses:
        if "baud" in bus:
            bus["port"] = str(folder / NEAR)
    return BenchSite(
        site_file=site_file,
        guard_file=_dump(folder / "guard.yaml", site),
        scenario_file=_dump(folder / "scenario.yaml", scenario),
        state_dir=state_dir,
        outlets=outlets,
        first_port=first_port,
        api_port=api_port,
    )


def _dump(path: Path, data: dict[str, Any]) -> Path:
    path.write_text(yaml.safe_dump(data, sort_keys=False), encoding="utf-8")
    return path


def _free_ports(count: int) -> int:
    """Find ``count`` free ports in a row below the range of outgoing connections."""
    first = 20_000
    while first + count < 32_000:
        for port in range(first, first + count):
            with socket.socket() as candidate:
                try:
                    candidate.bind(("127.0.0.1", port))
                except OSError:
                    break
        else:
            return first
        first = port + 1
    raise RuntimeError(f"no {count} free ports in a row between 20000 and 32000")
