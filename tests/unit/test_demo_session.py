"""What a run says of a site that does not come up: which device, and why."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from gateway.core.errors import FixInstallation
from gateway.demo.session import _sampled
from gateway.link.messages import BusView, DeviceView, OutletState, OutletView
from gateway.link.requests import BusesAnswer, Method

WHY = "unit 1 does not answer within 230 ms: check its power"


class _Guard:
    """A guard with one outlet that was never measured, or just now."""

    def __init__(self, sample_utc_ms: int | None) -> None:
        self._outlet = OutletView(
            outlet="n1-1",
            name="n1-1",
            pile="n1",
            station="north",
            state=OutletState.UNKNOWN,
            sample_utc_ms=sample_utc_ms,
            device_state="quarantined",
        )

    async def call(self, method: str, **_: object) -> dict[str, Any]:
        if method == Method.SNAPSHOT:
            return {"outlets": [self._outlet.to_json()], "next": None, "seq": 1}
        bus = BusView(bus="line1", kind="modbus-rtu", state="open")
        device = DeviceView(device="m1", bus="line1", unit=1, state="quarantined", detail=WHY)
        return BusesAnswer((bus,), (device,)).to_json()


def test_what_was_not_measured_is_told_with_its_reason() -> None:
    with pytest.raises(FixInstallation) as caught:
        asyncio.run(_sampled(_Guard(None)))  # type: ignore[arg-type]
    assert str(caught.value) == f"nothing was measured at n1-1 (m1 is quarantined: {WHY})"


def test_once_all_is_measured_it_goes_on() -> None:
    assert asyncio.run(_sampled(_Guard(1_790_000_000_000))) is True  # type: ignore[arg-type]
