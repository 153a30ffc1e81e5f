"""Meters and contactors of circuits on a Modbus bus: polled, switched, and never by mistake."""

from __future__ import annotations

from pathlib import Path

from drivers.modbus.lanes import Lanes
from drivers.modbus.plan import plan_bus
from drivers.modbus.polling import polling_of
from drivers.modbus.reads import wanted_of
from drivers.modbus.writes import switched_by
from gateway.config import Quantity, Site
from gateway.core.ids import OutletId
from tests.support.site_text import load

SITE = """\
site: {id: s}
buses:
  - {id: b1, kind: modbus-tcp, host: 127.0.0.1, port: 5020}
devices:
  - {id: p1, bus: b1, unit: 1, profile: pzem-016}
  - {id: e1, bus: b1, unit: 2, profile: sdm120}
  - {id: w1, bus: b1, unit: 3, profile: waveshare-relay-8}
stations:
  - id: north
    piles:
      - id: n1
        outlets:
          - {id: n1-1, meter: {device: p1}, relay: {device: w1, channel: 1}}
          - {id: n1-2, relay: {device: w1, channel: 3}}
circuits:
  - id: north
    feeds: [site]
    power_w: 9000
    meter: {device: e1}
    meter_silence_s: 4
    contactor: {device: w1, channel: 2}
"""
METER, CONTACTOR = OutletId("circuit/north/meter"), OutletId("circuit/north/contactor")


def site(folder: Path) -> Site:
    return load(folder, SITE)


def lanes(folder: Path) -> Lanes:
    found = site(folder)
    points = [point for point in found.points_on("b1") if point.relay is not None]
    return Lanes({point.id: switched_by(found, point) for point in points})


def test_a_circuits_meter_is_read_for_what_the_circuit_needs(tmp_path: Path) -> None:
    found = site(tmp_path)
    wanted = wanted_of(found, found.device("e1"))
    assert {item.outlet for item in wanted} == {METER}
    assert {item.quantity for item in wanted} == {
        Quantity.VOLTAGE_V,
        Quantity.CURRENT_A,
        Quantity.POWER_W,
    }


def test_a_contactor_is_read_back(tmp_path: Path) -> None:
    found = site(tmp_path)
    wanted = wanted_of(found, found.device("w1"))
    assert [item.quantity for item in wanted if item.outlet == CONTACTOR] == [Quantity.RELAY_ON]


def test_a_circuit_leads_no_round_but_is_not_left_silent(tmp_path: Path) -> None:
    found = site(tmp_path)
    bus = found.buses[0]
    polling = polling_of(bus, found)
    assert polling.outlets == {"n1-1"}
    assert plan_bus(bus, found).silence_ms == 4_000


def test_an_off_of_outlets_opens_no_contactor_between_them(tmp_path: Path) -> None:
    waiting = lanes(tmp_path)
    for outlet in ("n1-1", "n1-2"):
        waiting.put_off(OutletId(outlet), urgent=True)
    off = waiting.take_cut(lambda _: 0)
    assert off is not None
    assert (off.first, off.last, off.outlets) == (0, 0, ("n1-1",))


def test_an_off_of_a_contactor_is_its_own(tmp_path: Path) -> None:
    waiting = lanes(tmp_path)
    for outlet in (CONTACTOR, OutletId("n1-1")):
        waiting.put_off(outlet, urgent=True)
    off = waiting.take_cut(lambda _: 0)
    assert off is not None
    assert (off.first, off.last, off.outlets) == (1, 1, (CONTACTOR,))
