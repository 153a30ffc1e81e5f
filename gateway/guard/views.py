"""What the guard shows: outlets as they are, buses, devices, limits."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Any, Protocol

from gateway.config import Device, MqttDevice, Site
from gateway.core.clock import Clock, Now
from gateway.core.ids import BusId
from gateway.guard.fleet import Fleet
from gateway.guard.model import BusState, DeviceState
from gateway.link.messages import MOST_VIEWS, BusView, DeviceView, OutletView
from gateway.link.requests import BusesAnswer, LimitsRequest, SnapshotPage, SnapshotRequest


class BusFigures(Protocol):
    """What a bus's driver tells about itself."""

    @property
    def id(self) -> BusId: ...

    def stats(self) -> Stats: ...


class Stats(Protocol):
    """The figures of one bus (``drivers.stats.BusStats``)."""

    @property
    def utilisation(self) -> float: ...

    @property
    def cycle_ms(self) -> float | None: ...

    @property
    def oldest_fast_ms(self) -> float | None: ...

    @property
    def oldest_slow_ms(self) -> float | None: ...

    @property
    def requests(self) -> int: ...

    @property
    def timeouts(self) -> int: ...

    @property
    def errors(self) -> Mapping[str, int]: ...

    @property
    def queue_depth(self) -> int: ...


class Views:
    """What the guard shows."""

    def __init__(self, site: Site, fleet: Fleet, clock: Clock) -> None:
        self._site = site
        self._fleet = fleet
        self._clock = clock
        self._order = [outlet.id for outlet in site.outlets]
        self._place = {outlet_id: place for place, outlet_id in enumerate(self._order)}

    def page(self, request: SnapshotRequest, seq: int) -> SnapshotPage:
        """Return the outlets asked for, or one page of all in the order of the site file."""
        now = self._clock.now()
        if request.outlets is not None:
            asked = [self._site.outlet(outlet_id).id for outlet_id in request.outlets]
            return SnapshotPage(tuple(self._view(o, now) for o in asked), None, seq)
        start = 0
        if request.after is not None:
            start = self._place[self._site.outlet(request.after).id] + 1
        ids = self._order[start : start + min(request.limit, MOST_VIEWS)]
        more = start + len(ids) < len(self._order)
        views = tuple(self._view(outlet_id, now) for outlet_id in ids)
        return SnapshotPage(views, ids[-1] if more and ids else None, seq)

    def changed(self, most: int) -> list[OutletView]:
        """Take up to ``most`` outlets that changed since they were last taken."""
        now = self._clock.now()
        views = []
        for outlet in self._fleet.outlets.values():
            if outlet.changed:
                outlet.changed = False
                views.append(self._fleet.view(outlet, now))
                if len(views) >= most:
                    break
        return views

    def limits(self, request: LimitsRequest) -> dict[str, Any]:
        """Return the limits in force at an outlet, and where each comes from."""
        settings = self._site.outlet(request.outlet)
        return {
            "outlet": settings.id,
            "limits": _plain(dataclasses.asdict(settings.limits)),
            "origin": dict(settings.origins),
        }

    def buses(self, drivers: Sequence[BusFigures]) -> BusesAnswer:
        """Return every bus with its figures, and every device."""
        kinds: dict[str, str] = {bus.id: bus.kind for bus in self._site.all_buses}
        buses = tuple(self._bus(driver, kinds[driver.id]) for driver in drivers)
        devices = tuple(self._device(device) for device in self._site.all_devices)
        return BusesAnswer(buses, devices)

    def _bus(self, driver: BusFigures, kind: str) -> BusView:
        state, detail = self._fleet.bus_states.get(driver.id, (BusState.CONNECTING, ""))
        stats = driver.stats()
        return BusView(
            bus=driver.id,
            kind=kind,
            state=state.value,
            detail=detail,
            utilisation=round(stats.utilisation, 4),
            cycle_ms=None if stats.cycle_ms is None else round(stats.cycle_ms, 1),
            requests=stats.requests,
            timeouts=stats.timeouts,
            errors=dict(stats.errors),
        )

    def _device(self, device: Device | MqttDevice) -> DeviceView:
        state, detail = self._fleet.device_states.get(device.id, (DeviceState.UNKNOWN, ""))
        heard_ms = self._fleet.heard_ms.get(device.id)
        now_ms = self._clock.now().mono_ms
        return DeviceView(
            device=device.id,
            bus=device.bus,
            unit=None if isinstance(device, MqttDevice) else device.unit,
            topic=device.topic if isinstance(device, MqttDevice) else None,
            state=state.value,
            detail=detail,
            last_answer_age_ms=None if heard_ms is None else now_ms - heard_ms,
        )

    def _view(self, outlet_id: str, now: Now) -> OutletView:
        return self._fleet.view(self._fleet.outlets[self._site.outlet(outlet_id).id], now)


def _plain(value: Any) -> Any:
    """Turn enumerations into their words, for JSON."""
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    return value.value if isinstance(value, Enum) else value
