"""Outlets: what they do now, and what they did."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Path, Query
from fastapi.responses import Response

from api.dependencies import NoQuery, Services, Serving, Viewer
from api.problems import responses
from api.schemas.common import Name
from api.schemas.outlets import (
    MinuteOut,
    MinutePage,
    MinuteQuery,
    OutletAnswer,
    OutletPage,
    OutletQuery,
    SpreadOut,
)
from gateway.core.errors import CorrectInput, NotKnown
from gateway.link.records import MinuteRecord, Spread
from gateway.serve.live import Shown

router = APIRouter(tags=["outlets"])

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
LONGEST_SPAN_MS = 31 * 24 * HOUR_MS

OutletId = Annotated[Name, Path(description="The outlet's id.")]


@router.get(
    "/v1/outlets",
    operation_id="listOutlets",
    summary="List outlets with their present values",
    response_model=OutletPage,
    responses=responses(401, 403, 422),
)
async def list_outlets(
    services: Serving, _caller: Viewer, query: Annotated[OutletQuery, Query()]
) -> Response:
    """Outlets in the order of the site file, from memory: asking costs the guard nothing.

    While the guard can't be reached, `guard.reachable` is false and every outlet's state is
    `unknown`; its last values stay, with their own time.
    """
    try:
        page, following = services.live.page(
            after=query.cursor, limit=query.limit, wanted=_wanted(query)
        )
    except NotKnown as err:
        raise CorrectInput(str(err), field="query:cursor") from err
    head = b'{"outlets":[' + b",".join([shown.json for shown in page])
    return _json(head + b'],"next":' + json.dumps(following).encode() + b"," + _tail(services))


@router.get(
    "/v1/outlets/{outlet}",
    operation_id="getOutlet",
    summary="Show one outlet with its present values",
    response_model=OutletAnswer,
    responses=responses(401, 403, 404, 422),
    dependencies=[NoQuery],
)
async def get_outlet(services: Serving, _caller: Viewer, outlet: OutletId) -> Response:
    """One outlet, from memory."""
    shown = services.live.one(outlet)
    return _json(b'{"outlet":' + shown.json + b"," + _tail(services))


@router.get(
    "/v1/outlets/{outlet}/minutes",
    operation_id="listOutletMinutes",
    summary="List an outlet's minutes: low, high and mean of its values",
    responses=responses(401, 403, 404, 422, 503),
)
async def list_minutes(
    services: Serving,
    _caller: Viewer,
    outlet: OutletId,
    query: Annotated[MinuteQuery, Query()],
) -> MinutePage:
    """Minutes in which the outlet was in use, oldest first. The guard keeps them for weeks."""
    services.live.one(outlet)
    now_utc_ms = services.clock.now().utc_ms
    to_utc_ms = now_utc_ms if query.to is None else _utc_ms(query.to)
    from_utc_ms = to_utc_ms - HOUR_MS if query.from_ is None else _utc_ms(query.from_)
    if not 0 <= to_utc_ms - from_utc_ms <= LONGEST_SPAN_MS:
        raise CorrectInput("must be before `to`, by at most 31 days", field="query:from")
    found = await services.journal.minutes(outlet, from_utc_ms, to_utc_ms, query.limit)
    following = None
    if len(found) == query.limit:
        next_ms = found[-1].minute_utc_ms + MINUTE_MS
        following = datetime.fromtimestamp(next_ms / 1000, UTC)
    return MinutePage(outlet=outlet, minutes=[_minute(record) for record in found], next=following)


def _wanted(query: OutletQuery) -> Callable[[Shown], bool] | None:
    tests: list[Callable[[Shown], bool]] = []
    if query.station is not None:
        tests.append(lambda shown: shown.view.station == query.station)
    if query.pile is not None:
        tests.append(lambda shown: shown.view.pile == query.pile)
    if query.state is not None:
        tests.append(lambda shown: shown.view.state.value == query.state)
    if query.in_use is not None:
        tests.append(lambda shown: shown.in_use == query.in_use)
    if not tests:
        return None
    return lambda shown: all(test(shown) for test in tests)


def _tail(services: Services) -> bytes:
    tail = {"guard": services.live.guard.to_json(), "utc_ms": services.clock.now().utc_ms}
    return json.dumps(tail, separators=(",", ":")).encode("ascii")[1:]


def _json(body: bytes) -> Response:
    return Response(body, media_type="application/json")


def _utc_ms(when: datetime) -> int:
    return round(when.timestamp() * 1000)


def _minute(record: MinuteRecord) -> MinuteOut:
    return MinuteOut(
        minute_utc_ms=record.minute_utc_ms,
        samples=record.samples,
        energy_mwh=record.energy_mwh,
        voltage_v=_spread(record.voltage_v),
        current_a=_spread(record.current_a),
        power_w=_spread(record.power_w),
    )


def _spread(spread: Spread | None) -> SpreadOut | None:
    if spread is None:
        return None
    return SpreadOut(low=spread.low, high=spread.high, mean=spread.mean)
