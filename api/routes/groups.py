"""Stations and piles."""

from __future__ import annotations

from dataclasses import asdict

from fastapi import APIRouter
from fastapi.responses import Response

from api.dependencies import NoQuery, Services, Serving, Viewer
from api.problems import responses
from api.schemas.groups import CountsOut, GroupsOut, PileOut, StationOut
from api.schemas.outlets import GuardOut

router = APIRouter(tags=["groups"])


@router.get(
    "/v1/groups",
    operation_id="listGroups",
    summary="List stations and piles, with how many outlets are free",
    response_model=GroupsOut,
    responses=responses(401, 403, 422),
    dependencies=[NoQuery],
)
async def list_groups(services: Serving, _caller: Viewer) -> Response:
    """Count outlets by state, from memory."""
    site = services.site
    piles = {
        str(pile.id): PileOut(
            id=pile.id, name=pile.name, outlets=_counts(services, "pile", pile.id)
        )
        for pile in site.piles
    }
    stations = [
        StationOut(
            id=station.id,
            name=station.name,
            outlets=_counts(services, "station", station.id),
            piles=[piles[pile] for pile in station.piles],
        )
        for station in site.stations
    ]
    groups = GroupsOut(
        id=site.id,
        name=site.name,
        outlets=_counts(services, "site", site.id),
        stations=stations,
        guard=GuardOut(**services.live.guard.to_json()),
    )
    # Made of checked parts: checking it again would cost more than making it.
    return Response(groups.model_dump_json(), media_type="application/json")


def _counts(services: Services, kind: str, target_id: str) -> CountsOut:
    return CountsOut(**asdict(services.live.counts(kind, target_id)))
