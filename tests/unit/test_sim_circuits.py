"""Simulated feeds: what their meter sees, and what their contactor does to what hangs on it."""

from __future__ import annotations

from pathlib import Path

import pytest

from simulators.appliances import AddedLoad
from simulators.sites import read_site
from simulators.world import World

CONFIG = Path(__file__).parents[2] / "config" / "sites"


@pytest.fixture
def world() -> World:
    return World(read_site(CONFIG / "circuits-tcp.yaml"), report=lambda _: None)


def load(world: World, outlet: str, power_w: float) -> None:
    world.outlets[outlet].add_load(AddedLoad(power_w, 0.0, 1.0), 0.0)
    world.outlets[outlet].switch(True, 0.0)


def test_outlets_hang_on_the_circuit_farthest_from_the_top() -> None:
    main, north = read_site(CONFIG / "circuits-tcp.yaml").circuits
    assert (main.id, main.parent, north.parent) == ("main", None, "main")
    assert main.outlets == tuple(f"n2-{n}" for n in range(6, 11))
    assert north.outlets == tuple(f"n1-{n}" for n in range(1, 6))
    assert north.meter == ("s1", 1)
    assert north.contactor == ("k1", 1)


def test_a_feeds_meter_sees_what_hangs_on_it(world: World) -> None:
    load(world, "n1-1", 200)
    load(world, "n1-2", 300)
    load(world, "n2-6", 400)
    assert world.circuits["circuit/north"].reading(1.0).power_w == pytest.approx(500)
    assert world.circuits["circuit/main"].reading(1.0).power_w == pytest.approx(900)
    assert world.circuits["circuit/north"].reading(1.0).current_a == pytest.approx(2.2, abs=0.1)


def test_an_open_contactor_leaves_no_voltage_behind_it(world: World) -> None:
    load(world, "n1-1", 200)
    load(world, "n2-6", 400)
    north = world.circuits["circuit/north"]
    assert world.outlets["n1-1"].reading(1.0).power_w == pytest.approx(200)
    north.switch(False, 1.0)
    reading = world.outlets["n1-1"].reading(1.1)
    assert (reading.power_w, reading.voltage_v) == (0.0, 0.0)
    assert north.reading(1.1).power_w == 0.0
    assert north.reading(1.1).voltage_v > 200, "it is measured before its own contactor"
    assert world.outlets["n2-6"].reading(1.1).power_w == pytest.approx(400)
    north.switch(True, 2.0)
    assert world.outlets["n1-1"].reading(2.2).power_w == pytest.approx(200)


def test_a_welded_outlet_is_cut_by_its_feeds_contactor(world: World) -> None:
    load(world, "n1-1", 200)
    outlet = world.outlets["n1-1"]
    outlet.weld(True, 1.0)
    outlet.switch(False, 1.0)
    assert outlet.reading(1.5).power_w == pytest.approx(200)
    world.circuits["circuit/north"].switch(False, 2.0)
    assert outlet.reading(2.5).power_w == 0.0


def test_a_welded_contactor_stays_closed(world: World) -> None:
    load(world, "n1-1", 200)
    north = world.circuits["circuit/north"]
    north.weld(True, 1.0)
    north.switch(False, 1.0)
    assert world.outlets["n1-1"].reading(2.0).power_w == pytest.approx(200)
