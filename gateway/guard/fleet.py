"""All outlets of the site, and what the drivers say about them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

from gateway.config import Device, Quantity, Site
from gateway.config import Outlet as OutletSettings
from gateway.core.clock import Clock, Now
from gateway.core.facts import FactDraft, FactKind
from gateway.core.ids import BusId, DeviceId, OutletId
from gateway.guard.events import Alive, Written
from gateway.guard.model import BusState, DeviceState, Sample, Switch, WriteResult
from gateway.guard.outlet import Outlet, Recorder
from gateway.guard.panel import unread
from gateway.guard.state import Latch
from gateway.link.messages import OutletView

OnSample = Callable[[Outlet, Sample | Alive], None]
"""Told of everything that was measured or heard of an outlet, after it was judged."""


class PointOwner(Protocol):
    """Who takes what drivers say of something that is no outlet. Never raises."""

    def on_sample(self, sample: Sample) -> None: ...

    def on_alive(self, at_ms: int) -> None: ...

    def on_write(self, wanted_on: bool, result: WriteResult) -> None: ...


class Fleet:
    """The outlets by id; receives from the drivers (``guard.model.Sink``)."""

    def __init__(
        self,
        site: Site,
        *,
        clock: Clock,
        recorder: Recorder,
        write_fact: Callable[[FactDraft], None],
        on_sample: OnSample,
        latches: Mapping[str, Latch],
        locks: Iterable[str],
    ) -> None:
        self.site = site
        self.clock = clock
        self._write_fact = write_fact
        self._count_sample = on_sample
        self.switches: dict[OutletId, Switch] = {}
        self.device_states: dict[DeviceId, tuple[DeviceState, str]] = {}
        self.heard_ms: dict[DeviceId, int] = {}
        """When each device last said anything about an outlet."""
        self.bus_states: dict[BusId, tuple[BusState, str]] = {}
        self.points: dict[OutletId, PointOwner] = {}
        """What is polled and switched besides outlets, and who owns it."""
        self.locks = set(locks)
        self._device_of = {
            point.id: channel.device
            for point in site.other_points
            if (channel := point.relay or point.meter) is not None
        }
        self.outlets: dict[OutletId, Outlet] = {}
        for settings in site.outlets:
            scopes = scopes_of(site, settings.id)
            self.outlets[settings.id] = Outlet(
                settings,
                switch=self,
                recorder=recorder,
                clock=clock,
                latch=latches.get(settings.id),
                locks=frozenset(scope for scope in self.locks if scope in scopes),
                trips=unread(site.interlocks, settings.id),
                measures=measures_of(site, settings),
            )

    # What outlets ask of the drivers: each is switched by the bus that holds its relay.

    def switch_on(self, outlet: OutletId, for_ms: int) -> None:
        self.switches[outlet].switch_on(outlet, for_ms)

    def keep_on(self, outlet: OutletId, for_ms: int) -> None:
        self.switches[outlet].keep_on(outlet, for_ms)

    def switch_off(self, outlet: OutletId, *, urgent: bool) -> None:
        self.switches[outlet].switch_off(outlet, urgent=urgent)

    # What drivers say.

    def on_sample(self, outlet: OutletId, sample: Sample) -> None:
        owner = self.outlets.get(outlet)
        if owner is None:
            self.points[outlet].on_sample(sample)
            self.heard_ms[self._device_of[outlet]] = sample.at_ms
            return
        owner.feed(sample)
        settings = owner.settings
        told = settings.relay if sample.relay_on is not None else settings.meter or settings.relay
        self.heard_ms[told.device] = sample.at_ms
        self._count_sample(owner, sample)

    def on_alive(self, outlet: OutletId, at_ms: int) -> None:
        owner = self.outlets.get(outlet)
        if owner is None:
            self.points[outlet].on_alive(at_ms)
            return
        event = Alive(at_ms)
        owner.feed(event)
        self._count_sample(owner, event)

    def on_write(self, outlet: OutletId, wanted_on: bool, result: WriteResult) -> None:
        owner = self.outlets.get(outlet)
        if owner is None:
            self.points[outlet].on_write(wanted_on, result)
        else:
            owner.feed(Written(wanted_on=wanted_on, result=result))

    def on_device(self, device: DeviceId, state: DeviceState, detail: str) -> None:
        was, _ = self.device_states.get(device, (DeviceState.UNKNOWN, ""))
        self.device_states[device] = (state, detail)
        for outlet in self.outlets.values():
            settings = outlet.settings
            channels = (settings.relay, settings.meter)
            if any(channel is not None and channel.device == device for channel in channels):
                outlet.changed = True
        lost = state is DeviceState.QUARANTINED
        found = state is DeviceState.ONLINE and was is DeviceState.QUARANTINED
        if lost and was is not DeviceState.QUARANTINED:
            self._tell(FactKind.DEVICE_LOST, f"device/{device}", {"device": device}, detail)
        elif found:
            self._tell(FactKind.DEVICE_FOUND, f"device/{device}", {"device": device}, detail)

    def on_bus(self, bus: BusId, state: BusState, detail: str) -> None:
        was, _ = self.bus_states.get(bus, (BusState.CONNECTING, ""))
        self.bus_states[bus] = (state, detail)
        if state is BusState.LOST and was is not BusState.LOST:
            self._tell(FactKind.BUS_LOST, f"bus/{bus}", {"bus": bus}, detail)
        elif state is BusState.OPEN and was is BusState.LOST:
            self._tell(FactKind.BUS_FOUND, f"bus/{bus}", {"bus": bus}, detail)

    def tick(self, outlets: Iterable[Outlet]) -> None:
        """Let time go by for some outlets."""
        for outlet in outlets:
            outlet.tick()

    def view(self, outlet: Outlet, now: Now) -> OutletView:
        """Show one outlet."""
        return outlet.view(now, self._device_state(outlet))

    def _device_state(self, outlet: Outlet) -> DeviceState:
        """Return the worse of the states of relay and meter."""
        states = [
            self.device_states.get(channel.device, (DeviceState.UNKNOWN, ""))[0]
            for channel in (outlet.settings.relay, outlet.settings.meter)
            if channel is not None
        ]
        return max(states, key=_WORSE.index)

    def _tell(self, kind: FactKind, subject: str, data: dict[str, str], detail: str) -> None:
        now = self.clock.now()
        self._write_fact(
            FactDraft(
                kind=kind,
                subject=subject,
                utc_ms=now.utc_ms,
                quality=now.quality,
                data={**data, "detail": detail},
            )
        )


_WORSE = [
    DeviceState.ONLINE,
    DeviceState.UNKNOWN,
    DeviceState.SILENT,
    DeviceState.QUARANTINED,
]


def measures_of(site: Site, outlet: OutletSettings) -> frozenset[str]:
    """Say what the outlet's meter must tell: what its profile has registers for.

    A plug behind a broker tells what its firmware happens to have, and is taken as it is.
    """
    device = None if outlet.meter is None else site.any_device(outlet.meter.device)
    if not isinstance(device, Device):
        return frozenset()
    wanted = {"current": Quantity.CURRENT_A, "power": Quantity.POWER_W}
    return frozenset(name for name, quantity in wanted.items() if quantity in device.profile.values)


def scopes_of(site: Site, outlet_id: str) -> frozenset[str]:
    """Return every scope that holds an outlet, as locks name them: ``pile/n1``."""
    settings = site.outlet(outlet_id)
    return frozenset(
        {
            f"outlet/{settings.id}",
            f"pile/{settings.pile}",
            f"station/{settings.station}",
            f"site/{site.id}",
            *(f"circuit/{circuit}" for circuit in site.feeding(settings.id)),
        }
    )
