"""Stations and piles, with how many outlets are free."""

from __future__ import annotations

from pydantic import Field

from api.schemas.common import Name, Output, example
from api.schemas.outlets import GuardOut

_COUNTS = {"total": 10, "free": 6, "in_use": 3, "cut": 1, "locked": 0, "unknown": 0}


class CountsOut(Output):
    """How many outlets are in which state; the five states sum up to the total."""

    model_config = example(**_COUNTS)

    total: int = Field(description="All outlets.")
    free: int = Field(description="Off, and may be switched on.")
    in_use: int = Field(description="Starting, on or stopping.")
    cut: int = Field(description="Cut off until released.")
    locked: int = Field(description="Locked by a person.")
    unknown: int = Field(description="Not known: the device or the guard does not answer.")


_PILE = {"id": "n1", "name": "Pile 1", "outlets": _COUNTS}
_STATION = {"id": "north", "name": "North gate", "outlets": _COUNTS, "piles": [_PILE]}


class PileOut(Output):
    """One pile."""

    model_config = example(**_PILE)

    id: Name
    name: str = Field(description="For people.")
    outlets: CountsOut = Field(description="Its outlets, counted by state.")


class StationOut(Output):
    """One station with its piles."""

    model_config = example(**_STATION)

    id: Name
    name: str = Field(description="For people.")
    outlets: CountsOut = Field(description="Its outlets, counted by state.")
    piles: list[PileOut] = Field(description="In the order of the site file.")


class GroupsOut(Output):
    """The site's stations and piles."""

    model_config = example(
        id="demo",
        name="Demo shed",
        outlets=_COUNTS,
        stations=[_STATION],
        guard={
            "reachable": True,
            "since_utc_ms": 1_772_580_000_000,
            "detail": "",
            "version": "0.1.0",
        },
    )

    id: Name = Field(description="The site's id: the target of a command for the whole site.")
    name: str = Field(description="For people.")
    outlets: CountsOut = Field(description="Its outlets, counted by state.")
    stations: list[StationOut] = Field(description="In the order of the site file.")
    guard: GuardOut = Field(description="Whether the states are of now.")
