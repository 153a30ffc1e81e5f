"""Circuits as people write them into the site file."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from gateway.config.profile import FileModel
from gateway.config.site_words import ChannelItem, Name, Title

Amperes = Annotated[float, Field(gt=0, le=10_000)]
Watts = Annotated[float, Field(gt=0, le=10_000_000)]
Span = Annotated[float, Field(ge=0, le=3_600)]

PolicyWord = Literal["latest_first", "fair_rotation", "priority"]
PhaseWord = Literal["L1", "L2", "L3"]


class ContactorItem(ChannelItem):
    """The relay that holds a feed's contactor: off is open."""

    after_s: float = Field(default=15.0, ge=1, le=600)
    """An outlet that is not seen off so long after its OFF opens the contactor, in s."""


class RestartItem(FileModel):
    """How a circuit comes back after a blackout, or after its contactor was open."""

    below_v: float = Field(default=100.0, ge=10, le=500)
    """Below this voltage at all of its outlets, or at its meter, it is dark, in V. One reading
    of one meter does not decide it: a second one does, another meter's, or 5 s without either
    in which no power is seen to flow."""
    after_s: Span = 10.0
    """How long the voltage must be back before the first outlet goes on, in s."""
    every_s: Span = 3.0
    """Time between one outlet and the next, in s."""


class CircuitItem(FileModel):
    """One feed: what it may carry, and what hangs on it."""

    id: Name = Field(examples=["north-l1"])
    """Id of the circuit."""
    name: Title | None = None
    """Name for people; its id without one."""
    parent: Name | None = None
    """Circuit that feeds it; without one it is the top of a tree."""
    feeds: tuple[str, ...] = Field(default=(), examples=[["station/north"], ["pile/n1", "n2-3"]])
    """What hangs on it directly: site, station/ID, pile/ID or an outlet's id. What its own
    circuits feed belongs to it without being named."""
    phases: Literal[1, 3] = 1
    """3: current_a holds for each of three phases, and what hangs on it says on which it is."""
    phase: PhaseWord | None = None
    """Phase on which all that hangs on it is."""
    current_a: Amperes | None = None
    """What it may carry, in A."""
    power_w: Watts | None = None
    """What it may carry, in W."""
    start_below_a: Amperes | None = None
    """No outlet starts at or above this current, in A; without it, up to current_a."""
    start_below_w: Watts | None = None
    """No outlet starts at or above this power, in W; without it, up to power_w."""
    delay_s: Span = 10.0
    """How long it may carry more before outlets are shed, in s."""
    policy: PolicyWord | None = None
    """Who is shed first; without it as its parent, or latest_first."""
    priorities: dict[str, int] | None = Field(default=None, examples=[{"pile/n1": 10, "n2-3": 20}])
    """With policy priority: who goes before whom, the highest first; 0 for those not named."""
    rotate_s: float | None = Field(default=None, ge=10, le=86_400)
    """With policy fair_rotation: an outlet that was on for so long makes room for one that
    waits, in s; without it 900."""
    start_w: Watts | None = None
    """What an outlet that starts counts with until its draw is known, in W; without it what its
    lease or its limits allow."""
    start_a: Amperes | None = None
    """The same as a current, in A; without it, start_w at a power factor of 0.45."""
    settle_s: Span | None = None
    """How long after its start an outlet's draw is taken to be known, in s; without it 30."""
    rest_s: Span | None = None
    """How long an outlet that was shed rests before it may go on, in s; without it 60."""
    meter: ChannelItem | None = None
    """What measures all of it."""
    meter_silence_s: float = Field(default=10.0, ge=1, le=600)
    """A meter that said nothing for so long is lost: outlets count with their limits, in s."""
    contactor: ContactorItem | None = None
    """What opens all of it."""
    restart: RestartItem | None = None
    """How it comes back after a blackout."""
    most_waiting: int | None = Field(default=None, ge=0, le=10_000)
    """Outlets that may wait in the tree's queue; more are refused. Without it 100."""
