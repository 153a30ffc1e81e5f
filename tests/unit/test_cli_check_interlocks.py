"""What ``pilegate check`` says about interlocks: how soon each is seen, and what can't be kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from drivers.modbus.ladder import Level
from drivers.modbus.plan import input_seen_ms, plan_bus
from drivers.modbus.polling import polling_of
from drivers.modbus.timeline import gaps_ms, play
from gateway.cli import run
from gateway.config import load_site

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


@pytest.mark.parametrize("in_use", [0, 1, 40, 160])
def test_on_a_crowded_bus_an_input_is_read_as_fast_as_is_told(tmp_path: Path, in_use: int) -> None:
    site = load_site(write(tmp_path, 16, 10))
    bus = site.buses[0]
    polling = polling_of(bus, site)
    assert polling.pace is not None
    assert polling.pace.fast_ms <= 10_000 / 3
    menus = polling.menus(frozenset(sorted(polling.outlets)[:in_use]))
    answers = play(menus, polling.pace, 60_000)
    gaps = gaps_ms(answers[site.interlocks[0].input.device], Level.FAST)
    assert gaps
    assert max(gaps) < input_seen_ms(bus, site) < 10_000


def test_a_silence_that_the_bus_can_not_keep_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path, 16, 2)
    assert run(["check", str(path)]) == 2
    errors = capsys.readouterr().err.replace(str(path), "SITE").splitlines()
    assert len(errors) == 1
    assert errors[0].startswith(
        "pilegate: SITE:43: interlocks[0].silence_s: input 1 of io may not be read for "
    )
    assert "after 2 s it counts as tripped" in errors[0]


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
