"""How fast plugs can be switched off: from an overload to the relay that opens. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass

from gateway.config import Family, MqttBus, MqttDevice, MqttProfile, Outlet, Site

HOP_MS = 50.0
"""Allowed for a message through the broker and a network that is in order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlugPlan:
    """What one plug can promise."""

    device: str
    topic: str
    outlets: int
    """Outlets whose relay it is."""
    seen_within_ms: float | None
    """Until an overload is told to the guard, at the latest; None: nobody can say."""
    seen_by: str
    """How it is told, in words."""
    worst_cut_ms: float | None
    """From an overload to the open relay, at the latest; None: nobody can say."""
    promise_ms: int
    """What is promised for it: by the device, its bus or the site."""
    has_timer: bool
    """Whether its own timer ends a lease when the guard or the broker is gone."""

    @property
    def is_kept(self) -> bool:
        return self.worst_cut_ms is not None and self.worst_cut_ms <= self.promise_ms


@dataclass(frozen=True, slots=True, kw_only=True)
class MqttPlan:
    """The plugs of one bus."""

    bus: str
    plugs: tuple[PlugPlan, ...]
    messages_s: float
    """Messages a second of asking and answering, in rest."""

    @property
    def worst_cut_ms(self) -> float | None:
        """Worst of all plugs with outlets; None: one can't say."""
        known = [plug.worst_cut_ms for plug in self.plugs if plug.outlets]
        figures = [worst_ms for worst_ms in known if worst_ms is not None]
        return None if len(figures) < len(known) else max(figures, default=0.0)


def plan_mqtt(bus: MqttBus, site: Site) -> MqttPlan:
    """Plan a bus: who is asked how often, and what follows for a cut-off."""
    devices = site.plugs_on(bus.id)
    return MqttPlan(
        bus=bus.id,
        plugs=tuple(_plug_plan(bus, site, device) for device in devices),
        messages_s=sum(_messages_s(device.profile, bus.poll_ms) for device in devices),
    )


def _messages_s(profile: MqttProfile, poll_ms: int) -> float:
    """Count what goes to a plug and comes back in a second."""
    every_ms = asked_every_ms(profile, poll_ms)
    if every_ms is None:
        return 0.0
    questions = answers = 2 if profile.family is Family.TASMOTA else 1  # STATUS 8 and 11
    if profile.family is Family.SHELLY_GEN1:  # a topic for each value
        answers = len(profile.values) * profile.channels
    return (questions + answers) * 1_000 / every_ms


def asked_every_ms(profile: MqttProfile, poll_ms: int) -> float | None:
    """Longest time between two questions: whole rounds of the bus. None: it is not asked."""
    if profile.ask_ms is None:
        return None
    return max(1, math.ceil(profile.ask_ms / poll_ms)) * float(poll_ms)


def seen_within(profile: MqttProfile, poll_ms: int) -> tuple[float | None, str]:
    """Say until when an overload is told, at the latest, and how."""
    ways: list[tuple[float, str]] = []
    meter_ms = profile.meter_ms
    behind = f", its meter up to {meter_ms / 1_000:g} s behind" if meter_ms else ""
    asked_ms = asked_every_ms(profile, poll_ms)
    if asked_ms is not None:
        told_ms = meter_ms + asked_ms + profile.answer_ms
        ways.append((told_ms, f"asked every {asked_ms / 1_000:g} s{behind}"))
    if profile.report_s is not None:
        report_ms = meter_ms + profile.report_s * 1_000 + HOP_MS
        ways.append((report_ms, f"reports every {profile.report_s:g} s{behind}"))
    if profile.change_ms is not None:
        change_ms = profile.change_ms + HOP_MS
        ways.append((change_ms, f"reports a change within {profile.change_ms / 1_000:g} s"))
    return min(ways, default=(None, "reports changes, and nothing says how soon"))


def _plug_plan(bus: MqttBus, site: Site, device: MqttDevice) -> PlugPlan:
    outlets = [each for each in site.outlets_on(bus.id) if each.relay.device == device.id]
    seen = [_seen(site, bus, outlet) for outlet in outlets if outlet.meter is not None]
    slowest: tuple[float | None, str] = max(
        seen or [(0.0, "no meter")], key=lambda way: math.inf if way[0] is None else way[0]
    )
    within_ms = slowest[0]
    profile = device.profile
    return PlugPlan(
        device=device.id,
        topic=device.topic,
        outlets=len(outlets),
        seen_within_ms=within_ms,
        seen_by=slowest[1],
        worst_cut_ms=None if within_ms is None else within_ms + HOP_MS + profile.cut_ms,
        promise_ms=device.promise_cut_off_ms or bus.promise_cut_off_ms or site.promise_cut_off_ms,
        has_timer=profile.timer_s is not None,
    )


def _seen(site: Site, bus: MqttBus, outlet: Outlet) -> tuple[float | None, str]:
    """How an outlet's overload is told: by its meter, which may be on another bus."""
    assert outlet.meter is not None
    meter = next(plug for plug in site.plugs if plug.id == outlet.meter.device)
    own = next((each for each in site.mqtt_buses if each.id == meter.bus), bus)
    return seen_within(meter.profile, own.poll_ms)
