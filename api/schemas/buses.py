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
    "topic": None,
    "state": "online",
    "detail": "",
    "last_answer_age_ms": 380,
}


class BusOut(Output):
    """One line or connection."""

    model_config = example(**_BUS)

    bus: Name
    kind: str = Field(description="As in the site file.", examples=["modbus-rtu"])
    state: str = Field(description="`connecting`, `open` or `lost`.")
    detail: str = Field(description="What a person should look at.")
    utilisation: float | None = Field(description="Share of time the wire is in use, 0 to 1.")
    cycle_ms: float | None = Field(description="How long the last poll round took, in ms.")
    requests: int = Field(description="Requests sent since the guard started.")
    timeouts: int = Field(description="Requests without an answer, since then.")
    errors: dict[str, int] = Field(description="Wrong answers by kind.")


class DeviceOut(Output):
    """One device on a bus."""

    model_config = example(**_DEVICE)

    device: Name
    bus: Name
    unit: int | None = Field(description="The Modbus unit; null: it speaks MQTT.")
    topic: str | None = Field(description="Its name in MQTT topics; null: it speaks Modbus.")
    state: str = Field(description="`unknown`, `online`, `silent` or `quarantined`.")
    detail: str = Field(description="What a person should look at.")
    last_answer_age_ms: int | None = Field(description="In ms; null: never.")


class BusesOut(Output):
    """All buses and devices of the site."""

    model_config = example(buses=[_BUS], devices=[_DEVICE])

    buses: list[BusOut] = Field(description="In the order of the site file.")
    devices: list[DeviceOut] = Field(description="In the order of the site file.")
