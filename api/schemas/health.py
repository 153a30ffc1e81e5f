"""Health and readiness."""

from __future__ import annotations

from pydantic import Field

from api.schemas.common import Output, example

_CHECK = {"ok": True, "detail": ""}


class HealthOut(Output):
    """The process lives."""

    model_config = example(alive=True, version="0.1.0")

    alive: bool = Field(description="Always true: a process that does not live says nothing.")
    version: str = Field(description="Of the program.")


class CheckOut(Output):
    """One thing that must work."""

    model_config = example(**_CHECK)

    ok: bool = Field(description="Whether it works.")
    detail: str = Field(description="What is wrong and what to do, for people.")


class ReadyOut(Output):
    """Whether everything works that commands and events need."""

    model_config = example(ready=True, guard=_CHECK, database=_CHECK, facts=_CHECK, facts_waiting=0)

    ready: bool = Field(description="Whether all of it works.")
    guard: CheckOut = Field(description="The guard can be reached.")
    database: CheckOut = Field(description="The business database can be written.")
    facts: CheckOut = Field(description="The guard's facts are taken over.")
    facts_waiting: int = Field(description="Facts in the guard's journal that wait.")
