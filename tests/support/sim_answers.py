"""A simulated device on its own, asked by PDUs: no world, no wire."""

from __future__ import annotations

from typing import Any

from simulators.appliances import Appliance, ApplianceSettings
from simulators.device import SimDevice
from simulators.mains import Feed, Mains, MainsSettings
from simulators.outlet import SimOutlet
from simulators.profiles import read_profile
from simulators.registers import Channel
from tests.support.sim_world import ROOT


class Loaded:
    """A device of a delivered profile on quiet mains; each channel draws another load.

    Channel k draws k x 460 W (2 A a channel at 230 V) once its relay is closed; a meter without
    relays is connected to outlets that are on.
    """

    def __init__(self, name: str) -> None:
        profile = read_profile(ROOT / "config" / "profiles" / f"{name}.yaml")
        feed = Feed(Mains(MainsSettings(source_ohm=0.0, noise_v=0.0), seed=1))
        self.outlets = [SimOutlet(f"o{n}", feed) for n in range(1, profile.channels + 1)]
        self.told: list[dict[str, Any]] = []
        channels = [Channel(outlet, outlet) for outlet in self.outlets]
        self.device = SimDevice(name, profile, channels, self.told.append, 0.0)
        self._now_s = 0.0
        for number, outlet in enumerate(self.outlets, 1):
            settings = ApplianceSettings(power_w=460 * number, resistive=False)
            outlet.plug(Appliance(settings), 0.0)
            if profile.relay is None:
                outlet.switch(True, 0.0)

    def ask(self, pdu: str | bytes, after_s: float = 1.0) -> bytes:
        """Ask so long after the last request; gives the answer's PDU."""
        self._now_s += after_s
        raw = pdu if isinstance(pdu, bytes) else bytes.fromhex(pdu)
        return self.device.handle(raw, self._now_s, 1).pdu

    def hex(self, pdu: str, after_s: float = 1.0) -> str:
        """Ask; gives the answer's PDU in hex."""
        return self.ask(pdu, after_s).hex()
