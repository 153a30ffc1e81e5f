"""What ``check`` says about buses: requests, wire times, worst times to a cut-off."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import click

from drivers.modbus.plan import BusPlan, plan_bus
from gateway.commands.columns import columns
from gateway.config import Bus, Site


def print_plans(site: Site, *, requests: bool) -> list[str]:
    """Print the plan of every bus; give a line for each way in which the promise is broken."""
    plans = [plan_bus(bus, site) for bus in site.buses]
    for bus, plan in zip(site.buses, plans, strict=True):
        click.echo(_bus_line(bus, plan))
        for line in _detection_lines(plan):
            click.echo(f"  {line}")
        if requests:
            _print(_request_rows(plan))
        _print(_device_rows(plan))
    broken = [line for plan in plans for line in _broken(plan, site)]
    if not broken:
        click.echo(_promise(site, plans))
    return broken


def _bus_line(bus: Bus, plan: BusPlan) -> str:
    count = len(plan.requests)
    return (
        f"bus {bus.id} ({bus.kind}, {bus.place}): {count} request{'s' * (count != 1)} a round, "
        f"{plan.cycle_ms:.1f} ms of every {max(plan.poll_ms, plan.cycle_ms):.0f} ms, "
        f"{plan.utilisation:.0%} busy"
    )


def _detection_lines(plan: BusPlan) -> Iterable[str]:
    """Say when an overload is seen at the latest and typically, of outlets in use and of idle ones.

    What follows, the off frame and whatever else is on the wire, is in the table below it.
    """
    seen = plan.detection
    if not plan.requests:
        yield "no outlet uses its devices: nothing is read"
        return
    if plan.leads is None:
        yield (
            f"everything is read in every round: an overload is seen after "
            f"{seen.in_use_worst_ms:.0f} ms at worst, {seen.in_use_typical_ms:.0f} ms typically"
        )
        return
    yield (
        f"in use: {plan.leads} first; an overload is seen after {seen.in_use_worst_ms:.0f} ms at "
        f"worst, {seen.in_use_typical_ms:.0f} ms typically (a quarter in use)"
    )
    yield (
        f"idle: a welded or closed relay is seen after {seen.idle_worst_ms:.0f} ms at worst, "
        f"{seen.idle_typical_ms:.0f} ms typically; slow values are {seen.slow_worst_ms / 1_000:.0f}"
        " s old at most"
    )


def _request_rows(plan: BusPlan) -> Iterable[Sequence[str]]:
    yield ("device", "unit", "request", "bytes", "wire", "turn-around", "time-out")
    for request in plan.requests:
        yield (
            request.device,
            str(request.unit),
            request.what,
            f"{request.request_bytes}+{request.answer_bytes}",
            f"{request.wire_time_ms:.1f} ms",
            f"{request.turnaround_ms:.0f} ms",
            f"{request.timeout_ms:.0f} ms",
        )


def _device_rows(plan: BusPlan) -> Iterable[Sequence[str]]:
    """Give worst times from an overload to its off frame: alone, and with another one silent."""
    yield ("device", "outlets", "round", "one outlet over", "all over", "with one device silent")
    for device in plan.devices:
        if not device.outlets:
            yield (device.device, "-", f"{device.round_ms:.1f} ms", "", "", "")
            continue
        yield (
            device.device,
            str(device.outlets),
            f"{device.round_ms:.1f} ms",
            f"{device.worst_cut_ms:.0f} ms",
            f"{device.worst_cut_all_ms:.0f} ms",
            f"{device.worst_cut_silent_ms:.0f} / {device.worst_cut_all_silent_ms:.0f} ms",
        )


def _print(rows: Iterable[Sequence[str]]) -> None:
    for line in columns(rows, "  "):
        click.echo(line)


def _broken(plan: BusPlan, site: Site) -> Iterable[str]:
    """Say what can't be kept while every device answers: the promise, or what silence means."""
    promise = f"promise.cut_off_ms: {site.promise_cut_off_ms} ms"
    if plan.detection.idle_worst_ms >= plan.silence_ms:
        place = site.place("bus", plan.bus)
        yield (
            f"{place}: limits.silence.delay_s: values on bus {plan.bus} may be "
            f"{plan.detection.idle_worst_ms:.0f} ms old while every device answers, and after "
            f"{plan.silence_ms:.0f} ms they are taken for silent: raise the baud rate, put fewer "
            "devices on the bus, or allow more (a module's watchdog counts, too)"
        )
    for device in plan.devices:
        if device.worst_cut_all_ms > site.promise_cut_off_ms:
            worst = f"one outlet {device.worst_cut_ms:.0f} ms, all {device.worst_cut_all_ms:.0f} ms"
            place = site.place("device", device.device)
            yield (
                f"{place}: {promise} is not kept by {device.device} on bus {plan.bus} ({worst}): "
                "poll more often, raise the baud rate, or put fewer devices on the bus"
            )


def _promise(site: Site, plans: Sequence[BusPlan]) -> str:
    worst_ms = max((plan.worst_cut_all_ms for plan in plans), default=0.0)
    silent_ms = max((plan.worst_cut_all_silent_ms for plan in plans), default=0.0)
    promise_ms = site.promise_cut_off_ms
    line = (
        f"promise: an overload's off frame within {promise_ms} ms, and the delay of its rule: "
        f"kept; the worst is {worst_ms:.0f} ms, {silent_ms:.0f} ms with one device silent"
    )
    return line if silent_ms <= promise_ms else f"{line} (then not kept)"
