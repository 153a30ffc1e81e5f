"""Every delivered profile, on the wire as the device's document shows it."""

from __future__ import annotations

from pathlib import Path

import pytest

from drivers.modbus.plan import plan_bus
from gateway.config import Device, Outlet, Profile, RtuBus, Site, load_profile
from gateway.core.ids import BusId
from tests.support.modbus_script import play
from tests.support.modbus_site import device, outlet, site

TRANSCRIPTS = Path(__file__).parent / "modbus"
PROFILES = Path(__file__).parents[2] / "config" / "profiles"
LINE = RtuBus(id=BusId("line"), port="/dev/none", poll_ms=5_000)


def profile(name: str) -> Profile:
    return load_profile(PROFILES / f"{name}.yaml")


def composed(meter: str) -> Site:
    devices = (
        device("meter", "line", 1, profile(meter)),
        device("board", "line", 2, profile("waveshare-relay-8")),
    )
    return site((LINE,), devices, (outlet("x", ("board", 3), ("meter", 1)),))


def single(name: str) -> Site:
    kind = profile(name)
    names = ["x"] if kind.channels == 1 else [f"x{n}" for n in range(1, kind.channels + 1)]
    outlets = tuple(outlet(x, ("it", channel)) for channel, x in enumerate(names, 1))
    return site((LINE,), (device("it", "line", 1, kind),), outlets)


SITES = {
    "pzem-004t-v3_waveshare-relay-8": lambda: composed("pzem-004t-v3"),
    "sdm120": lambda: composed("sdm120"),
    "dds238-2-zn-sr": lambda: single("dds238-2-zn-sr"),
    "pilegate-ref10": lambda: single("pilegate-ref10"),
}


@pytest.mark.parametrize("path", sorted(TRANSCRIPTS.glob("*.txt")), ids=lambda path: path.stem)
def test_a_device_is_spoken_to_as_its_transcript_shows(path: Path) -> None:
    play(LINE, SITES[path.stem](), path.read_text())


def test_every_profile_has_a_transcript() -> None:
    told = {name for path in TRANSCRIPTS.glob("*.txt") for name in path.stem.split("_")}
    assert told == {path.stem for path in PROFILES.glob("*.yaml")}


@pytest.mark.parametrize("path", sorted(PROFILES.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_profile_can_be_planned(path: Path) -> None:
    kind = load_profile(path)
    own: Device = device("it", "line", 1, kind)
    board = device("board", "line", 2, profile("waveshare-relay-8"))
    outlets: list[Outlet] = []
    for channel in range(1, kind.channels + 1):
        relay = ("it", channel) if kind.relay else ("board", channel)
        outlets.append(outlet(f"x{channel}", relay, ("it", channel)))
    plan = plan_bus(LINE, site((LINE,), (own, board), tuple(outlets)))
    assert plan.requests
    assert plan.worst_cut_ms > 0
