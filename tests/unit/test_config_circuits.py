"""Circuits of a site file: the tree, what hangs on it, and what can't be right."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from gateway.cli import cli
from gateway.commands.settings import Settings
from gateway.config import Policy
from gateway.config.circuit_model import may_draw, start_with
from gateway.core.ids import OutletId
from gateway.guard.limits import AboveCurrent, AbovePower, Action, Limits
from tests.support.site_text import load, refused

SITE = """\
site: {id: s}
buses:
  - {id: b1, kind: modbus-tcp, host: 127.0.0.1, port: 5020}
devices:
  - {id: m1, bus: b1, unit: 1, profile: pilegate-ref10}
  - {id: e1, bus: b1, unit: 2, profile: sdm120}
  - {id: w1, bus: b1, unit: 3, profile: waveshare-relay-d-contactor}
stations:
  - id: north
    piles:
      - {id: n1, module: {device: m1, channels: 1-5, outlets: "n1-{channel}"}}
      - {id: n2, module: {device: m1, channels: 6-10, outlets: "n2-{channel}"}}
circuits:
"""


def with_circuits(*circuits: str) -> str:
    return SITE + "".join(f"  - {circuit}\n" for circuit in circuits)


TREE = with_circuits(
    "{id: l1, parent: main, phase: L1, feeds: [pile/n1], power_w: 1500, start_w: 400,"
    " meter: {device: e1}, contactor: {device: w1, channel: 8}}",
    "{id: main, feeds: [site], phases: 1, current_a: 32, policy: priority, start_w: 300,"
    " priorities: {n1-2: 7, pile/n1: 5, station/north: 1}}",
)


def test_a_tree_is_resolved_from_its_top(tmp_path: Path) -> None:
    site = load(tmp_path, TREE)
    main, l1 = site.circuits
    assert (main.id, l1.id, l1.parent) == ("main", "l1", "main")
    assert main.outlets == tuple(f"n2-{n}" for n in range(6, 11))
    assert l1.outlets == tuple(f"n1-{n}" for n in range(1, 6))
    assert [o.id for o in site.outlets_of("circuit", "main")] == [o.id for o in site.outlets]
    assert site.feeding(OutletId("n1-3")) == ("l1", "main")
    assert (l1.policy, l1.start_w, main.start_w) == (Policy.PRIORITY, 400, 300)
    assert {main.priorities[OutletId(o)] for o in ("n1-2",)} == {7}
    assert main.priorities[OutletId("n1-1")] == 5
    assert main.priorities[OutletId("n2-6")] == 1


def test_meter_and_contactor_are_points_of_the_bus(tmp_path: Path) -> None:
    site = load(tmp_path, TREE)
    points = site.points_on("b1")
    assert [p.id for p in points[10:]] == ["circuit/l1/meter", "circuit/l1/contactor"]
    assert points[10].meter == site.circuits[1].meter
    assert points[10].relay is None
    assert site.circuits[1].contactor is not None
    assert points[11].relay == site.circuits[1].contactor.relay
    assert not [w for w in site.warnings if "no outlet uses" in w]


REFUSED = [
    (["{id: a, parent: b, power_w: 1}"], "14: circuits[0].parent: unknown circuit 'b'; known: a"),
    (
        ["{id: a, parent: b, power_w: 1}", "{id: b, parent: a, power_w: 1}"],
        "15: circuits[1].parent: circuits feed each other in a ring: a -> b -> a",
    ),
    (["{id: a, parent: a, power_w: 1}"], "in a ring: a -> a"),
    (["{id: a, feeds: [site]}"], "14: circuits[0]: has neither a limit"),
    (["{id: a, power_w: 1}", "{id: a, power_w: 1}"], "circuit 'a' stands already on line 14"),
    (
        ["{id: a, power_w: 1, feeds: [pile/n1]}", "{id: b, power_w: 1, feeds: [n1-2]}"],
        "15: circuits[1].feeds[0]: outlet 'n1-2' is fed by circuit 'a' already (line 14)",
    ),
    (
        ["{id: a, power_w: 1, feeds: [pile/n9]}"],
        "14: circuits[0].feeds[0]: no pile 'n9'; known: n1, n2",
    ),
    (["{id: a, power_w: 1, feeds: [n9]}"], "14: circuits[0].feeds[0]: no outlet 'n9'; "),
    (["{id: a, power_w: 1, feeds: [shed/x]}"], "'shed/x' is not site, station/ID, pile/ID or an"),
    (["{id: a, power_w: 1, start_below_a: 3}"], "circuits[0].start_below_a: needs current_a"),
    (["{id: a, power_w: 1, start_below_w: 3}"], "circuits[0].start_below_w: is above its power_w"),
    (["{id: a, phases: 3, current_a: 9, feeds: [site]}"], "nothing says on which outlet 'n1-1' is"),
    (["{id: a, phases: 3, power_w: 9, meter: {device: e1}}"], "can't measure three phases"),
    (
        ["{id: a, phase: L1, power_w: 9}", "{id: b, parent: a, phase: L2, power_w: 9}"],
        "15: circuits[1].phase: its parent is on L1",
    ),
    (["{id: a, phase: L1, phases: 3, power_w: 9}"], "circuits[0].phases: a circuit on one phase"),
    (
        ["{id: a, power_w: 9}", "{id: b, parent: a, power_w: 9, rotate_s: 60}"],
        "15: circuits[1].rotate_s: a tree has one queue: say it at its top, 'a'",
    ),
    (["{id: a, power_w: 9, meter: {device: w1}}"], "circuits[0].meter.device: w1 measures no"),
    (["{id: a, power_w: 9, contactor: {device: e1}}"], "contactor.device: e1 has no relay"),
    (["{id: a, power_w: 9, meter: {device: m1}}"], "meter 1 of m1 belongs to something else"),
    (["{id: a, power_w: 9, meter: {device: x}}"], "circuits[0].meter.device: unknown device 'x'"),
    (["{id: a, power_w: 9, policy: latest}"], "circuits[0].policy: expected latest_first, fair"),
    (["{id: a, power_w: -9}"], "circuits[0].power_w: expected a number above 0"),
]


@pytest.mark.parametrize(("circuits", "told"), REFUSED)
def test_what_can_not_be_right_is_refused_with_its_place(
    tmp_path: Path, circuits: list[str], told: str
) -> None:
    lines = refused(tmp_path, with_circuits(*circuits))
    assert any(told in line for line in lines), lines


WARNED = [
    (["{id: a, power_w: 900, feeds: [site]}"], "outlet 'n1-1' (and 9 more) may draw more than"),
    (["{id: a, power_w: 900}"], "14: circuits[0]: circuit 'a' feeds no outlet"),
    (
        ["{id: a, power_w: 9}", "{id: b, parent: a, power_w: 10}"],
        "15: circuits[1].power_w: its parent 'a' carries only 9",
    ),
    (["{id: a, power_w: 9, priorities: {n1-1: 2}}"], "priorities: without policy: priority they"),
]


@pytest.mark.parametrize(("circuits", "told"), WARNED)
def test_what_is_odd_is_told(tmp_path: Path, circuits: list[str], told: str) -> None:
    warnings = load(tmp_path, with_circuits(*circuits)).warnings
    assert any(told in line for line in warnings), warnings


def test_an_outlet_may_draw_what_its_rules_and_its_lease_allow(tmp_path: Path) -> None:
    circuit = load(tmp_path, TREE).circuits[1]
    assert may_draw(Limits()) == (2_000.0, 10.0)
    assert may_draw(Limits(), 230.0).power_w == 230.0
    assert may_draw(Limits(), 103.5).current_a == pytest.approx(1.0)
    alarms = Limits(
        overpower=AbovePower(above_w=1_000, action=Action.ALARM),
        overcurrent=AboveCurrent(above_a=3, action=Action.ALARM),
    )
    assert may_draw(alarms) == (16 * 230.0, 16.0)
    nothing = Limits(overpower=None, overcurrent=None, overcurrent_instant=None)
    assert may_draw(nothing).power_w == 30_000
    start = start_with(circuit, may_draw(Limits()))
    assert start.power_w == 400
    assert start.current_a == pytest.approx(400 / 230 / 0.45)


def test_check_shows_the_tree(tmp_path: Path) -> None:
    (tmp_path / "site.yaml").write_text(TREE)
    shown = CliRunner().invoke(cli, ["check", str(tmp_path / "site.yaml")], obj=Settings()).output
    assert "circuit main: 32 A, over it for 10 s sheds by priority; feeds n2-6" in shown
    assert (
        "  l1: 1500 W, over it for 10 s sheds by priority; on L1; measured by e1:1; "
        "opened by w1:8; feeds n1-1, n1-2, n1-3, n1-4, n1-5"
    ) in shown
