"""Interlocks: smoke, heat and water detectors, emergency stops."""

from __future__ import annotations

from fastapi import APIRouter

from api.dependencies import NoQuery, Serving, Viewer
from api.problems import responses
from api.schemas.interlocks import InterlockOut, InterlocksOut

router = APIRouter(tags=["interlocks"])


@router.get(
    "/v1/interlocks",
    operation_id="listInterlocks",
    summary="List interlocks with what each of them says",
    responses=responses(401, 403, 422, 503),
    dependencies=[NoQuery],
)
async def list_interlocks(services: Serving, _caller: Viewer) -> InterlocksOut:
    """Ask the guard, at most once a second however many ask here."""
    answer = await services.inquiries.interlocks()
    rows = [InterlockOut(**view.to_json()) for view in answer.interlocks]
    return InterlocksOut(interlocks=rows)
