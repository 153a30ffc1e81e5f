"""How a plug was set up by whoever installed it, as scenario files say under ``plugs``."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from simulators.load_specs import FileModel, Seconds, Watts

PowerOn = Literal["off", "on", "last"]

EVERYONE = "*"
"""Among the settings of a scenario: those of all plugs that are not named."""


class PlugSettings(FileModel):
    """Everything that is left out is as the device comes out of its box."""

    report_s: float | None = Field(None, gt=0, le=86_400)
    """How often it reports by itself; the profile's word without it, then the family's."""
    keepalive_s: int | None = Field(None, ge=0, le=65_535)
    reconnect_s: float | None = Field(None, gt=0, le=3_600)
    boot_s: Seconds | None = None
    """From the return of its supply to its first try to connect."""
    power_on: PowerOn | None = None
    """What its relays do when its supply comes back."""
    retain_state: bool | None = None
    """Whether it has the broker keep its relay's state (and its values, where it does so)."""
    overpower_w: Watts | None = None
    """Above this it opens its relay by itself; 0: never."""
    overpower_hold_s: Seconds | None = None
    shows_power_off: bool | None = None
    """Tasmota's SetOption21: whether voltage and power are shown while the relay is off."""
    answers_by_command: bool | None = None
    """Tasmota's SetOption4: whether an answer comes on a topic named after the command."""
    lists: bool | None = None
    """Tasmota with several channels: every value a list, or some of them one shared scalar."""
    auto_on_s: float | None = Field(None, gt=0, le=86_400)
    """Shelly Gen2's auto_on: it closes again so long after it was switched off."""
    status_topic: bool | None = None
    """Shelly Gen2's status_ntf: whether whole states are published beside the partial ones."""
    can_be_asked: bool | None = None
    """Zigbee: whether the plug answers when its values are asked for."""
    availability: bool | None = None
    """Zigbee2MQTT: whether the bridge tells who is there."""
    old_retained: bool = False
    """Whether the broker still keeps what this plug said last year, with its relay on."""
    username: str | None = None
    password: str | None = None
