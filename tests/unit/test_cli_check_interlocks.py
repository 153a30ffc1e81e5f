"""What ``pilegate check`` says about interlocks: how soon each is seen, and what can't be kept."""

from __future__ import annotations

import random
from itertools import pairwise
from pathlib import Path

import pytest

from drivers.modbus.in_use import InUse
from drivers.modbus.plan import input_seen_ms, plan_bus
from drivers.modbus.polling import polling_of
from drivers.modbus.schedule import Budget, Due, plan_round
from gateway.cli import run
from gateway.config import load_site
from gateway.core.ids import OutletId

SITE = """\
site: {{id: s}}
promise: {{cut_off_ms: 5000}}
buses:
  - {{id: line, kind: modbus-rtu, port: /dev/none, baud: 9600, poll_ms: {poll_ms}}}
devices:
  - {{id: io, bus: line, unit: 100, profile: {profile}}}
{devices}
stations:
  - id: north
    piles:
{piles}
interlocks:
  - {{id: smoke, watches: smoke, input: {{device: io, channel: 1}}, silence_s: {silence_s},
      guards: [site]}}
"""
DOOR = """\
profile: door
protocol: mqtt
family: esphome
channels: 1
name: A contact that tells every 20 s
source: a test
values:
  input_on: {name: "binary_sensor/door/state"}
report_s: 20
power_on: safe
cut_ms: 1
"""
SLOW = """\
profile: slow-inputs
protocol: modbus
name: Inputs that are asked seldom
source: a test
channels: 8
values:
  input_on: {space: discrete, address: 0, stride: 1, poll: slow}
"""


def write(
    folder: Path,
    modules: int,
    silence_s: float,
    poll_ms: int = 1_000,
    profile: str = "waveshare-io-8",
) -> Path:
    numbers = range(1, modules + 1)
    path = folder / "site.yaml"
    path.write_text(
        SITE.format(
            poll_ms=poll_ms,
            silence_s=silence_s,
            profile=profile,
            devices="\n".join(
                f"  - {{id: m{n}, bus: line, unit: {n}, profile: pilegate-ref10}}" for n in numbers
            ),
            piles="\n".join(
                f"      - {{id: p{n}, module: "
                f'{{device: m{n}, channels: 1-10, outlets: "p{n}-{{channel}}"}}}}'
                for n in numbers
            ),
        ),
        encoding="utf-8",
    )
    return path


def test_how_soon_an_interlock_is_seen_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path, 16, 10)
    site = load_site(path)
    assert run(["check", str(path)]) == 0
    told = capsys.readouterr().out.splitlines()
    seen_ms = input_seen_ms(site.buses[0], site)
    line = next(line for line in told if line.startswith("interlock smoke"))
    assert f"unread for 10 s; seen after at most {seen_ms:.0f} ms; opens 160 outlets" in line


@pytest.mark.parametrize("seed", range(5))
def test_on_a_crowded_bus_an_input_is_read_as_fast_as_is_told(tmp_path: Path, seed: int) -> None:
    """Whatever is switched on and off meanwhile."""
    site = load_site(write(tmp_path, 16, 10))
    bus = site.buses[0]
    polling, rng = polling_of(bus, site), random.Random(seed)
    assert polling.pace is not None
    assert polling.inputs == {"interlock/smoke"}
    outlets, device = sorted(polling.outlets - polling.inputs), site.interlocks[0].input.device
    dues = {each.id: Due(0.0, 0.0) for each in site.devices}
    now_ms, left, reads, in_use = 0.0, Budget(), list[float](), frozenset[OutletId]()
    for _ in range(300):
        if rng.random() < 0.3:
            in_use = frozenset(rng.sample(outlets, rng.choice([0, 1, 5, 40, 160])))
        menus = polling.menus(in_use | polling.inputs if in_use else in_use)
        turns, left = plan_round(menus, dues, polling.pace, now_ms, left)
        for key, level in turns:
            dues[key] = dues[key].after(level, now_ms, polling.pace)
            now_ms += menus[key].of(level)
            if key == device:
                reads.append(now_ms)
    gaps = [later - earlier for earlier, later in pairwise(reads)]
    assert max(gaps) < input_seen_ms(bus, site) < 10_000 * 0.6
    assert max(gaps) < 10_000 / 3


def test_an_input_is_in_use_while_any_outlet_is(tmp_path: Path) -> None:
    site = load_site(write(tmp_path, 1, 10))
    told_on: set[OutletId] = set()
    in_use = InUse(site.outlets, (), told_on)
    smoke = OutletId("interlock/smoke")
    assert smoke not in in_use
    told_on.add(site.outlets[3].id)
    assert smoke in in_use


def test_a_silence_that_the_bus_can_not_keep_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path, 16, 5)
    assert run(["check", str(path)]) == 2
    errors = capsys.readouterr().err.replace(str(path), "SITE").splitlines()
    assert len(errors) == 1
    assert errors[0].startswith(
        "pilegate: SITE:43: interlocks[0].silence_s: input 1 of io can't be read often enough to "
        "count as tripped after 5 s without an answer: give it 5.8 s or more, "
    )


def test_the_silence_that_is_asked_for_is_accepted(tmp_path: Path) -> None:
    assert run(["check", str(write(tmp_path, 16, 6))]) == 0


def test_a_detector_has_to_tell_more_often_than_its_silence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "door.yaml").write_text(DOOR, encoding="utf-8")
    path = write(tmp_path, 1, 10)
    modbus = "bus: line, unit: 100, profile: waveshare-io-8"
    text = path.read_text("utf-8").replace(modbus, "bus: plugs, topic: door, profile: door")
    text = text.replace("devices:\n", "  - {id: plugs, kind: mqtt}\ndevices:\n", 1)
    path.write_text(f"profiles: [.]\n{text}", encoding="utf-8")
    assert run(["check", str(path)]) == 2
    told = capsys.readouterr()
    assert "seen after at most 20050 ms" in told.out
    assert "give it 20.1 s or more, or have it tell more often" in told.err


def test_an_input_is_read_three_times_within_its_silence_however_slow_the_bus_is_polled(
    tmp_path: Path,
) -> None:
    site = load_site(write(tmp_path, 1, 6, poll_ms=3_000))
    polling = polling_of(site.buses[0], site)
    assert (polling.pace, polling.poll_ms) == (None, 2_000)
    assert plan_bus(site.buses[0], site).silence_ms == 10_000


def test_an_input_is_read_fast_whatever_its_profile_says(tmp_path: Path) -> None:
    (tmp_path / "profiles").mkdir()
    (tmp_path / "profiles" / "slow-inputs.yaml").write_text(SLOW, encoding="utf-8")
    path = write(tmp_path, 16, 10, profile="slow-inputs")
    path.write_text(f"profiles: [./profiles]\n{path.read_text('utf-8')}", encoding="utf-8")
    site = load_site(path)
    ladder = polling_of(site.buses[0], site).ladders[site.interlocks[0].input.device]
    assert ladder.fast == ladder.whole
