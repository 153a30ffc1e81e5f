"""Outlets, their measured values and their minutes."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated, Literal

from pydantic import AwareDatetime, BeforeValidator, Field
from pydantic_core import PydanticCustomError

from api.schemas.common import Name, Output, QueryInput, UtcMs, example


def _written_out(value: object) -> object:
    # Pydantic would read a bare number as seconds or milliseconds, whichever seems likelier.
    if isinstance(value, str) and not _DATE.match(value):
        raise PydanticCustomError("date_time", "must be a date and time as RFC 3339 has it")
    return value


_DATE = re.compile(r"\d{4}-\d\d-\d\d[Tt ]")

Moment = Annotated[AwareDatetime, BeforeValidator(_written_out)]

State = Literal["off", "waiting", "starting", "on", "stopping", "cut", "locked", "unknown"]


class OutletQuery(QueryInput):
    """Which outlets to list."""

    station: Name | None = Field(None, description="Only outlets of this station.")
    pile: Name | None = Field(None, description="Only outlets of this pile.")
    state: State | None = Field(None, description="Only outlets in this state.")
    in_use: bool | None = Field(
        None, description="Only outlets that are (or are not) in use: leased, or switched on."
    )
    cursor: Name | None = Field(None, description="`next` of the page before.")
    limit: int = Field(200, ge=1, le=200, description="Outlets in a page.")


class LoadOut(Output):
    """What is plugged in, as far as its samples tell."""

    kind: Literal["nothing", "charger", "appliance", "unknown"] = Field(
        description="`unknown` also in the first seconds."
    )
    confidence: float = Field(description="How sure that is, 0 to 1.", examples=[0.9])
    power_factor: float | None = Field(description="Of the load; null: it can't be told.")


class LeaseOut(Output):
    """The lease an outlet is on under."""

    id: str = Field(description="A UUID of version 7.")
    request_id: str = Field(description="The command's id.")
    actor: str = Field(description="Who asked for it.", examples=["api:reception"])
    reason: str = Field(description="Why, as they said.")
    granted_utc_ms: UtcMs
    until_utc_ms: UtcMs
    energy_mwh: int | None = Field(description="Its own limit, in mWh.")
    power_w: float | None = Field(description="Its own limit, in W.")


class LatchOut(Output):
    """Why an outlet is cut off, and who may release it."""

    reason: str = Field(description="Why it was cut off.", examples=["overcurrent_instant"])
    rule: str = Field(description="The rule that did it.", examples=["overcurrent_instant"])
    release: Literal["automatic", "operator", "on_site"] = Field(
        description="After its cool-down by itself; by an operator; by a person on site."
    )
    since_utc_ms: UtcMs


class LastFactOut(Output):
    """The latest fact about an outlet."""

    seq: int = Field(description="Its number in the guard's journal.")
    kind: str = Field(description="What happened.", examples=["outlet.on"])
    reason: str = Field(description="Why; empty: there is none.")
    utc_ms: UtcMs


_OUTLET = {
    "id": "n1-3",
    "name": "North gate 3",
    "pile": "n1",
    "station": "north",
    "state": "on",
    "relay_on": True,
    "voltage_v": 229.4,
    "current_a": 0.81,
    "power_w": 180.2,
    "temperature_c": 31.5,
    "sample_utc_ms": 1_772_582_400_000,
    "stale": False,
    "energy_mwh": 41_250,
    "load": {"kind": "charger", "confidence": 0.9, "power_factor": 0.61},
    "lease": {
        "id": "0195a6f0-5b3e-7c11-9d52-0d6d3b8a7f10",
        "request_id": "0195a6f0-5b21-7a44-8a0e-5a6f6a6f1c22",
        "actor": "api:reception",
        "reason": "paid at the counter",
        "granted_utc_ms": 1_772_581_500_000,
        "until_utc_ms": 1_772_588_700_000,
        "energy_mwh": 500_000,
        "power_w": None,
    },
    "latch": None,
    "locks": [],
    "alarms": [],
    "device_state": "online",
    "last_fact": {
        "seq": 1042,
        "kind": "outlet.on",
        "reason": "",
        "utc_ms": 1_772_581_501_000,
    },
    "waits_for": None,
    "in_use": True,
}


class OutletOut(Output):
    """One outlet as its samples show it. A value never measured is null."""

    model_config = example(**_OUTLET)

    id: Name
    name: str = Field(description="For people.")
    pile: Name
    station: Name
    state: State = Field(
        description="`waiting`: leased, and a circuit has no room yet. `unknown` also while the "
        "guard can't be reached; see `guard`."
    )
    relay_on: bool | None = Field(description="The relay's state as it was last read.")
    voltage_v: float | None = Field(description="In V.")
    current_a: float | None = Field(description="In A.")
    power_w: float | None = Field(description="In W.")
    temperature_c: float | None = Field(description="In °C.")
    sample_utc_ms: int | None = Field(
        description="When the newest value was measured: UTC, in milliseconds."
    )
    stale: bool = Field(description="The values are too old to act upon.")
    energy_mwh: int = Field(description="Delivered under the present or the last lease, in mWh.")
    load: LoadOut | None = Field(description="What is plugged in; null: it is not on.")
    lease: LeaseOut | None
    latch: LatchOut | None = Field(description="Set while the outlet is cut off.")
    locks: list[str] = Field(
        description="Locked scopes that hold this outlet.", examples=[["pile/n1"]]
    )
    alarms: list[str] = Field(description="What is wrong and did not switch it off.")
    device_state: str = Field(description="How its device answers.", examples=["online"])
    last_fact: LastFactOut | None
    waits_for: str | None = Field(description="The circuit on whose account its lease waits.")
    in_use: bool = Field(description="Leased, or not seen off since it was switched on.")


_GUARD = {
    "reachable": True,
    "since_utc_ms": 1_772_580_000_000,
    "detail": "",
    "version": "0.1.0",
}


class GuardOut(Output):
    """Whether the guard, which knows the outlets, can be reached."""

    model_config = example(**_GUARD)

    reachable: bool = Field(description="Whether its stream is followed at present.")
    since_utc_ms: UtcMs
    detail: str = Field(description="Why not, for people.")
    version: str | None = Field(description="The guard's version, once it was reached.")


class OutletPage(Output):
    """A page of outlets, in the order of the site file."""

    model_config = example(outlets=[_OUTLET], next="n1-3", guard=_GUARD, utc_ms=1_772_582_400_500)

    outlets: list[OutletOut] = Field(description="In the order of the site file.")
    next: str | None = Field(description="`cursor` of the next page; null: this is the last.")
    guard: GuardOut
    utc_ms: UtcMs


class OutletAnswer(Output):
    """One outlet."""

    model_config = example(outlet=_OUTLET, guard=_GUARD, utc_ms=1_772_582_400_500)

    outlet: OutletOut
    guard: GuardOut
    utc_ms: UtcMs


class MinuteQuery(QueryInput):
    """Which minutes to list."""

    from_: Annotated[
        Moment | None,
        Field(
            alias="from",
            description="First minute, RFC 3339 with its offset. Default: an hour before `to`.",
            examples=["2026-03-04T00:00:00Z"],
        ),
    ] = None
    to: Annotated[
        Moment | None,
        Field(
            description="End, not included, at most 31 days after `from`. Default: now.",
            examples=["2026-03-04T01:00:00Z"],
        ),
    ] = None
    limit: int = Field(1_440, ge=1, le=1_440, description="Minutes in a page.")


class SpreadOut(Output):
    """What one quantity did within a minute."""

    model_config = example(low=178.0, high=182.4, mean=180.1)

    low: float = Field(description="The lowest sample.")
    high: float = Field(description="The highest sample.")
    mean: float = Field(description="The mean of all samples.")


_MINUTE = {
    "minute_utc_ms": 1_772_582_400_000,
    "samples": 60,
    "energy_mwh": 3_001,
    "voltage_v": {"low": 228.9, "high": 230.2, "mean": 229.5},
    "current_a": {"low": 0.78, "high": 0.83, "mean": 0.81},
    "power_w": {"low": 178.0, "high": 182.4, "mean": 180.1},
}


class MinuteOut(Output):
    """One minute in which the outlet was in use."""

    model_config = example(**_MINUTE)

    minute_utc_ms: UtcMs
    samples: int = Field(description="How many samples it is made of.")
    energy_mwh: int = Field(description="Delivered within the minute, in mWh.")
    voltage_v: SpreadOut | None = Field(description="In V.")
    current_a: SpreadOut | None = Field(description="In A.")
    power_w: SpreadOut | None = Field(description="In W.")


class MinutePage(Output):
    """Minutes of one outlet, oldest first; minutes out of use are not there."""

    model_config = example(outlet="n1-3", minutes=[_MINUTE], next="2026-03-04T00:01:00+00:00")

    outlet: Name
    minutes: list[MinuteOut] = Field(description="Oldest first.")
    next: datetime | None = Field(description="`from` of the next page; null: this is the last.")
