"""Circuits: what feeds carry, who waits for them, and their contactors."""

from __future__ import annotations

from fastapi import APIRouter

from api.dependencies import NoQuery, Serving, Viewer
from api.problems import responses
from api.schemas.circuits import CircuitOut, CircuitsOut

router = APIRouter(tags=["circuits"])


@router.get(
    "/v1/circuits",
    operation_id="listCircuits",
    summary="List circuits with their load, their limits and who waits",
    responses=responses(401, 403, 422, 503),
    dependencies=[NoQuery],
)
async def list_circuits(services: Serving, _caller: Viewer) -> CircuitsOut:
    """Ask the guard, at most once a second however many ask here."""
    answer = await services.inquiries.circuits()
    return CircuitsOut(circuits=[CircuitOut(**view.to_json()) for view in answer.circuits])
