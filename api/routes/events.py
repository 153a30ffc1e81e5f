"""Events: what happened, in order, once each."""

from __future__ import annotations

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Header, Query
from fastapi.responses import Response

from api.dependencies import Serving, Viewer
from api.problems import responses
from api.schemas.events import EventFilter, EventOut, EventPage, EventQuery, StreamQuery
from api.streams import EventStream
from gateway.serve.events import Wanted, first_position, read_events, require_position

router = APIRouter(tags=["events"])

_STREAM_EXAMPLE = (
    'retry: 2000\n\nid: 1042\nevent: outlet.cut\ndata: {"position":1042,"kind":"outlet.cut"}\n\n'
)


@router.get(
    "/v1/events",
    operation_id="listEvents",
    summary="List events, oldest first",
    responses=responses(401, 403, 409, 422, 503),
)
async def list_events(
    services: Serving, _caller: Viewer, query: Annotated[EventQuery, Query()]
) -> EventPage:
    """Events after a position. `next` is the position to go on from, also of an empty page.

    A position that no event has had yet is a problem, `position_ahead`: the database was
    replaced by another one, or by an older copy, and what is known of events elsewhere is void.
    """
    events, looked_to = await read_events(
        services.database, query.after, query.limit, _wanted(query)
    )
    return EventPage(
        events=[EventOut(**event.to_json()) for event in events],
        next=looked_to,
        first_position=await first_position(services.database),
        last_position=max(services.feed.last_position, looked_to),
    )


@router.get(
    "/v1/events/stream",
    operation_id="streamEvents",
    summary="Stream events as they happen",
    response_class=Response,
    responses={
        **responses(401, 403, 409, 422, 503),
        200: {
            "description": "Server-sent events: `id` is the position, `event` the kind, `data` "
            "the event. Comments keep the connection alive; it ends with its token, and after an "
            "hour at the latest, and is resumed by the client.",
            "content": {
                "text/event-stream": {"schema": {"type": "string"}, "example": _STREAM_EXAMPLE}
            },
        },
    },
)
async def stream_events(
    services: Serving,
    caller: Viewer,
    query: Annotated[StreamQuery, Query()],
    last_event_id: Annotated[
        str | None,
        Header(
            alias="Last-Event-ID",
            pattern=r"^[0-9]{1,15}$",
            description="The position of the last event that arrived; browsers send it by "
            "themselves. It outranks `after`.",
            examples=["1042"],
        ),
    ] = None,
) -> Response:
    """Events after `Last-Event-ID` (or `after`), then new ones as they come.

    A position that no event has had yet is a problem, `position_ahead`, as with `/v1/events`.
    """
    after = services.feed.last_position if query.after is None else query.after
    if last_event_id is not None:
        after = int(last_event_id)
    if after > services.feed.last_position:
        await require_position(services.database, after)
    return EventStream(
        database=services.database,
        feed=services.feed,
        wanted=_wanted(query),
        after=after,
        streams=services.streams,
        allowed=partial(services.tokens.is_good, caller),
    )


def _wanted(query: EventFilter) -> Wanted:
    subject = None if query.outlet is None else f"outlet/{query.outlet}"
    return Wanted(frozenset(query.kind), subject)
