"""Everything behind the wire of one site: mains, piles, outlets, devices, and what breaks.

One lock: serial lines run in threads of their own. Times are seconds since the world began.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from typing import Any

from simulators.appliances import AddedLoad
from simulators.circuits import make_circuits
from simulators.device import SimDevice
from simulators.faults import Answer, LinkFault, LinkFaults, LinkTrouble
from simulators.loads import LoadFactory
from simulators.mains import Feed, Mains, MainsSettings
from simulators.mqtt.families import make_plug
from simulators.mqtt.faults import PlugFault, PlugTrouble
from simulators.mqtt.message import Message
from simulators.mqtt.plug import Plug
from simulators.mqtt.settings import PlugSettings
from simulators.noise import seed_of
from simulators.outlet import SimOutlet
from simulators.registers import Channel
from simulators.scenario import (
    FaultStep,
    HealStep,
    InputStep,
    LoadStep,
    MainsStep,
    PlugStep,
    PublishStep,
    Step,
    UnplugStep,
    WatchStep,
    wrong_names,
)
from simulators.sites import DevicePlace, SimSite

Undo = Callable[[float], None]
"""Ends what a step began, at a time."""


@dataclass(frozen=True, slots=True)
class Told:
    """What a device says to one request."""

    answer: Answer
    turnaround_s: float
    over: tuple[str, ...]


class World:
    """Holds the lock itself: every method may be called from any thread."""

    def __init__(
        self,
        site: SimSite,
        *,
        mains: MainsSettings | None = None,
        seed: int = 0,
        loads: dict[str, LoadFactory] | None = None,
        plugs: Mapping[str, PlugSettings] | None = None,
        report: Callable[[dict[str, Any]], None],
        now_s: float = 0.0,
    ) -> None:
        self.lock: AbstractContextManager[Any] = threading.RLock()
        """Held by every method here; by hand for what is done to a plug."""
        self._seed = seed
        self._loads = loads or {}
        self._report = report
        self.mains = Mains(mains or MainsSettings(), seed)
        self._feeds: dict[str, Feed] = {}
        self.outlets: dict[str, SimOutlet] = {}
        self.devices: dict[str, SimDevice] = {}
        self.plugs: dict[str, Plug] = {}
        self.publishers: dict[str, Callable[[Message], bool]] = {}
        """By bus: who publishes what no plug said."""
        self._brokers = [broker.id for broker in site.brokers]
        self._faults: dict[str, LinkFaults] = {}
        self._units: dict[tuple[str, int], SimDevice] = {}
        self._turnaround_s: dict[str, float] = {}
        for place in site.outlets:
            feed = self._feeds.setdefault(place.pile, Feed(self.mains))
            self.outlets[place.id] = SimOutlet(place.id, feed, now_s)
        meters = {place.meter: place.id for place in site.outlets if place.meter}
        relays = {place.relay: place.id for place in site.outlets}
        self.circuits = make_circuits(site.circuits, self.outlets, self.mains, now_s)
        """By ``circuit/ID``."""
        for circuit in site.circuits:
            if circuit.meter is not None:
                meters[circuit.meter] = f"circuit/{circuit.id}"
            if circuit.contactor is not None:
                relays[circuit.contactor] = f"circuit/{circuit.id}"
        for device in site.devices:
            self._add_device(device, meters, relays, now_s)
        for plug in site.plugs:
            channels = self._channels(plug.id, plug.profile.channels, meters, relays, now_s)
            own_seed = seed_of(seed, plug.id)
            made = make_plug(plug, plugs or {}, channels, report=report, seed=own_seed, now_s=now_s)
            self.plugs[plug.id] = made
        for (name, channel), is_on in site.quiet_inputs.items():
            self._with_inputs(name).channels[channel - 1].input_on = is_on

    def _add_device(
        self,
        place: DevicePlace,
        meters: dict[tuple[str, int], str],
        relays: dict[tuple[str, int], str],
        now_s: float,
    ) -> None:
        channels = self._channels(place.id, place.profile.channels, meters, relays, now_s)
        device = SimDevice(place.id, place.profile, channels, self._report, now_s)
        self.devices[place.id] = device
        self._units[place.bus, place.unit] = device
        self._faults[place.id] = LinkFaults(seed_of(self._seed, place.id))
        self._turnaround_s[place.id] = place.turnaround_ms / 1000

    def _channels(
        self,
        device: str,
        count: int,
        meters: Mapping[tuple[str, int], str],
        relays: Mapping[tuple[str, int], str],
        now_s: float,
    ) -> list[Channel]:
        channels = []
        for number in range(1, count + 1):
            # A channel that no outlet uses is there all the same: an empty outlet of its own.
            spare = SimOutlet(f"{device}:{number}", Feed(self.mains), now_s)
            at = (device, number)
            meter = self._end(meters[at]) if at in meters else spare
            relay = self._end(relays[at]) if at in relays else spare
            channels.append(Channel(meter, relay))
        return channels

    def _end(self, name: str) -> SimOutlet:
        """Look up an outlet or a circuit."""
        return self.circuits.get(name) or self.outlets[name]

    # The wire

    def ask(self, bus: str, unit: int, pdu: bytes, now_s: float, received_ns: int) -> Told | None:
        """Give a request to a unit. None: nobody answers."""
        with self.lock:
            device = self._units.get((bus, unit))
            if device is None:
                return None
            faults = self._faults[device.name]
            if faults.loses_request():
                return None
            reply = device.handle(pdu, now_s, received_ns)
            answer = faults.spoil(Answer(unit, reply.pdu))
            if answer is None:
                return None
            return Told(answer, self._turnaround_s[device.name], reply.over)

    def has_unit(self, bus: str, unit: int) -> bool:
        """Say whether a bus has a unit of that number."""
        return (bus, unit) in self._units

    def broadcast(self, bus: str, pdu: bytes, now_s: float, received_ns: int) -> None:
        """Give a request to every unit of a bus; none answers."""
        with self.lock:
            for (its_bus, _), device in self._units.items():
                if its_bus == bus and not self._faults[device.name].loses_request():
                    device.handle(pdu, now_s, received_ns)

    def babble(self, bus: str, now_s: float) -> bytes:
        """Garbage that some device of a bus sends now."""
        with self.lock:
            return b"".join(
                self._faults[device.name].babble(now_s)
                for (its_bus, _), device in self._units.items()
                if its_bus == bus
            )

    # Time and steps

    def supervise(self, device: str, now_s: float) -> None:
        """Let a module act by itself; called several times a second for each."""
        with self.lock:
            self.devices[device].supervise(now_s)

    def report_over(self, outlets: Iterable[str], above_a: float) -> None:
        """Arm ``over`` records for outlets; 0 A disarms."""
        with self.lock:
            wanted = set(outlets)
            everything: Sequence[SimDevice | Plug] = [*self.devices.values(), *self.plugs.values()]
            for device in everything:
                for channel in device.channels:
                    if channel.meter.name in wanted:
                        device.report_over(channel.meter.name, above_a)

    def check(self, step: Step) -> None:
        """Raise ValueError if a step names something that this site does not have."""
        everything = {**self.devices, **self.plugs}
        places = {**self.outlets, **self.circuits}
        wrong = wrong_names(step, places, everything, self._brokers)
        if wrong:
            raise ValueError(wrong[0][1])
        if isinstance(step, FaultStep) and step.device is not None:
            known = tuple(PlugFault) if step.device in self.plugs else tuple(LinkFault)
            if step.fault not in known:
                raise ValueError(f"{step.device} has one of {', '.join(known)}")
        if isinstance(step, PlugStep) and step.load not in self._loads:
            raise ValueError(f"no load is called {step.load!r}")
        if isinstance(step, InputStep):
            is_there = step.input in self.devices or step.input in self.plugs
            count = len(self._with_inputs(step.input).channels) if is_there else 0
            if step.channel > count:
                raise ValueError(f"{step.input} has no channel {step.channel}: it has {count}")

    def apply(self, step: Step, now_s: float) -> Undo | None:
        """Do what a (checked) step says; the answer ends it, where it has ``for_s``."""
        with self.lock:
            return self._apply(step, now_s)

    def _apply(self, step: Step, now_s: float) -> Undo | None:
        if isinstance(step, PlugStep):
            load = self._loads[step.load](seed_of(self._seed, step.plug))
            self.outlets[step.plug].plug(load, now_s)
        elif isinstance(step, UnplugStep):
            self.outlets[step.unplug].unplug(now_s)
        elif isinstance(step, LoadStep):
            outlet = self.outlets[step.load_step]
            added = AddedLoad(step.power_w, step.ramp_s, step.power_factor)
            outlet.add_load(added, now_s)
            return self._locked(partial(outlet.remove_load, added))
        elif isinstance(step, FaultStep):
            return self._break(step, now_s)
        elif isinstance(step, HealStep):
            self._heal(step.heal, now_s)
        elif isinstance(step, WatchStep):
            self.report_over([step.report_over], step.above_a)
        elif isinstance(step, PublishStep):
            self._publish(step)
        elif isinstance(step, InputStep):
            return self._set_input(step)
        elif isinstance(step, MainsStep):
            back_v = self.mains.target_v
            self.mains.set_voltage(step.mains.voltage_v, now_s, step.mains.ramp_s)
            return self._locked(partial(self.mains.set_voltage, back_v))
        return None

    def _break(self, step: FaultStep, now_s: float) -> Undo:
        if step.device in self.plugs:
            return self._break_plug(self.plugs[step.device], step)
        if step.device is not None:
            trouble = LinkTrouble(LinkFault(step.fault), step.share, step.delay_ms)
            faults = self._faults[step.device]
            faults.start(trouble)
            return self._locked(lambda _now_s: faults.stop(trouble))
        assert step.outlet is not None
        outlet = self._end(step.outlet)
        self._set_fault(outlet, step, True, now_s)
        return self._locked(partial(self._set_fault, outlet, step, False))

    def _break_plug(self, plug: Plug, step: FaultStep) -> Undo:
        trouble = PlugTrouble(PlugFault(step.fault), step.share, step.delay_ms)
        plug.faults.start(trouble)
        return self._locked(lambda _now_s: plug.faults.stop(trouble))

    def _publish(self, step: PublishStep) -> None:
        message = Message(step.publish, step.payload.encode(), step.retain, step.qos)
        publish = self.publishers.get(step.bus)
        for _ in range(step.times if publish else 0):
            assert publish is not None
            publish(message)

    def _set_fault(self, outlet: SimOutlet, step: FaultStep, broken: bool, now_s: float) -> None:
        if step.fault == "welded":
            outlet.weld(broken, now_s)
        elif step.fault == "stuck_open":
            outlet.stick_open(broken, now_s)
        elif step.fault == "frozen_meter":
            outlet.freeze(broken, now_s)
        else:
            outlet.heat(step.temperature_c if broken else None)

    def _with_inputs(self, name: str) -> SimDevice | Plug:
        return self.plugs.get(name) or self.devices[name]

    def _set_input(self, step: InputStep) -> Undo:
        channel = self._with_inputs(step.input).channels[step.channel - 1]
        before, channel.input_on = channel.input_on, step.on

        def undo(_now_s: float) -> None:
            channel.input_on = before

        return self._locked(undo)

    def _heal(self, name: str, now_s: float) -> None:
        if name in self.outlets or name in self.circuits:
            outlet = self._end(name)
            outlet.weld(False, now_s)
            outlet.stick_open(False, now_s)
            outlet.freeze(False, now_s)
            outlet.heat(None)
        if name in self._faults:
            self._faults[name].stop()
        if name in self.plugs:
            self.plugs[name].faults.stop()

    def _locked(self, undo: Undo) -> Undo:
        def ended(now_s: float) -> None:
            with self.lock:
                undo(now_s)

        return ended
