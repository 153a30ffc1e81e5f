"""Events."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from api.schemas.common import Name, Output, QueryInput, UtcMs, example
from gateway.serve.events import KINDS


def _known(kind: str) -> str:
    if kind not in KINDS:
        known = ", ".join(sorted(KINDS))
        raise PydanticCustomError("unknown_kind", "is none of {known}", {"known": known})
    return kind


Kind = Annotated[str, AfterValidator(_known), Field(json_schema_extra={"enum": sorted(KINDS)})]
"""A kind that can be asked for. What is shown may also be of a kind from an older program."""


class EventFilter(QueryInput):
    """Which events are wanted."""

    kind: list[Kind] = Field(
        [],
        max_length=32,
        description="Only events of this kind; may be given several times.",
        examples=[["outlet.cut", "lease.ended"]],
    )
    outlet: Name | None = Field(None, description="Only events of this outlet.")


class EventQuery(EventFilter):
    """Which events to list."""

    after: int = Field(
        0, ge=0, le=2**53, description="Only events after this position; 0: from the first."
    )
    limit: int = Field(200, ge=1, le=200, description="Events in a page.")


class StreamQuery(EventFilter):
    """Which events to stream."""

    after: int | None = Field(
        None,
        ge=0,
        le=2**53,
        description="Events after this position; without it (and without `Last-Event-ID`): "
        "only new ones.",
    )


_EVENT = {
    "position": 1042,
    "journal": 1,
    "seq": 1042,
    "id": "0195a6f0-5f2a-7b90-8c11-2f5a1b7c9d33",
    "utc_ms": 1_772_581_530_000,
    "quality": "synced",
    "kind": "outlet.cut",
    "subject": "outlet/n1-3",
    "actor": "guard",
    "reason": "overcurrent_instant",
    "data": {"release": "operator", "evidence": {"value": 14.2, "threshold": 12.0, "unit": "A"}},
}


class EventOut(Output):
    """A fact that took effect here."""

    model_config = example(**_EVENT)

    position: int = Field(description="Its place in the order of events: from 1, without gaps.")
    journal: int = Field(description="Which of the guard's journals it stood in, from 1.")
    seq: int | None = Field(
        description="Its number in that journal; null: an event of serve's own."
    )
    id: str = Field(description="A UUID of version 7.")
    utc_ms: UtcMs
    quality: str = Field(
        description="How far the time can be trusted: `synced`, `unsynced`, `unset`."
    )
    kind: str = Field(description="What happened.", examples=["outlet.cut"])
    subject: str = Field(
        description="What it is about: what it is and its id, or `guard`.",
        examples=["outlet/n1-3", "pile/n1", "circuit/main", "interlock/smoke"],
    )
    actor: str = Field(description="Who did it.", examples=["guard", "api:till"])
    reason: str = Field(description="Why; empty: there is none.", examples=["full"])
    data: dict[str, Any] = Field(description="By kind; units stand in the names.")


class EventPage(Output):
    """A page of events, oldest first."""

    model_config = example(events=[_EVENT], next=1042, first_position=1, last_position=1042)

    events: list[EventOut] = Field(description="Oldest first.")
    next: int = Field(description="`after` of the next page, also when this one is empty.")
    first_position: int = Field(
        description="The oldest event that is kept (`serve.events_retention_days`, 400 by "
        "default); whoever goes on from more than one before it has missed some. 0: none is kept."
    )
    last_position: int = Field(description="The newest event there is.")
