"""What families of plugs say and are told. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple, Protocol


class WrongPayload(Exception):
    """A message that is not what its topic promises. ``kind`` is a word for counters."""

    def __init__(self, kind: str, detail: str) -> None:
        super().__init__(detail)
        self.kind = kind
        """One of ``size``, ``text``, ``json``, ``depth``, ``shape``."""


class Reading(NamedTuple):
    """What one message says about one outlet of a device; None: it said nothing about it."""

    channel: int
    """From 1."""
    voltage_v: float | None = None
    current_a: float | None = None
    power_w: float | None = None
    power_factor: float | None = None
    frequency_hz: float | None = None
    energy_mwh: int | None = None
    temperature_c: float | None = None
    relay_on: bool | None = None
    input_on: bool | None = None
    alarm: bool | None = None

    @property
    def says_something(self) -> bool:
        """Whether it holds any value."""
        return any(value is not None for value in self[1:])


class Out(NamedTuple):
    """A message to be sent; never retained."""

    topic: str
    payload: str


class Ack(NamedTuple):
    """A device's answer to the command with the number ``ref``."""

    ref: int
    done: bool
    detail: str = ""


class Heard(NamedTuple):
    """Everything that one message says."""

    readings: tuple[Reading, ...] = ()
    online: bool | None = None
    """Whether the device is there, if the message was about that."""
    ack: Ack | None = None
    answers: int | None = None
    """The number of the question that it answers, where answers carry one."""
    source: str | None = None
    """Who sent it, where that is told: two devices may have the same topics by mistake."""
    stays_off: bool | None = None
    """Whether it stays off when the mains come back, where it says so."""
    replies: tuple[Out, ...] = ()
    """What it has to be told now: a setting of it that could leave it on, or hide that it is."""
    faults: tuple[str, ...] = ()
    """Values that could not be taken, one line each; the others were."""


Decoder = Callable[[bytes], Heard]
"""Decodes the payload of one topic. Raises WrongPayload and nothing else."""


class Codec(Protocol):
    """The topics and payloads of one device. ``ref`` numbers what is sent."""

    @property
    def topics(self) -> Mapping[str, Decoder]:
        """What to subscribe to, and how to read it. No wildcards."""
        ...

    @property
    def acknowledges(self) -> bool:
        """Whether commands are answered by number; else the relay's state is the answer."""
        ...

    @property
    def keeps_safely(self) -> bool:
        """Whether ``keep`` can't switch an outlet on."""
        ...

    @property
    def repeats(self) -> bool:
        """Whether messages repeat old values beside new ones."""
        ...

    @property
    def holds_relay(self) -> bool:
        """Whether a relay's state is told when it changes, and by the broker to who comes later.

        Then what was told last holds at each moment in which the plug says anything else.
        """
        ...

    def on(self, channel: int, for_s: int | None, ref: int) -> tuple[Out, ...]:
        """Switch on, to go off by itself after ``for_s``."""
        ...

    def off(self, channel: int, ref: int) -> tuple[Out, ...]: ...

    def keep(self, channel: int, for_s: int, ref: int) -> tuple[Out, ...]:
        """Set the timer of an outlet that is on anew."""
        ...

    def ask(self, ref: int) -> tuple[Out, ...]:
        """Ask for all values; nothing where a device can't be asked."""
        ...

    def prepare(self, ref: int) -> tuple[Out, ...]:
        """Ask for the relays' states and the power-on state, once after it came online."""
        ...
