"""Buses and devices: what stands between the gateway and its outlets."""

from __future__ import annotations

from fastapi import APIRouter

from api.dependencies import NoQuery, Serving, Viewer
from api.problems import responses
from api.schemas.buses import BusesOut, BusOut, DeviceOut

router = APIRouter(tags=["buses"])


@router.get(
    "/v1/buses",
    operation_id="listBuses",
    summary="List buses and devices with their state",
    responses=responses(401, 403, 422, 503),
    dependencies=[NoQuery],
)
async def list_buses(services: Serving, _caller: Viewer) -> BusesOut:
    """Ask the guard, at most once a second however many ask here."""
    answer = await services.inquiries.buses()
    return BusesOut(
        buses=[BusOut(**bus.to_json()) for bus in answer.buses],
        devices=[DeviceOut(**device.to_json()) for device in answer.devices],
    )
