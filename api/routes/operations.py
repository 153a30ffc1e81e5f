"""For those who run it: does it live, does it work, how is it doing."""

from __future__ import annotations

import ipaddress

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from api.dependencies import NoQuery, Serving, caller_of
from api.metrics import CONTENT_TYPE
from api.problems import problem, responses
from api.schemas.health import CheckOut, HealthOut, ReadyOut

router = APIRouter(tags=["operations"])

MOST_FACTS_WAITING = 1_000
"""More than that, and what is shown here is too old to be called ready."""


@router.get(
    "/healthz",
    operation_id="getHealth",
    summary="Say that the process lives",
    responses=responses(422),
    dependencies=[NoQuery],
)
async def get_health(services: Serving) -> HealthOut:
    """Answer at all. Needs no token, no guard and no database."""
    return HealthOut(alive=True, version=services.version)


@router.get(
    "/readyz",
    operation_id="getReadiness",
    summary="Say whether guard, database and facts work",
    response_model=ReadyOut,
    responses={
        **responses(422),
        503: {"model": ReadyOut, "description": "Something does not work; `detail` says what."},
    },
    dependencies=[NoQuery],
)
async def get_readiness(services: Serving) -> Response:
    """Tell what works and what does not. Needs no token."""
    waiting = services.taker.lag
    facts = services.taker.trouble or ""
    if not facts and waiting > MOST_FACTS_WAITING:
        facts = f"{waiting} facts wait: it is catching up"
    database = await services.inquiries.database_trouble()
    guard = services.live.guard
    ready = ReadyOut(
        ready=guard.reachable and not database and not facts,
        guard=CheckOut(ok=guard.reachable, detail=guard.detail),
        database=CheckOut(ok=not database, detail=database),
        facts=CheckOut(ok=not facts, detail=facts),
        facts_waiting=waiting,
    )
    return JSONResponse(ready.model_dump(), 200 if ready.ready else 503)


@router.get(
    "/metrics",
    operation_id="getMetrics",
    summary="Show figures for Prometheus",
    response_class=Response,
    responses={
        **responses(401, 422),
        200: {
            "description": "Prometheus's text format: serve's own figures, and the guard's when "
            "it can be reached.",
            "content": {
                "text/plain": {
                    "schema": {"type": "string"},
                    "example": "# TYPE pilegate_facts_waiting gauge\npilegate_facts_waiting 0.0\n",
                }
            },
        },
    },
    dependencies=[NoQuery],
)
async def get_metrics(services: Serving, request: Request) -> Response:
    """Needs a token, except from this machine itself."""
    if caller_of(request) is None and not _is_local(request):
        return problem(
            401,
            "send the header: Authorization: Bearer pg_..., or ask from the machine itself",
            headers={"WWW-Authenticate": 'Bearer realm="pilegate"'},
        )
    body = services.metrics.text() + await services.inquiries.guard_metrics()
    return Response(body, media_type=CONTENT_TYPE)


def _is_local(request: Request) -> bool:
    if request.client is None:
        return False
    try:
        return ipaddress.ip_address(request.client.host).is_loopback
    except ValueError:
        return False
