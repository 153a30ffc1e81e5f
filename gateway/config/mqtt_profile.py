"""Profiles of plugs that speak MQTT: which family, how values are called, how fast it all is.

A family (Tasmota, Shelly, …) is code in ``drivers.mqtt``; a model of a known family is data.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from pydantic import Field

from gateway.config.profile import FileModel, ProfileDefaults, Quantity
from gateway.core.ids import NAME_PATTERN

LONGEST_NAME = 120
NAME_IN_JSON = r"^[a-z0-9_]{0,60}$"
COUNTDOWN = "countdown"
"""Zigbee2MQTT's name for the timer of Tuya's plugs, which count it in seconds."""


class Family(StrEnum):
    """Whose topics and payloads."""

    NATIVE = "native"
    """This project's own: ``drivers/mqtt/README.md``."""
    TASMOTA = "tasmota"
    SHELLY_GEN1 = "shelly-gen1"
    SHELLY_GEN2 = "shelly-gen2"
    """Generation 2 and later: JSON-RPC."""
    ZIGBEE2MQTT = "zigbee2mqtt"
    ESPHOME = "esphome"


class PowerOn(StrEnum):
    """What the relay does when the mains come back."""

    SET = "set"
    """The driver reads it and sets it to off."""
    SAFE = "safe"
    """The device stays off by itself."""
    UNKNOWN = "unknown"
    """Nobody knows over MQTT: a person must have seen to it."""


class PlugValue(FileModel):
    """Where one quantity stands: physical value = number x ``scale``."""

    name: str = Field(min_length=1, max_length=LONGEST_NAME, examples=["ENERGY.Power"])
    """Its name: keys joined by dots, or the end of a topic (see the family). {channel} counts
    outlets from 1, {index} from 0."""
    scale: float = Field(default=1.0, allow_inf_nan=False, examples=[1000, 0.001])
    """Factor from the number to the unit in the quantity's name."""

    def name_of(self, channel: int) -> str:
        """Name of the value of ``channel`` (from 1)."""
        return self.name.replace("{channel}", str(channel)).replace("{index}", str(channel - 1))


class MqttProfile(FileModel):
    """One model of plug."""

    profile: str = Field(pattern=NAME_PATTERN, examples=["tasmota-plug"])
    """Name of the profile; the file is called the same, with .yaml."""
    name: str = Field(min_length=1, max_length=200)
    """The device, as people call it."""
    source: str = Field(min_length=1, max_length=2_000)
    """The document from which names and behaviour were taken."""
    protocol: Literal["mqtt"]
    """How the device speaks."""
    family: Family
    """Whose topics and payloads."""
    base_topic: str = Field(
        default="", pattern=r"^[^+#\x00]{0,100}$", examples=["zigbee2mqtt", "pilegate"]
    )
    """What stands before the device's own topic; empty: what the family has by default. Tasmota's
    has %prefix% in it."""
    channels: int = Field(ge=1, le=64)
    """Outlets of one device."""
    values: dict[Quantity, PlugValue] = Field(min_length=1)
    """What it tells, and under which name."""
    ask_ms: int | None = Field(default=None, ge=100, le=600_000)
    """It can be asked for its values, and this often at most, in ms; null: it can't."""
    answer_ms: int = Field(default=500, ge=1, le=60_000)
    """How long it takes to answer at most, in ms."""
    meter_ms: int = Field(default=0, ge=0, le=60_000)
    """How far its meter is behind at most when a value is told, in ms."""
    report_s: float | None = Field(default=None, gt=0, le=86_400, allow_inf_nan=False)
    """It reports all values by itself this often, in s; null: only what changes."""
    change_ms: int | None = Field(default=None, ge=1, le=3_600_000)
    """It reports a jump of the load this soon, at the latest, in ms; null: nothing promises it."""
    availability: bool = True
    """Whether its broker or bridge tells when it is gone (last will)."""
    timer_s: int | None = Field(default=None, ge=1, le=10_000_000)
    """Longest time its own timer takes, in s, after which it goes off by itself; null: none."""
    timer_name: str = Field(default="", pattern=NAME_IN_JSON, examples=["countdown"])
    """Zigbee2MQTT: what the timer of a switch-on is called; empty: on_time."""
    power_on: PowerOn = PowerOn.UNKNOWN
    """What its relay does when the mains come back."""
    power_on_name: str = Field(default="", pattern=NAME_IN_JSON, examples=["power_outage_memory"])
    """Zigbee2MQTT: what that setting is called; empty: power_on_behavior."""
    min_gap_ms: int = Field(default=0, ge=0, le=10_000)
    """Least time between two messages to it, in ms. An OFF never waits for it."""
    cut_ms: int = Field(ge=1, le=60_000)
    """From a command's arrival at the device to its open relay, at the latest, in ms."""
    defaults: ProfileDefaults = Field(default_factory=ProfileDefaults)
    """What outlets of this device start from."""

    @property
    def relay(self) -> PlugValue | None:
        """The relay's state; None on a device that only measures."""
        return self.values.get(Quantity.RELAY_ON)

    @property
    def is_meter(self) -> bool:
        """Whether it measures current or power, and so can protect an outlet."""
        return Quantity.CURRENT_A in self.values or Quantity.POWER_W in self.values

    @property
    def is_on_change(self) -> bool:
        """Whether its values are only told when they change."""
        return self.ask_ms is None and self.report_s is None

    def period_ms(self, poll_ms: int) -> float | None:
        """Longest time between two tellings of a value; None: it is told when it changes."""
        if self.ask_ms is not None:
            return max(poll_ms, self.ask_ms)
        return None if self.report_s is None else self.report_s * 1_000
