"""Commands and their verdicts."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from api.schemas.common import Input, Line, Name, Output, QueryInput, UtcMs, example
from gateway.link.requests import (
    LONGEST_LEASE_S,
    LONGEST_REASON,
    MOST_ENERGY_WH,
    MOST_POWER_W,
)

ActionWord = Literal["on", "off", "reset", "lock", "unlock"]
KindWord = Literal["outlet", "pile", "station", "circuit", "site"]
StateWord = Literal["recorded", "accepted", "refused", "succeeded", "failed", "unknown"]
ResultWord = Literal["waiting", "done", "nothing_to_do", "refused", "failed", "unknown"]


class TargetIn(Input):
    """What a command is meant for: an outlet, or all outlets of a group."""

    model_config = example(kind="outlet", id="n1-3")

    kind: KindWord = Field(description="One outlet, or all outlets of a group.")
    id: Name


class LeaseIn(Input):
    """For how long an outlet may be on, and with which limits beside those of the site."""

    model_config = example(for_s=7200, energy_wh=500)

    for_s: float = Field(ge=1, le=LONGEST_LEASE_S, description="Longest time, in seconds.")
    energy_wh: float | None = Field(
        None, ge=0.001, le=MOST_ENERGY_WH, description="Most energy, in Wh."
    )
    power_w: float | None = Field(
        None, ge=0.1, le=MOST_POWER_W, description="Cut off above this power, in W."
    )


class CommandIn(Input):
    """Something to be done, and why."""

    action: ActionWord = Field(
        description="`on` needs a `lease`. `reset` releases a latch. `lock` takes outlets out of "
        "use until `unlock`."
    )
    target: TargetIn
    reason: Line = Field(
        min_length=1,
        max_length=LONGEST_REASON,
        description="Why, for the record.",
        examples=["paid at the counter"],
    )
    lease: LeaseIn | None = Field(None, description="Only with `on`, and always there.")
    on_site: bool = Field(
        False, description="Only with `reset`: the caller stands at the outlet and has looked."
    )


EXAMPLES = {
    "on": {
        "summary": "Two hours, at most 500 Wh",
        "value": {
            "action": "on",
            "target": {"kind": "outlet", "id": "n1-3"},
            "lease": {"for_s": 7200, "energy_wh": 500},
            "reason": "paid at the counter",
        },
    },
    "off": {
        "summary": "Switch a pile off",
        "value": {
            "action": "off",
            "target": {"kind": "pile", "id": "n1"},
            "reason": "smell of burning",
        },
    },
    "reset": {
        "summary": "Release a latch, standing there",
        "value": {
            "action": "reset",
            "target": {"kind": "outlet", "id": "n1-3"},
            "on_site": True,
            "reason": "kettle removed",
        },
    },
    "lock": {
        "summary": "Take a station out of use",
        "value": {
            "action": "lock",
            "target": {"kind": "station", "id": "north"},
            "reason": "works on the feed",
        },
    },
}


class OutletVerdict(Output):
    """How a command fares for one outlet."""

    outlet: Name
    result: ResultWord = Field(description="`waiting`: told, and no sample has shown it yet.")
    code: str = Field(description="Why not, for programs.", examples=["latched"])
    message: str = Field(description="Why not, for people.")
    lease_id: str | None = Field(description="Of an `on`: the lease.")
    until_utc_ms: int | None = Field(
        description="Of an `on`: when the lease is over, unless something ends it before. UTC, "
        "in milliseconds."
    )


class LeaseTermsOut(Output):
    """The lease that was asked for."""

    for_s: float = Field(description="In seconds.")
    energy_wh: float | None = Field(description="In Wh.")
    power_w: float | None = Field(description="In W.")


class TargetOut(Output):
    """What a command is meant for."""

    kind: KindWord = Field(description="One outlet, or all outlets of a group.")
    id: Name


_COMMAND = {
    "id": "0195a6f0-5b21-7a44-8a0e-5a6f6a6f1c22",
    "action": "on",
    "target": {"kind": "outlet", "id": "n1-3"},
    "lease": {"for_s": 7200.0, "energy_wh": 500.0, "power_w": None},
    "on_site": False,
    "reason": "paid at the counter",
    "actor": "api:reception",
    "state": "succeeded",
    "code": "",
    "message": "",
    "outlets": [
        {
            "outlet": "n1-3",
            "result": "done",
            "code": "",
            "message": "",
            "lease_id": "0195a6f0-5b3e-7c11-9d52-0d6d3b8a7f10",
            "until_utc_ms": 1_772_588_700_000,
        }
    ],
    "created_utc_ms": 1_772_581_500_000,
    "answered_utc_ms": 1_772_581_500_012,
    "finished_utc_ms": 1_772_581_501_040,
}


class CommandOut(Output):
    """A command and what has become of it.

    `recorded`: written down, not answered by the guard yet. `accepted`: taken by the guard,
    not yet seen in samples. `refused`: turned down, see `code`. `succeeded`: samples show it
    (`on`, `off`), or it is written down (`reset`, `lock`, `unlock`). `failed`: at least one
    outlet did not do it, or it was not delivered. `unknown`: look at the outlets.
    """

    model_config = example(**_COMMAND)

    id: str = Field(description="A UUID of version 7; `request_id` in the facts.")
    action: ActionWord = Field(description="What was asked.")
    target: TargetOut
    lease: LeaseTermsOut | None
    on_site: bool = Field(description="Of a `reset`: the caller stood at the outlet.")
    reason: str = Field(description="Why, as the caller said.")
    actor: str = Field(description="`api:` and the token's name.")
    state: StateWord = Field(description="How far it has come; see above.")
    code: str = Field(description="Why it was refused or failed, for programs.")
    message: str = Field(description="The same, for people.")
    outlets: list[OutletVerdict] = Field(description="How each of its outlets fares.")
    created_utc_ms: UtcMs
    answered_utc_ms: int | None = Field(description="When the guard answered.")
    finished_utc_ms: int | None = Field(description="When the verdict was known.")


class CommandQuery(QueryInput):
    """Which commands to list."""

    target: str | None = Field(
        None,
        pattern=r"^(outlet|pile|station|site)/[a-z0-9][a-z0-9._-]{0,62}$",
        description="Only commands for this target.",
        examples=["outlet/n1-3"],
    )
    state: StateWord | None = Field(None, description="Only commands in this state.")
    cursor: str | None = Field(
        None, pattern=r"^[0-9a-f-]{36}$", description="`next` of the page before."
    )
    limit: int = Field(50, ge=1, le=200, description="Commands in a page.")


class WaitQuery(QueryInput):
    """How long to wait for the verdict."""

    wait: float | None = Field(
        None,
        ge=0,
        le=30,
        description="Wait so many seconds for the verdict: 200 with it, or 202 without it, "
        "which comes at once while very many wait.",
    )


class CommandPage(Output):
    """A page of commands, newest first."""

    model_config = example(commands=[_COMMAND], next=None)

    commands: list[CommandOut] = Field(description="Newest first.")
    next: str | None = Field(description="`cursor` of the next page; null: this is the last.")
