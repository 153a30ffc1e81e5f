"""Interlocks."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from api.schemas.common import Name, Output, example

_INTERLOCK = {
    "interlock": "smoke-north",
    "name": "Smoke detector, north gate",
    "watches": "smoke",
    "state": "clear",
    "cause": None,
    "since_utc_ms": 1_772_582_400_000,
    "outlets": 40,
    "circuits": ["north"],
}


class InterlockOut(Output):
    """One input that opens what it guards."""

    model_config = example(**_INTERLOCK)

    interlock: Name
    name: str = Field(description="For people.")
    watches: Literal["smoke", "heat", "water", "tilt", "emergency_stop"] = Field(
        description="What it is there for."
    )
    state: Literal["clear", "tripped", "unread"] = Field(
        description="`tripped`: what it guards was opened, and is released on site only. "
        "`unread`: not read yet since the guard started; nothing under it is switched on."
    )
    cause: Literal["input", "unreadable"] | None = Field(
        description="Why it is tripped: its input says so, or nobody can read it."
    )
    since_utc_ms: int | None = Field(
        description="Since when it is so: UTC, in milliseconds.", examples=[1_772_582_400_000]
    )
    outlets: int = Field(description="How many outlets it opens.")
    circuits: list[str] = Field(description="Circuits whose contactors it opens.")


class InterlocksOut(Output):
    """All interlocks."""

    model_config = example(interlocks=[_INTERLOCK])

    interlocks: list[InterlockOut] = Field(description="In the order of the site file.")
