"""Buses and devices."""

from __future__ import annotations

from pydantic import Field

from api.schemas.common import Name, Output, example

_BUS = {
    "bus": "line1",
    "kind": "modbus-rtu",
    "state": "open",
    "detail": "",
    "utilisation": 0.42,
    "cycle_ms": 420.0,
    "requests": 81_230,
    "timeouts": 2,
    "errors": {"crc": 1},
}
_DEVICE = {
    "device": "m1",
    "bus": "line1",
    "unit": 1,
    "state": "online",
    "detail": "",
    "last_answer_age_ms": 380,
}


class BusOut(Output):
    """One line or connection."""

    model_config = example(**_BUS)

    bus: Name
    kind: str = Field(examples=["modbus-rtu"])
    state: str = Field(description="`connecting`, `open` or `lost`.")
    detail: str = Field(description="What a person should look at.")
    utilisation: float | None = Field(description="Share of time the wire is in use, 0 to 1.")
    cycle_ms: float | None = Field(description="How long the last poll round took, in ms.")
    requests: int
    timeouts: int
    errors: dict[str, int] = Field(description="Wrong answers by kind.")


class DeviceOut(Output):
    """One device on a bus."""

    model_config = example(**_DEVICE)

    device: Name
    bus: Name
    unit: int = Field(description="The Modbus unit.")
    state: str = Field(description="`unknown`, `online`, `silent` or `quarantined`.")
    detail: str
    last_answer_age_ms: int | None = Field(description="In ms; null: never.")


class BusesOut(Output):
    """All buses and devices of the site."""

    model_config = example(buses=[_BUS], devices=[_DEVICE])

    buses: list[BusOut]
    devices: list[DeviceOut]
