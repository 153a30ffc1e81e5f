"""Why an outlet was switched off, cut, refused or alarmed.

The list can express every stop reason of the AP3000 family (its published protocol):
full, max time (longest_time), preset time (lease_over), preset energy (lease_energy),
unplugged, overload (overpower), server (requested), dynamic overload
(overcurrent_inverse), power too small (low_power), ambient hot (ambient_hot), port hot
(overtemperature), overcurrent, no power (no_mains), relay or fuse pre-check (self_test),
water, fire system (fire), memory (storage), overvoltage, undervoltage, low power (no_load).
"""

from __future__ import annotations

from enum import StrEnum


class Reason(StrEnum):
    """Stable words: they stand in the journal, in the API and in configuration."""

    # Asked for
    REQUESTED = "requested"
    LOCKED = "locked"
    # The lease's own limits
    LEASE_OVER = "lease_over"
    LEASE_ENERGY = "lease_energy"
    LONGEST_TIME = "longest_time"
    # How a charge ends by itself
    FULL = "full"
    UNPLUGGED = "unplugged"
    NO_LOAD = "no_load"
    LOW_POWER = "low_power"
    # What does not belong on a charging outlet
    WRONG_APPLIANCE = "wrong_appliance"
    LOOSE_CONTACT = "loose_contact"
    # Electrical protection
    OVERCURRENT_INSTANT = "overcurrent_instant"
    OVERCURRENT = "overcurrent"
    OVERCURRENT_INVERSE = "overcurrent_inverse"
    OVERPOWER = "overpower"
    OVERVOLTAGE = "overvoltage"
    UNDERVOLTAGE = "undervoltage"
    OVERTEMPERATURE = "overtemperature"
    AMBIENT_HOT = "ambient_hot"
    NO_MAINS = "no_mains"
    DEVICE_ALARM = "device_alarm"
    # The hardware does not do what it is told
    WELDED = "welded"
    NO_REACTION = "no_reaction"
    FROZEN_METER = "frozen_meter"
    SELF_TEST = "self_test"
    # What an outlet hangs on
    CIRCUIT_OVER = "circuit_over"
    ROTATION = "rotation"
    CONTACTOR = "contactor"
    # Interlocks
    INTERLOCK = "interlock"
    FIRE = "fire"
    WATER = "water"
    # What the gateway can't know
    SILENCE = "silence"
    INTERRUPTED = "interrupted"
    NO_LEASE = "no_lease"
    STOPPING = "stopping"
    STORAGE = "storage"
