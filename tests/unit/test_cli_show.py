"""Numbers, facts and tables as people read them."""

from __future__ import annotations

import io
import os
import time
from collections.abc import Iterator
from typing import Any

import pytest
from rich.console import Console, RenderableType

from gateway.commands import show
from gateway.commands.tables import bus_table, fitting, note, outlet_table, site_screen, summary
from gateway.core.facts import Fact, FactKind
from gateway.link.messages import (
    BusView,
    LastFact,
    LatchView,
    LeaseView,
    OutletState,
    OutletView,
)

NOW = 1_790_000_000_000  # 2026-09-21 14:13:20 UTC


@pytest.fixture(autouse=True)
def _utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    os.environ.pop("TZ", None)
    time.tzset()


def view(outlet: str = "n1-1", **fields: Any) -> OutletView:
    plain: dict[str, Any] = {
        "outlet": outlet,
        "name": outlet,
        "pile": "n1",
        "station": "north",
        "state": OutletState.OFF,
        "relay_on": False,
        "sample_utc_ms": NOW,
        "sample_age_ms": 0,
        "stale": False,
        "device_state": "online",
    }
    return OutletView(**plain | fields)


CUT = LatchView(
    reason="overcurrent_instant",
    rule="overcurrent_instant",
    release="operator",
    since_utc_ms=NOW - 61_000,
)


def lease(left_s: int) -> LeaseView:
    return LeaseView(
        id="l1",
        request_id="r1",
        actor="cli:x",
        reason="",
        granted_utc_ms=NOW,
        until_utc_ms=NOW + left_s * 1000,
    )


def lines(what: RenderableType, width: int) -> list[str]:
    out = io.StringIO()
    Console(file=out, width=width, color_system=None).print(what)
    return [line.rstrip() for line in out.getvalue().splitlines()]


def test_an_outlet_that_charges_at_80_columns() -> None:
    charging = view(
        state=OutletState.ON,
        relay_on=True,
        voltage_v=229.96,
        current_a=0.8139,
        power_w=187.4,
        energy_mwh=12_345_678,
        lease=lease(3 * 3600 + 120),
        last_fact=LastFact(seq=9, kind="outlet.on", reason="", utc_ms=NOW - 125_000),
    )
    head, row = lines(outlet_table([charging], width=80, now_utc_ms=NOW), 80)
    assert head.split() == ["outlet", "state", "V", "A", "W", "Wh", "left", "last", "event", "ago"]
    assert row.split() == [
        "n1-1", "on", "230.0", "0.81", "187", "12345.7", "3h02m", "on", "2m"
    ]  # fmt: skip


def test_the_longest_reason_and_ids_fit_into_80_columns() -> None:
    worst = view(
        "n10-10",
        state=OutletState.STARTING,
        voltage_v=229.9,
        current_a=12.34,
        power_w=1955.4,
        energy_mwh=9_999_900,
        latch=CUT,
        lease=lease(86_399),
    )
    row = lines(outlet_table([worst], width=80, now_utc_ms=NOW), 80)[1]
    assert row.endswith("cut: overcurrent_instant     1m")
    assert "…" not in row


def test_what_was_never_measured_is_a_dash() -> None:
    unknown = view(
        state=OutletState.UNKNOWN,
        relay_on=None,
        sample_utc_ms=None,
        sample_age_ms=None,
        stale=True,
        device_state="silent",
    )
    row = lines(outlet_table([unknown], width=80, now_utc_ms=NOW), 80)[1]
    assert row.split()[2:5] == ["-", "-", "-"]
    assert "never measured" in row


def test_a_wide_table_has_pile_and_note() -> None:
    table = outlet_table(
        [view(latch=CUT, locks=("pile/n1",), alarms=("overtemperature",))],
        width=140,
        now_utc_ms=NOW,
    )
    row = lines(table, 140)[1]
    assert row.split()[1] == "n1"
    assert "overcurrent_instant, release: operator; alarm" in row


def test_old_values_say_that_they_are_old() -> None:
    old = view(stale=True, sample_age_ms=12_400, power_w=100.0, device_state="quarantined")
    assert note(old) == "no sample for 12s, device quarantined"
    assert "no sample for 12s" in lines(outlet_table([old], width=80, now_utc_ms=NOW), 80)[1]


def test_buses() -> None:
    bus = BusView(
        bus="line1",
        kind="modbus-rtu",
        state="lost",
        detail="/dev/ttyUSB0 does not exist",
        utilisation=0.456,
        cycle_ms=449.4,
        requests=120,
        timeouts=3,
        errors={"crc": 2, "unit": 1},
    )
    row = lines(bus_table([bus]), 80)[1]
    assert row.split()[:8] == ["line1", "lost", "46%", "449", "ms", "120", "3", "3"]
    assert row.endswith("/dev/ttyUSB0 does not exist")


@pytest.mark.parametrize(("count", "height"), [(5, 24), (24, 24), (1000, 24), (1000, 50)])
def test_a_screen_never_is_higher_than_the_terminal(count: int, height: int) -> None:
    views = [view(f"n1-{number}") for number in range(count)]
    screen = site_screen(
        views,
        [BusView(bus=f"net{n}", kind="modbus-tcp", state="open") for n in range(3)],
        head="demo",
        trouble="guard is not running",
        foot="API\ntoken\ntry",
        width=80,
        height=height,
        now_utc_ms=NOW,
    )
    assert len(lines(screen, 80)) <= height


def test_what_needs_eyes_is_shown_first_and_in_site_order() -> None:
    views = [view(f"n1-{number}") for number in range(10)]
    views[7] = view("n1-7", state=OutletState.ON)
    views[9] = view("n1-9", latch=CUT, state=OutletState.CUT)
    assert [each.outlet for each in fitting(views, 4)] == ["n1-0", "n1-7", "n1-9"]
    assert fitting(views, 10) == views


def test_summary() -> None:
    views = [view(), view(state=OutletState.ON), view(state=OutletState.ON)]
    assert summary(views) == "3 outlets: 1 off, 2 on"
    assert summary([]) == "no outlets"


def test_every_kind_of_fact_is_a_line() -> None:
    for kind in FactKind:
        fact = Fact(7, "id", kind.value, "outlet/n1-1", NOW, "synced", "cli:ann", "requested", {})
        line = show.event_line(fact)
        assert "\n" not in line
        assert line.split()[:4] == ["7", "14:13:20", kind.value, "outlet/n1-1"]
        assert line.endswith("by cli:ann")
        assert show.short_event(kind.value, "").strip()


def test_facts_tell_their_figures() -> None:
    evidence = {"value": 14.2, "threshold": 8.0, "unit": "A", "held_ms": 1500}
    data: dict[str, dict[str, Any]] = {
        "outlet.cut": {"rule": "overcurrent", "release": "operator", "evidence": evidence},
        "lease.ended": {"energy_mwh": 12_300, "duration_ms": 65_000},
        "outlet.on": {"after_ms": 640},
        "guard.started": {"interrupted": ["n1-1", "n1-2"]},
        "request.refused": {"code": "latched", "message": "n1-1 is cut"},
        "device.lost": {"detail": "no answer from unit 3"},
    }
    told = {
        kind: show.event_detail(Fact(1, "i", kind, "s", NOW, "q", "guard", "", values))
        for kind, values in data.items()
    }
    assert told == {
        "outlet.cut": "14.2 A, limit 8 for 1.5 s",
        "lease.ended": "12.3 Wh in 1m05s",
        "outlet.on": "after 640 ms",
        "guard.started": "interrupted n1-1, n1-2",
        "request.refused": "n1-1 is cut",
        "device.lost": "no answer from unit 3",
    }


@pytest.mark.parametrize(
    ("left_s", "text"),
    [(60, "14:14:20"), (3600, "15:13"), (86_400, "2026-09-22 14:13")],
)
def test_until(left_s: int, text: str) -> None:
    assert show.until(NOW + left_s * 1000, NOW) == text


def test_what_circuits_do_is_told_with_their_load() -> None:
    def line(kind: str, **data: object) -> str:
        return show.event_line(Fact(7, "f", kind, "circuit/north", 0, "synced", "guard", "", data))

    over = line("circuit.over", power_w=1050.5, limit_w=1000.0, current_a=4.6, limit_a=4.0)
    assert "(1050.5 W of 1000 W, 4.6 A of 4 A)" in over
    assert "(for room on circuit north)" in line("outlet.waiting", circuit="north")
    assert "(for outlet n1-1)" in line("contactor.opened", evidence={"outlet": "n1-1"})
    assert "(for outlet ?)" in line("contactor.opened")
    assert show.short_event("outlet.shed", "circuit_over") == "shed: circuit_over"
