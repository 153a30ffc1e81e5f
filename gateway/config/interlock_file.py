"""Interlocks as people write them into the site file."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from gateway.config.profile import FileModel
from gateway.config.site_words import ChannelItem, Name, Title

WatchesWord = Literal["smoke", "heat", "water", "tilt", "emergency_stop"]


class InterlockItem(FileModel):
    """One input, and what it opens."""

    id: Name = Field(examples=["smoke-north"])
    """Id of the interlock."""
    name: Title | None = None
    """Name for people; its id without one."""
    watches: WatchesWord
    """What it is there for."""
    input: ChannelItem
    """The input, of a device whose profile has input_on."""
    trips_when: Literal["off", "on"] = "off"
    """The input that trips it. off: current flows while all is well, so a broken wire trips it."""
    delay_s: Annotated[float, Field(ge=0, le=60)] = 0.0
    """For how long the input must say so, against contacts that bounce, in s."""
    silence_s: Annotated[float, Field(ge=1, le=86_400)] = 10.0
    """An input that was not read for so long counts as tripped, in s."""
    guards: tuple[str, ...] = Field(
        min_length=1, examples=[["site"], ["station/north", "circuit/main"]]
    )
    """What it opens: site, station/ID, pile/ID, circuit/ID (its contactor, too) or an outlet's
    id."""
