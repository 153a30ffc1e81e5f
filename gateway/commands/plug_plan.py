"""What ``check`` says about plugs behind brokers: how each is seen, and its worst time."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import click

from drivers.mqtt.plan import MqttPlan, PlugPlan, plan_mqtt
from gateway.commands.columns import columns
from gateway.config import MqttBus, Site


def print_plug_plans(site: Site) -> list[str]:
    """Print the plan of every broker; give a line for each plug that breaks its promise."""
    broken: list[str] = []
    for bus in site.mqtt_buses:
        plan = plan_mqtt(bus, site)
        click.echo(_bus_line(bus, plan))
        _print(_rows(plan))
        lines = [
            f"{site.place('device', plug.device)}: {_broken(bus, plug)}"
            for plug in plan.plugs
            if plug.outlets and not plug.is_kept
        ]
        if not lines:
            click.echo(_kept(plan))
        broken += lines
    return broken


def _bus_line(bus: MqttBus, plan: MqttPlan) -> str:
    secured = "TLS" if bus.tls is not None else "no TLS"
    return (
        f"bus {bus.id} (mqtt, {bus.host}:{bus.port}, {secured}, client {bus.client_id}): "
        f"{len(plan.plugs)} plug{'s' * (len(plan.plugs) != 1)}, "
        f"{plan.messages_s:.1f} messages a second"
    )


def _rows(plan: MqttPlan) -> Iterable[Sequence[str]]:
    yield ("device", "outlets", "an overload is seen", "relay open", "promised", "own timer")
    for plug in plan.plugs:
        yield (
            plug.device,
            str(plug.outlets or "-"),
            plug.seen_by,
            "?" if plug.worst_cut_ms is None else f"{plug.worst_cut_ms:.0f} ms",
            f"{plug.promise_ms} ms",
            "yes" if plug.has_timer else "none",
        )


def _print(rows: Iterable[Sequence[str]]) -> None:
    for line in columns(rows, "  "):
        click.echo(line)


def _broken(bus: MqttBus, plug: PlugPlan) -> str:
    promise = f"promise.cut_off_ms: {plug.promise_ms} ms"
    where = f"{plug.device} on bus {bus.id}"
    if plug.worst_cut_ms is None:
        return (
            f"{promise} can't be kept by {where} ({plug.seen_by}): use a plug that can be asked, "
            "or give change_ms in its profile if its maker states one"
        )
    accepted_ms = math.ceil(plug.worst_cut_ms / 100) * 100
    return (
        f"{promise} is not kept by {where} (relay open after {plug.worst_cut_ms:.0f} ms: "
        f"{plug.seen_by}): ask it more often or use a faster plug; to accept it, write "
        f"promise: {{cut_off_ms: {accepted_ms}}} at the device or at its bus"
    )


def _kept(plan: MqttPlan) -> str:
    line = f"promise: each plug's relay opens within what is promised for it on bus {plan.bus}"
    worst_ms = plan.worst_cut_ms
    return line if worst_ms is None else f"{line}; the worst is {worst_ms:.0f} ms"
