"""The driver switches simulated relay boards and contactors, by TCP and on a serial line."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from drivers.modbus.bus import ModbusBus
from gateway.config import Bus, Site, load_site
from gateway.core.clock import SystemClock
from gateway.core.ids import OutletId
from gateway.guard.model import Sample, WriteResult
from tests.support.modbus_site import Recorder
from tests.support.ports import free_port
from tests.support.sim_program import Simulator, simulating
from tests.support.waiting import until

BOARDS = {
    "coil": "relay-8-coil-0100",
    "register": "relay-8-register",
    "r421a": "r421a08",
    "contactor": "waveshare-relay-d-contactor",
}
METERS = {"pzem": "pzem-016", "sdm230": "sdm230", "ddsu": "ddsu666", "sdm630": "sdm630"}
PAIRS = [*zip(METERS, BOARDS, strict=True)]
"""Each outlet has another meter, and another kind of relay."""
SITE = """\
site: {{id: t, name: T}}
buses:
  - {{id: net, kind: modbus-tcp, host: 127.0.0.1, port: {port}, poll_ms: 200, timeout_ms: 10000}}
  - {{id: line, kind: modbus-rtu, port: {folder}/tty, baud: 19200, poll_ms: 200, timeout_ms: 10000}}
devices:
{devices}
stations:
  - id: s
    piles:
      - id: p
        outlets:
{outlets}
"""


def write_site(folder: Path, bus: str) -> Path:
    port = free_port()
    kinds = {**METERS, **BOARDS}
    devices = [
        f"  - {{id: {name}, bus: {bus}, unit: {unit}, profile: {kind}}}"
        for unit, (name, kind) in enumerate(kinds.items(), 1)
    ]
    outlets = [
        f"          - {{id: o-{board}, meter: {{device: {meter}, channel: 1}}, "
        f"relay: {{device: {board}, channel: 2}}}}"
        for meter, board in PAIRS
    ]
    path = folder / "site.yaml"
    text = {"devices": "\n".join(devices), "outlets": "\n".join(outlets)}
    path.write_text(SITE.format(folder=folder, port=port, **text))
    return path


@pytest.fixture(params=["net", "line"])
def bus(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def running(tmp_path: Path, bus: str) -> Iterator[tuple[Simulator, Site]]:
    path = write_site(tmp_path, bus)
    scenario = tmp_path / "loads.yaml"
    plugs = [f"  - {{at_s: 0, plug: o-{board}, load: kettle}}" for board in BOARDS]
    scenario.write_text(
        "scenario: t\ntitle: T\nsite: site.yaml\nduration_s: 600\n"
        "mains: {voltage_v: 230, source_ohm: 0, noise_v: 0}\n"
        "loads: {kettle: {kind: appliance, power_w: 1150}}\nsteps:\n" + "\n".join(plugs)
    )
    with simulating("--scenario", scenario) as simulator:
        simulator.wait_for("ready")
        yield simulator, load_site(path)


class Watcher(Recorder):
    """Knows what each quantity of an outlet was last, whichever device told it."""

    def __init__(self) -> None:
        super().__init__()
        self.known: dict[str, dict[str, object]] = {}

    def on_sample(self, outlet_id: OutletId, sample: Sample) -> None:
        known = self.known.setdefault(outlet_id, {})
        for name in ("relay_on", "power_w", "voltage_v", "energy_mwh"):
            value = getattr(sample, name)
            if value is not None:
                known[name] = value

    def relay(self, outlet: str) -> object:
        return self.known.get(outlet, {}).get("relay_on")

    def power_w(self, outlet: str) -> float:
        value = self.known.get(outlet, {}).get("power_w", 0.0)
        assert isinstance(value, float | int)
        return float(value)


def drive(site: Site, bus: str, play: Callable[[ModbusBus, Watcher], Awaitable[None]]) -> Watcher:
    async def main() -> Watcher:
        watcher = Watcher()
        place: Bus = next(each for each in site.buses if each.id == bus)
        driver = ModbusBus(place, site, watcher, SystemClock())
        owner = asyncio.create_task(driver.run(), name="bus")
        try:
            await play(driver, watcher)
        finally:
            owner.cancel()
            await asyncio.wait([owner])
        return watcher

    return asyncio.run(main())


OUTLETS = [OutletId(f"o-{board}") for board in BOARDS]


def test_every_style_of_relay_is_switched_and_read_back(
    running: tuple[Simulator, Site], bus: str
) -> None:
    _, site = running

    async def play(driver: ModbusBus, watcher: Watcher) -> None:
        await until(lambda: all(watcher.relay(outlet) is False for outlet in OUTLETS))
        for outlet in OUTLETS:
            driver.switch_on(outlet, 60_000)
        await until(lambda: all(watcher.relay(outlet) is True for outlet in OUTLETS))
        await until(lambda: all(1_100 < watcher.power_w(outlet) < 1_200 for outlet in OUTLETS))
        for outlet in OUTLETS:
            driver.switch_off(outlet, urgent=True)
        await until(lambda: all(watcher.relay(outlet) is False for outlet in OUTLETS))
        await until(lambda: all(watcher.power_w(outlet) == 0 for outlet in OUTLETS))

    watcher = drive(site, bus, play)
    assert {(outlet, on) for outlet, on, _ in watcher.writes} >= {
        (outlet, on) for outlet in OUTLETS for on in (True, False)
    }
    assert {result for _, _, result in watcher.writes} == {WriteResult.DONE}


def test_a_welded_contactor_is_seen_by_its_auxiliary_contact(
    running: tuple[Simulator, Site], bus: str
) -> None:
    simulator, site = running
    outlet = OutletId("o-contactor")

    async def play(driver: ModbusBus, watcher: Watcher) -> None:
        await until(lambda: watcher.relay(outlet) is False)
        driver.switch_on(outlet, 60_000)
        await until(lambda: watcher.relay(outlet) is True)
        simulator.say({"fault": "welded", "outlet": outlet}, {"unplug": outlet})
        await asyncio.to_thread(simulator.wait_for, "cause", step={"unplug": outlet})
        driver.switch_off(outlet, urgent=True)
        await until(lambda: (outlet, False, WriteResult.DONE) in watcher.writes)
        await until(lambda: watcher.power_w(outlet) == 0)
        watcher.known.clear()
        await until(lambda: watcher.relay(outlet) is not None)
        # no current flows, the board is off, and still it is seen
        assert watcher.relay(outlet) is True

    drive(site, bus, play)


def test_all_off_reaches_every_style(running: tuple[Simulator, Site], bus: str) -> None:
    simulator, site = running

    async def main() -> None:
        place: Bus = next(each for each in site.buses if each.id == bus)
        driver = ModbusBus(place, site, Watcher(), SystemClock())
        results = await driver.all_off()
        assert dict(results) == dict.fromkeys(OUTLETS, WriteResult.DONE)

    asyncio.run(main())
    simulator.stats()
    told = {record["outlet"] for record in simulator.records if record["kind"] == "relay"}
    assert told == set(OUTLETS)
