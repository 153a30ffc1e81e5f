"""A box of mixed hardware on real processes: every family at once, lost and found again."""

from __future__ import annotations

import asyncio
import subprocess
from functools import partial
from pathlib import Path

import pytest
import yaml

from gateway.core.errors import TryLater
from gateway.core.facts import FactKind
from gateway.demo.place import Place
from gateway.link.journal import JournalReader
from gateway.link.messages import OutletState
from tests.support.mosquitto import MOSQUITTO
from tests.support.run_stage import PATIENT, SITES, Stage, on_stage, play, until

MIXED = SITES / "mixed.yaml"
BY_MODBUS = ("m1-1", "r-pzem", "r-dds")
BY_MQTT = {
    "native": "native-1",
    "tasmota": "p-tasmota",
    "strip": "strip-2",
    "shelly1": "p-shelly1",
    "shelly2": "p-shelly2",
    "pro": "pro-3",
    "zigbee": "p-zigbee",
    "esphome": "p-esphome",
}
"""One outlet of each plug, by its device."""
EVERY = (*BY_MODBUS, *BY_MQTT.values())
TOO_MUCH_W = 3_000
COMES_BACK_S = 90.0

BROKERS = [
    pytest.param("embedded"),
    pytest.param("mosquitto", marks=pytest.mark.mosquitto),
]


class Mosquitto:
    """mosquitto, where a site looks for its broker."""

    def __init__(self) -> None:
        self._command: list[str] = []
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, place: Place) -> None:
        settings = place.folder / "mosquitto.conf"
        settings.write_text(
            f"listener {place.broker_port} 127.0.0.1\nallow_anonymous true\n"
            f"log_dest file {place.folder / 'mosquitto.log'}\n",
            encoding="utf-8",
        )
        self._command = [MOSQUITTO, "-c", str(settings)]
        self.again()

    def again(self) -> None:
        self._process = subprocess.Popen(self._command)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()


def template(folder: Path, broker: str) -> Path:
    """Give the mixed site; for another broker without the embedded one."""
    if broker == "embedded":
        return MIXED
    site = yaml.safe_load(MIXED.read_text(encoding="utf-8"))
    del site["broker"]
    path = folder / "mixed.yaml"
    path.write_text(yaml.safe_dump(site, sort_keys=False), encoding="utf-8")
    return path


async def switch_on(stage: Stage, outlets: tuple[str, ...]) -> None:
    """Switch on by the API, one after the other, and see each done."""
    for outlet in outlets:
        order = {
            "action": "on",
            "target": {"kind": "outlet", "id": outlet},
            "lease": {"for_s": 600},
            "reason": "test",
        }
        await until(
            f"{outlet} can be switched on", partial(is_ready, stage, outlet), within_s=COMES_BACK_S
        )
        facts = (await stage.call("hello"))["seq"]
        answer = await stage.api.request(
            "POST", "/v1/commands?wait=30", body=order, key=f"{outlet}-{facts}", timeout_s=60
        )
        assert answer.status == 200, (outlet, answer)
        part = answer.body["outlets"][0]
        assert (part["outlet"], part["result"]) == (outlet, "done"), part
        await stage.relay_is(outlet, on=True)


async def is_ready(stage: Stage, outlet: str) -> bool:
    """Say whether an outlet is off and its device answers. Raises TryLater with what it is."""
    view = (await stage.views())[outlet]
    if view.state is not OutletState.OFF or view.device_state != "online" or view.stale:
        raise TryLater(f"{view.state} {view.device_state}")
    return True


async def shows(stage: Stage, state: OutletState, outlets: tuple[str, ...]) -> bool:
    """Say that all show a state. Raises TryLater with those that do not."""
    views = await stage.views()
    others = [
        f"{outlet} {views[outlet].state} {views[outlet].device_state}"
        for outlet in outlets
        if views[outlet].state is not state
    ]
    if others:
        raise TryLater(", ".join(others))
    return True


def ends(stage: Stage, outlet: str) -> list[tuple[str, str]]:
    """Tell how an outlet was ended and cut, by the guard's journal."""
    with JournalReader(stage.journal) as reader:
        facts = reader.facts_after(0)
    kinds = (FactKind.LEASE_ENDED, FactKind.OUTLET_CUT)
    subject = f"outlet/{outlet}"
    return [(f.kind, f.reason) for f in facts if f.subject == subject and f.kind in kinds]


async def cut_by_overload(stage: Stage, outlets: tuple[str, ...]) -> None:
    """Overload outlets that are on, and see each cut and really off."""
    for outlet in outlets:
        stage.say(load_step=outlet, power_w=TOO_MUCH_W, for_s=60)
    await until(
        "each is cut", partial(shows, stage, OutletState.CUT, outlets), within_s=COMES_BACK_S
    )
    for outlet in outlets:
        await stage.relay_is(outlet, on=False)
        assert ends(stage, outlet)[-1][0] == FactKind.OUTLET_CUT, ends(stage, outlet)


async def known_and_off(stage: Stage) -> None:
    await until(
        "all are known, and off",
        partial(shows, stage, OutletState.OFF, EVERY),
        within_s=COMES_BACK_S,
    )


async def switched_and_cut(stage: Stage) -> None:
    """Sampling, switching by the API, and the cut-off, of every family."""
    await switch_on(stage, EVERY)

    async def charging() -> bool:
        views = await stage.views()
        return all((views[outlet].power_w or 0) > 100 for outlet in EVERY)

    await until("each shows its load", charging, within_s=COMES_BACK_S)
    await cut_by_overload(stage, EVERY)
    for outlet in EVERY:
        stage.say(unplug=outlet)
        stage.say(plug=outlet, load="bike")
    target = {"kind": "site", "id": "mixed"}
    await stage.call("reset", target=target, actor="test", reason="looked at", on_site=True)
    await known_and_off(stage)


async def plugs_lost_and_found(stage: Stage) -> None:
    """Each plug loses its supply: its lease ends, the others go on, and it stays off."""
    lost = tuple(BY_MQTT.values())
    await switch_on(stage, EVERY)
    for device in BY_MQTT:
        # A bridge misses a plug after minutes only, and tells at once when it goes itself.
        fault = "bridge_loss" if device == "zigbee" else "power_loss"
        stage.say(fault=fault, device=device)
    await until("the leases are over", partial(no_lease, stage, lost), within_s=COMES_BACK_S)
    assert await shows(stage, OutletState.ON, BY_MODBUS), "the others go on"
    for device in BY_MQTT:
        stage.say(heal=device)
    await until(
        "all are back, and off", partial(shows, stage, OutletState.OFF, lost), within_s=COMES_BACK_S
    )
    for outlet in lost:  # none came on by itself
        await stage.relay_is(outlet, on=False)


async def broker_lost_and_found(stage: Stage, mosquitto: Mosquitto) -> None:
    """The broker dies: what is behind it is silent, Modbus is as safe as before, all comes back."""
    lost = tuple(BY_MQTT.values())
    await switch_on(stage, lost)
    if stage.place.is_broker_embedded:
        await stage.programs.kill("broker")
    else:
        mosquitto.kill()
    await until("the leases are over", partial(no_lease, stage, lost), within_s=COMES_BACK_S)
    assert await shows(stage, OutletState.ON, BY_MODBUS), "the others go on"
    await cut_by_overload(stage, BY_MODBUS[:1])
    if stage.place.is_broker_embedded:
        await stage.programs.again("broker")
    else:
        mosquitto.again()
    await until(
        "all are back, and off", partial(shows, stage, OutletState.OFF, lost), within_s=COMES_BACK_S
    )
    await switch_on(stage, lost)


async def no_lease(stage: Stage, outlets: tuple[str, ...]) -> bool:
    """Say that all leases are over. Raises TryLater with those that are not."""
    views = await stage.views()
    running = [outlet for outlet in outlets if views[outlet].lease is not None]
    if running:
        raise TryLater(", ".join(running))
    return True


@pytest.mark.ahead
@pytest.mark.timeout(500)
@pytest.mark.parametrize("broker", BROKERS)
def test_every_family_at_once(tmp_path: Path, broker: str) -> None:
    mosquitto = Mosquitto()
    prepare = (lambda _: None) if broker == "embedded" else mosquitto.start

    async def story(stage: Stage) -> None:
        await known_and_off(stage)
        await switched_and_cut(stage)
        await plugs_lost_and_found(stage)
        await broker_lost_and_found(stage, mosquitto)
        for name in ("guard", "serve"):
            assert "Traceback" not in stage.programs.log(name), stage.programs.log(name)

    async def main() -> None:
        site = template(tmp_path, broker)
        plugs = {"zigbee": {"keepalive_s": 5}}
        limits = {"no_reaction": PATIENT["no_reaction"]}  # that of silence is part of the story
        async with on_stage(
            tmp_path, site, plugged=EVERY, prepare=prepare, limits=limits, plugs=plugs
        ) as stage:
            await play(stage, story)

    try:
        asyncio.run(main())
    finally:
        mosquitto.kill()
