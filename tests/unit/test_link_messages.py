from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.core.clock import TimeQuality
from gateway.core.errors import (
    CorrectInput,
    FixInstallation,
    NotAllowed,
    NotKnown,
    PilegateError,
    Refused,
    TryLater,
)
from gateway.core.facts import Fact
from gateway.link.messages import (
    BusView,
    DeviceView,
    LastFact,
    LatchView,
    LeaseView,
    LoadView,
    Outcome,
    OutletState,
    OutletView,
    Target,
    TargetKind,
    fact_from_json,
    fact_to_json,
)
from gateway.link.requests import BusesAnswer, OnAnswer, Verdict, verdicts_from_json
from gateway.link.rpc import answer_line, dump, error_from_json, error_line, error_to_json

FULL = OutletView(
    outlet="n1-1",
    name="Outlet 1, by the gate",
    pile="n1",
    station="north",
    state=OutletState.ON,
    relay_on=True,
    voltage_v=229.5,
    current_a=1.25,
    power_w=180.0,
    temperature_c=31.5,
    sample_utc_ms=1_790_000_000_000,
    sample_age_ms=420,
    stale=False,
    energy_mwh=1_234,
    load=LoadView(kind="charger", confidence=0.9, power_factor=0.61),
    lease=LeaseView(
        id="l1",
        request_id="r1",
        actor="ann",
        reason="charge",
        granted_utc_ms=1,
        until_utc_ms=2,
        energy_mwh=500_000,
        power_w=900.0,
    ),
    latch=LatchView(reason="overpower", rule="overpower", release="operator", since_utc_ms=3),
    locks=("pile/n1",),
    alarms=("overtemperature",),
    device_state="online",
    last_fact=LastFact(seq=9, kind="outlet.on", reason="", utc_ms=4),
)
EMPTY = OutletView(outlet="n1-2", name="", pile="n1", station="north", state=OutletState.UNKNOWN)


@pytest.mark.parametrize("view", [FULL, EMPTY])
def test_a_view_comes_through_the_wire_as_it_was(view: OutletView) -> None:
    wire = json.loads(dump(view.to_json()))
    again = OutletView.from_json(wire)
    assert again == view
    assert again.sample_age_ms == view.sample_age_ms


def test_views_that_differ_in_the_age_of_their_sample_alone_are_equal() -> None:
    aged = OutletView.from_json(FULL.to_json() | {"sample_age_ms": 999_999})
    assert aged == FULL
    assert OutletView.from_json(FULL.to_json() | {"power_w": 181.0}) != FULL


def test_a_field_that_a_newer_guard_adds_is_no_error() -> None:
    assert OutletView.from_json(FULL.to_json() | {"colour": "green"}) == FULL


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"state": "burning"}, "outlets[3].state"),
        ({"state": None}, "outlets[3].state"),
        ({"relay_on": "yes"}, "outlets[3].relay_on"),
        ({"power_w": "180"}, "outlets[3].power_w"),
        ({"power_w": float("inf")}, "outlets[3].power_w"),
        ({"energy_mwh": 1.5}, "outlets[3].energy_mwh"),
        ({"energy_mwh": True}, "outlets[3].energy_mwh"),
        ({"locks": "pile/n1"}, "outlets[3].locks"),
        ({"locks": [1]}, "outlets[3].locks[0]"),
        ({"lease": []}, "outlets[3].lease"),
        ({"lease": {"id": 5}}, "outlets[3].lease.id"),
        ({"latch": {"reason": "x"}}, "outlets[3].latch.rule"),
        ({"outlet": ""}, "outlets[3].outlet"),
    ],
)
def test_a_view_of_wrong_types_names_the_field(change: dict[str, Any], field: str) -> None:
    with pytest.raises(CorrectInput) as err:
        OutletView.from_json(FULL.to_json() | change, "outlets[3]")
    assert err.value.field == field
    assert str(err.value).startswith(f"{field}: ")


def test_an_error_never_repeats_something_huge() -> None:
    with pytest.raises(CorrectInput) as err:
        OutletView.from_json(FULL.to_json() | {"state": "x" * 1_000_000})
    assert len(str(err.value)) < 300


def test_buses_and_devices_come_through_the_wire_as_they_were() -> None:
    bus = BusView(
        bus="line1",
        kind="modbus-rtu",
        state="open",
        utilisation=0.95,
        cycle_ms=812.5,
        requests=10,
        timeouts=1,
        errors={"crc": 2, "wrong unit": 1},
    )
    device = DeviceView(device="m1", bus="line1", unit=7, state="silent", last_answer_age_ms=12)
    answer = BusesAnswer((bus,), (device,))
    assert BusesAnswer.from_json(json.loads(dump(answer.to_json()))) == answer


def test_a_fact_comes_through_the_wire_as_it_was() -> None:
    fact = Fact(
        seq=3,
        id="x",
        kind="outlet.cut",
        subject="outlet/n1-1",
        utc_ms=5,
        quality=TimeQuality.SYNCED.value,
        actor="guard",
        reason="overpower",
        data={"evidence": {"samples": [{"power_w": 2_100.5}]}, "name": "Südtor"},
    )
    assert fact_from_json(json.loads(dump(fact_to_json(fact)))) == fact
    with pytest.raises(CorrectInput, match=r"fact\.seq"):
        fact_from_json(fact_to_json(fact) | {"seq": 0})


def test_a_target_is_written_as_scopes_are() -> None:
    assert Target(TargetKind.PILE, "n1").scope == "pile/n1"


def test_answers_come_through_the_wire_as_they_were() -> None:
    answer = OnAnswer(lease_id="l", until_utc_ms=1, request_id="r", duplicate=True)
    assert OnAnswer.from_json(json.loads(dump(answer.to_json()))) == answer
    verdicts = (
        Verdict("n1-1", Outcome.DONE),
        Verdict("n1-2", Outcome.REFUSED, "latched: reset it first"),
    )
    wire = json.loads(dump({"outlets": [verdict.to_json() for verdict in verdicts]}))
    assert verdicts_from_json(wire) == verdicts


@pytest.mark.parametrize(
    "error",
    [
        NotKnown("no outlet 'x': see `pilegate outlets`"),
        Refused("n1-1 is latched: reset it first", code="latched"),
        NotAllowed("use another user"),
        TryLater("the journal is behind", retry_after_s=2.5),
        CorrectInput("for_s: must be from 1 to 86400", field="for_s"),
        FixInstallation("the disk is full: make room"),
    ],
)
def test_errors_come_through_the_wire_as_themselves(error: PilegateError) -> None:
    line = json.loads(error_line("id-1", error))
    assert line["id"] == "id-1"
    again = error_from_json(line["error"])
    assert type(again) is type(error)
    assert str(again) == str(error)
    assert vars(again) == vars(error)


@pytest.mark.parametrize("wire", [None, [], {}, {"code": "x"}, {"code": -1, "data": []}])
def test_an_error_that_says_nothing_is_still_an_error(wire: object) -> None:
    assert isinstance(error_from_json(wire), FixInstallation)


def test_an_answer_stands_on_one_line_and_never_holds_what_json_cannot_say() -> None:
    assert answer_line(None, b"{}") == b'{"jsonrpc":"2.0","id":null,"result":{}}\n'
    assert b"\n" not in dump({"a": "two\nlines", "b": "Südtor \ud800"})
    assert error_to_json(Refused("x", code="locked"))["data"] == {"code": "locked"}
    with pytest.raises(ValueError, match="JSON"):
        dump({"power_w": float("nan")})
