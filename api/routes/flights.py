"""Flight records: samples before and after every end, cut-off and alarm."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query
from fastapi.responses import Response

from api.dependencies import NoQuery, Serving, Viewer
from api.problems import responses
from api.schemas.flights import FlightOut, FlightPage, FlightQuery
from gateway.core.errors import NotKnown
from gateway.link.flight import MEDIA_TYPE

router = APIRouter(tags=["flights"])

_EXAMPLE = (
    '{"pilegate_flight":1,"seq":1042,"outlet":"n1-3","kind":"outlet.cut","at_ms":86400512}\n'
    '{"at_ms":86400510,"utc_ms":1772581530000,"quality":"synced","power_w":3810.0}\n'
)


@router.get(
    "/v1/flights",
    operation_id="listFlights",
    summary="List flight records, newest first",
    responses=responses(401, 403, 422, 503),
)
async def list_flights(
    services: Serving, _caller: Viewer, query: Annotated[FlightQuery, Query()]
) -> FlightPage:
    """Heads of what the guard's flight recorder kept; a record is there a minute after its end."""
    heads = await services.journal.flights(
        outlet=query.outlet,
        kind=query.kind,
        reason=query.reason,
        before_seq=query.before,
        limit=query.limit,
    )
    return FlightPage(
        flights=[
            FlightOut(
                id=head.seq,
                outlet=head.outlet,
                utc_ms=head.utc_ms,
                quality=head.quality,
                kind=head.kind,
                reason=head.reason,
                samples=head.samples,
            )
            for head in heads
        ],
        next=heads[-1].seq if len(heads) == query.limit else None,
    )


@router.get(
    "/v1/flights/{flight}",
    operation_id="getFlight",
    summary="Export one flight record as JSON Lines",
    response_class=Response,
    responses={
        **responses(401, 403, 404, 422, 503),
        200: {
            "description": "The first line is the header, with the facts and the limits in force; "
            "each line after it is one row. `pilegate replay` reads it.",
            "content": {MEDIA_TYPE: {"schema": {"type": "string"}, "example": _EXAMPLE}},
        },
    },
    dependencies=[NoQuery],
)
async def get_flight(
    services: Serving,
    _caller: Viewer,
    flight: Annotated[
        int, Path(ge=1, le=2**53, description="Its id, or the number of a fact it is about.")
    ],
) -> Response:
    """One record: a few hundred kilobytes at most."""
    text = await services.journal.flight_lines(flight)
    if text is None:
        raise NotKnown(f"no flight record is about fact {flight}: see /v1/flights")
    return Response(text, media_type=MEDIA_TYPE)
