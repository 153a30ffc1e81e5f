"""Every delivered profile, on the wire as the device's document shows it."""

from __future__ import annotations

from pathlib import Path

import pytest

from drivers.modbus import frames
from drivers.modbus.likeness import every_read, likeness, readings
from drivers.modbus.plan import plan_bus
from drivers.modbus.transcript import check_transcript, read_transcript
from gateway.config import Device, Outlet, Profile, RtuBus, Site, load_profile
from gateway.config.profile_files import LoadedProfile, read_any_profile
from gateway.core.ids import BusId
from tests.support.modbus_script import play
from tests.support.modbus_site import device, outlet, site

TRANSCRIPTS = Path(__file__).parent / "modbus"
DOCUMENTS = TRANSCRIPTS / "documents"
"""Frames as documents print them, whatever the driver would ask."""
PROFILES = Path(__file__).parents[2] / "config" / "profiles"
MODBUS = sorted(
    path for path in PROFILES.glob("*.yaml") if isinstance(read_any_profile(path), LoadedProfile)
)
LINE = RtuBus(id=BusId("line"), port="/dev/none", poll_ms=5_000)


def profile(name: str) -> Profile:
    return load_profile(PROFILES / f"{name}.yaml")


def composed(meter: str) -> Site:
    devices = (
        device("meter", "line", 1, profile(meter)),
        device("board", "line", 2, profile("waveshare-relay-8")),
    )
    return site((LINE,), devices, (outlet("x", ("board", 3), ("meter", 1)),))


def on_board(meter: str, *channels: int) -> Site:
    devices = (
        device("meter", "line", 1, profile(meter)),
        device("board", "line", 2, profile("waveshare-relay-8")),
    )
    outlets = (outlet(f"x{each}", ("board", each), ("meter", each)) for each in channels)
    return site((LINE,), devices, tuple(outlets))


def single(name: str) -> Site:
    kind = profile(name)
    names = ["x"] if kind.channels == 1 else [f"x{n}" for n in range(1, kind.channels + 1)]
    outlets = tuple(outlet(x, ("it", channel)) for channel, x in enumerate(names, 1))
    return site((LINE,), (device("it", "line", 1, kind),), outlets)


def some(name: str, *channels: int) -> Site:
    outlets = tuple(outlet(f"x{channel}", ("it", channel)) for channel in channels)
    return site((LINE,), (device("it", "line", 1, profile(name)),), outlets)


SITES = {
    "pzem-004t-v3_waveshare-relay-8": lambda: composed("pzem-004t-v3"),
    "pzem-014": lambda: composed("pzem-014"),
    "pzem-016": lambda: composed("pzem-016"),
    "sdm120": lambda: composed("sdm120"),
    "sdm230": lambda: composed("sdm230"),
    "sdm630": lambda: on_board("sdm630", 1, 2, 3),
    "ddsu666": lambda: composed("ddsu666"),
    "or-we-504": lambda: composed("or-we-504"),
    "lc-relay-8": lambda: some("lc-relay-8", 2, 3),
    "waveshare-relay-16": lambda: single("waveshare-relay-16"),
    "relay-8-coil-0100": lambda: single("relay-8-coil-0100"),
    "relay-8-register": lambda: single("relay-8-register"),
    "r421a08": lambda: single("r421a08"),
    "waveshare-relay-d-contactor": lambda: single("waveshare-relay-d-contactor"),
    "dds238-2-zn-sr": lambda: single("dds238-2-zn-sr"),
    "pilegate-ref10": lambda: single("pilegate-ref10"),
}


@pytest.mark.parametrize("path", sorted(TRANSCRIPTS.glob("*.txt")), ids=lambda path: path.stem)
def test_a_device_is_spoken_to_as_its_transcript_shows(path: Path) -> None:
    play(LINE, SITES[path.stem](), path.read_text())


EVERY = sorted([*TRANSCRIPTS.glob("*.txt"), *DOCUMENTS.glob("*.txt")])


@pytest.mark.parametrize("path", EVERY, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_a_profile_makes_of_a_transcript_what_it_says(path: Path) -> None:
    """Compare as ``pilegate profile test`` does."""
    kind = profile(path.stem.split("_")[0])
    found = check_transcript(kind, read_transcript(path.read_text()))
    assert [f"{each.line}: {each.text}" for each in found.wrong] == []
    assert found.exchanges
    assert found.values


@pytest.mark.parametrize("path", sorted(DOCUMENTS.glob("*.txt")), ids=lambda path: path.stem)
def test_one_wrong_byte_is_found(path: Path) -> None:
    kind = profile(path.stem)
    lines = path.read_text().splitlines()
    for number, line in enumerate(lines):
        if line[0] not in "<>" or line.endswith("*"):
            continue
        for at in range(len(line) - 1, 1, -3):
            digit = "1" if line[at] == "0" else "0"
            spoilt = [*lines[:number], line[:at] + digit + line[at + 1 :], *lines[number + 1 :]]
            assert check_transcript(kind, read_transcript("\n".join(spoilt))).wrong


def test_every_profile_has_a_transcript() -> None:
    told = {name for path in TRANSCRIPTS.glob("*.txt") for name in path.stem.split("_")}
    inputs = {"waveshare-io-8"}  # no outlet's: the guard does not ask it yet
    assert told | inputs == {path.stem for path in MODBUS}
    assert inputs <= {path.stem for path in DOCUMENTS.glob("*.txt")}


VECTORS = {
    "01 04 00 00 00 0a 70 0d": "pzem-014",
    "01 05 00 00 ff 00 8c 3a": "waveshare-relay-8",
    "01 05 00 00 00 00 cd ca": "waveshare-relay-8",
    "01 03 20 00 00 10 4f c6": "ddsu666",
    "01 04 00 0c 00 02 b1 c8": "sdm230",
}
"""Frames in the project's domain facts, section 3, and the device whose they are."""


@pytest.mark.parametrize(("vector", "name"), VECTORS.items())
def test_the_frames_of_the_domain_facts_are_played(vector: str, name: str) -> None:
    lines = (DOCUMENTS / f"{name}.txt").read_text().lower().splitlines()
    assert f"> {vector}" in lines


def test_a_meter_s_energy_is_never_reset() -> None:
    reset = bytes.fromhex("01 42 80 11")  # function 0x42 of a PZEM
    assert frames.rtu_frame(1, b"\x42") == reset
    lines = read_transcript(f"> {reset.hex(' ')}\n< {reset.hex(' ')}")
    (wrong,) = check_transcript(profile("pzem-016"), lines).wrong
    assert wrong.text == "function 0x42 is none that this driver uses"


@pytest.mark.parametrize("path", MODBUS, ids=lambda path: path.stem)
def test_every_profile_loads_plans_and_decodes(path: Path) -> None:
    kind = load_profile(path)
    plan = plan_bus(LINE, every_channel(kind))
    assert plan.requests
    assert plan.worst_cut_ms > 0
    # zeros are an answer of every device; what they give is a value of every channel
    found = []
    for read in every_read(kind):
        request = read.request(1)
        data = bytes(request.answer_length - len(request.head))
        found += readings(read, request, data)
    told = {(each.channel, each.quantity) for each in found}
    channels = range(1, kind.channels + 1)
    assert told == {(channel, quantity) for channel in channels for quantity in kind.values}
    assert all(each.value is not None for each in found)
    # nothing but a board of relays or inputs is likely to show only zeros
    assert (likeness(kind, found) is None) == kind.is_meter


def every_channel(kind: Profile) -> Site:
    own: Device = device("it", "line", 1, kind)
    board = device("board", "line", 2, profile("waveshare-relay-8"))
    outlets: list[Outlet] = []
    for channel in range(1, kind.channels + 1):
        relay = ("it", channel) if kind.relay else ("board", channel)
        outlets.append(outlet(f"x{channel}", relay, ("it", channel)))
    return site((LINE,), (own, board), tuple(outlets))
