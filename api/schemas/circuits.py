"""Circuits."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from api.schemas.common import Name, Output, example

_CIRCUIT = {
    "circuit": "north",
    "name": "North gate",
    "parent": "site",
    "state": "full",
    "power_w": 7_650.0,
    "current_a": 34.1,
    "counted_w": 7_950.0,
    "counted_a": 35.4,
    "limit_w": 8_700.0,
    "limit_a": None,
    "known_by": "meter",
    "running": 12,
    "waiting": ["n1-7", "n2-3"],
    "contactor": "closed",
    "opened_reason": None,
    "opened_utc_ms": None,
}


class CircuitOut(Output):
    """One circuit: what it carries, what it may, and who waits for it."""

    model_config = example(**_CIRCUIT)

    circuit: Name
    name: str = Field(description="For people.")
    parent: str | None = Field(description="The circuit that feeds it.")
    state: Literal["opened", "dark", "over", "full", "ok"] = Field(
        description="`opened`: its contactor was opened, and only a person on site lets it close. "
        "`dark`: it has no voltage. `over`: it carries more than it may. `full`: somebody waits."
    )
    power_w: float = Field(description="What it carries, in W.")
    current_a: float = Field(description="What it carries, in A; of the phase that carries most.")
    counted_w: float = Field(description="With what has just started and may draw more, in W.")
    counted_a: float = Field(description="The same in A.")
    limit_w: float | None = Field(description="What it may carry, in W; null: no such limit.")
    limit_a: float | None = Field(description="What it may carry, in A; null: no such limit.")
    known_by: Literal["sum", "meter", "limits"] = Field(
        description="Its `meter`, or the `sum` of what hangs on it; `limits`: its meter is lost, "
        "and outlets count with what they may draw."
    )
    running: int = Field(description="Outlets that are on.")
    waiting: list[str] = Field(description="Who waits on its account, the first first.")
    contactor: Literal["closed", "open", "unknown"] | None = Field(
        description="As it is seen; null: it has none."
    )
    opened_reason: str | None = Field(description="Why it was opened.", examples=["welded"])
    opened_utc_ms: int | None = Field(description="When it was opened: UTC, in milliseconds.")


class CircuitsOut(Output):
    """All circuits, each after the one that feeds it."""

    model_config = example(circuits=[_CIRCUIT])

    circuits: list[CircuitOut] = Field(description="Each after its parent.")
