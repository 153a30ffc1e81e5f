"""Interlocks of a site file: what trips them, what they open, and what can't be right."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.guard.interlocks import Rule, Watches
from tests.support.site_text import load, refused

SITE = """\
site: {id: s}
buses:
  - {id: b1, kind: modbus-tcp, host: 127.0.0.1, port: 5020}
devices:
  - {id: m1, bus: b1, unit: 1, profile: pilegate-ref10}
  - {id: io, bus: b1, unit: 2, profile: waveshare-io-8}
stations:
  - id: north
    piles:
      - {id: n1, module: {device: m1, channels: 1-5, outlets: "n1-{channel}"}}
      - {id: n2, module: {device: m1, channels: 6-10, outlets: "n2-{channel}"}}
circuits:
  - {id: main, feeds: [site], current_a: 32}
  - {id: l1, parent: main, feeds: [pile/n1], current_a: 16}
interlocks:
"""


def with_interlocks(*interlocks: str) -> str:
    return SITE + "".join(f"  - {interlock}\n" for interlock in interlocks)


def test_an_input_opens_what_it_guards(tmp_path: Path) -> None:
    text = with_interlocks(
        "{id: smoke, watches: smoke, input: {device: io, channel: 3}, guards: [circuit/main]}",
        "{id: stop, name: Button, watches: emergency_stop, input: {device: io, channel: 8},"
        " trips_when: on, delay_s: 0.5, silence_s: 30, guards: [n2-7, pile/n1]}",
    )
    site = load(tmp_path, text)
    smoke, stop = site.interlocks
    assert smoke.watches is Watches.SMOKE
    assert smoke.rule == Rule(trips_when_on=False, delay_s=0.0, silence_s=10.0)
    assert smoke.outlets == tuple(outlet.id for outlet in site.outlets)
    assert smoke.circuits == ("main",)
    assert stop.rule == Rule(trips_when_on=True, delay_s=0.5, silence_s=30.0)
    assert stop.outlets == ("n1-1", "n1-2", "n1-3", "n1-4", "n1-5", "n2-7")
    assert stop.circuits == ()
    assert stop.holds == frozenset()
    assert {point.id for point in site.points_on("b1")} >= {"interlock/smoke", "interlock/stop"}
    assert site.warnings == ()


@pytest.mark.parametrize(
    ("guarded", "held"),
    [("main", {"main", "l1", "socket"}), ("l1", {"l1", "socket"}), ("socket", {"l1", "socket"})],
)
def test_an_interlock_holds_what_is_fed_through_its_circuit_and_the_contactor_before_it(
    tmp_path: Path, guarded: str, held: set[str]
) -> None:
    text = with_interlocks(f"{{{GOOD[1:-1].replace('site', f'circuit/{guarded}')}}}")
    text = text.replace(
        "  - {id: io,",
        "  - {id: k, bus: b1, unit: 3, profile: waveshare-relay-d-contactor}\n  - {id: io,",
    )
    text = text.replace("current_a: 16}", "current_a: 16, contactor: {device: k, channel: 1}}")
    text = text.replace(
        "interlocks:", "  - {id: socket, parent: l1, feeds: [n1-1], current_a: 16}\ninterlocks:"
    )
    assert load(tmp_path, text).interlocks[0].holds == held


GOOD = "{id: a, watches: smoke, input: {device: io}, guards: [site]}"


@pytest.mark.parametrize(
    ("interlocks", "told"),
    [
        ([GOOD, GOOD], "interlocks[1].id: interlock 'a' stands already on line 16"),
        ([GOOD, GOOD.replace("id: a", "id: b")], "input 1 of io belongs to something else"),
        ([GOOD.replace("io}", "m1}")], "input.device: m1 has no input (profile pilegate-ref10)"),
        ([GOOD.replace("io}", "io, channel: 9}")], "io has no channel 9"),
        ([GOOD.replace("io}", "oi}")], "unknown device 'oi'; known: io, m1"),
        ([GOOD.replace("[site]", "[pile/n3]")], "interlocks[0].guards[0]: no pile 'n3'"),
        ([GOOD.replace("[site]", "[shed/x]")], "is not site, station/ID, pile/ID, circuit/ID or"),
        ([GOOD.replace("[site]", "[circuit/l3]")], "no circuit 'l3'; known: l1, main"),
        ([GOOD.replace("[site]", "[]")], "interlocks[0].guards: "),
        ([GOOD.replace("smoke", "smog")], "interlocks[0].watches: "),
    ],
)
def test_what_can_not_be_right_is_refused_with_its_place(
    tmp_path: Path, interlocks: list[str], told: str
) -> None:
    lines = refused(tmp_path, with_interlocks(*interlocks))
    assert any(told in line for line in lines), lines
