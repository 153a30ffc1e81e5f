"""Flight records."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from api.schemas.common import Name, Output, QueryInput, UtcMs, example

Kind = Literal["lease.ended", "outlet.cut", "outlet.alarm"]


class FlightQuery(QueryInput):
    """Which flight records to list."""

    outlet: Name | None = Field(None, description="Only records of this outlet.")
    kind: Kind | None = Field(None, description="Only records of this kind.")
    reason: str | None = Field(
        None,
        pattern=r"^[a-z_]{1,63}$",
        description="Only records with this reason.",
        examples=["overcurrent_instant"],
    )
    before: int | None = Field(
        None, ge=1, le=2**53, description="`next` of the page before; without it: the newest."
    )
    limit: int = Field(50, ge=1, le=200, description="Records in a page.")


_FLIGHT = {
    "id": 1042,
    "outlet": "n1-3",
    "utc_ms": 1_772_581_530_000,
    "quality": "synced",
    "kind": "outlet.cut",
    "reason": "overcurrent_instant",
    "samples": 180,
}


class FlightOut(Output):
    """A flight record, without its samples."""

    model_config = example(**_FLIGHT)

    id: int = Field(description="Number in the guard's journal of the first fact it is about.")
    outlet: Name
    utc_ms: UtcMs
    quality: str = Field(
        description="How far the time can be trusted: `synced`, `unsynced`, `unset`."
    )
    kind: str = Field(description="What happened.", examples=["outlet.cut"])
    reason: str = Field(description="Why.", examples=["overcurrent_instant"])
    samples: int = Field(description="How many rows it has.")


class FlightPage(Output):
    """A page of flight records, newest first."""

    model_config = example(flights=[_FLIGHT], next=None)

    flights: list[FlightOut] = Field(description="Newest first.")
    next: int | None = Field(description="`before` of the next page; null: this is the last.")
