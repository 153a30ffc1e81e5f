"""The parameters and the answers of the guard's methods.

Parameters are read strictly: a field of the wrong type, out of its bounds or not known is
an error that names its path. ``to_json`` of a request leaves out what was not given.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from gateway.link.circuits import CircuitView
from gateway.link.decode import Fields, wrong
from gateway.link.interlocks import InterlockView
from gateway.link.messages import (
    MOST_VIEWS,
    BusView,
    DeviceView,
    Outcome,
    OutletView,
    Target,
)

LONGEST_LEASE_S = 86_400
"""As long as the longest ``longest_time`` that limits allow."""
MOST_ENERGY_WH = 1_000_000
MOST_POWER_W = 30_000
LONGEST_ACTOR = 128
LONGEST_REASON = 200


class Method(StrEnum):
    """Every method of the guard's socket."""

    HELLO = "hello"
    ON = "on"
    RENEW = "renew"
    OFF = "off"
    RESET = "reset"
    LOCK = "lock"
    UNLOCK = "unlock"
    LIMITS = "limits"
    SNAPSHOT = "snapshot"
    BUSES = "buses"
    CIRCUITS = "circuits"
    INTERLOCKS = "interlocks"
    METRICS = "metrics"
    FOLLOW = "follow"


class Notice(StrEnum):
    """Every notification the guard sends to those who follow."""

    FACT = "fact"
    OUTLETS = "outlets"
    DROPPED = "dropped"
    """The last line before the guard closes a connection; ``message`` says why."""


def read_nothing(params: object) -> None:
    """Check the parameters of a method that has none."""
    Fields(params).done()


def _given(values: Mapping[str, object]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


@dataclass(frozen=True, slots=True, kw_only=True)
class OnRequest:
    """Switch an outlet on, under a lease."""

    outlet: str
    for_s: float
    actor: str
    reason: str
    energy_wh: float | None = None
    power_w: float | None = None
    request_id: str | None = None
    """Asked again with the same one, the first answer is given again."""
    before_mono_ms: int | None = None
    """Monotonic time of this machine after which nobody waits for the answer any more: what was
    asked of a guard that hung is not to switch on when it goes on."""

    def to_json(self) -> dict[str, Any]:
        return _given(
            {
                "outlet": self.outlet,
                "for_s": self.for_s,
                "actor": self.actor,
                "reason": self.reason,
                "energy_wh": self.energy_wh,
                "power_w": self.power_w,
                "request_id": self.request_id,
                "before_mono_ms": self.before_mono_ms,
            }
        )

    @staticmethod
    def from_json(params: object) -> OnRequest:
        fields = Fields(params)
        request = OnRequest(
            outlet=fields.name("outlet"),
            for_s=fields.number("for_s", 1, LONGEST_LEASE_S),
            actor=fields.text("actor", shortest=1, longest=LONGEST_ACTOR),
            reason=fields.text("reason", shortest=1, longest=LONGEST_REASON),
            energy_wh=fields.number_or_none("energy_wh", 0.001, MOST_ENERGY_WH),
            power_w=fields.number_or_none("power_w", 0.1, MOST_POWER_W),
            request_id=fields.token_or_none("request_id"),
            before_mono_ms=fields.integer_or_none("before_mono_ms", 0),
        )
        fields.done()
        return request


@dataclass(frozen=True, slots=True, kw_only=True)
class RenewRequest:
    """Let a lease last ``for_s`` from now on."""

    lease_id: str
    for_s: float
    actor: str

    def to_json(self) -> dict[str, Any]:
        return {"lease_id": self.lease_id, "for_s": self.for_s, "actor": self.actor}

    @staticmethod
    def from_json(params: object) -> RenewRequest:
        fields = Fields(params)
        request = RenewRequest(
            lease_id=fields.token("lease_id"),
            for_s=fields.number("for_s", 1, LONGEST_LEASE_S),
            actor=fields.text("actor", shortest=1, longest=LONGEST_ACTOR),
        )
        fields.done()
        return request


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetRequest:
    """Off, reset, lock or unlock of an outlet, a pile, a station or the site."""

    target: Target
    actor: str
    reason: str
    request_id: str | None = None
    on_site: bool = False
    """Of a reset only: the person says that they stand at the outlet."""

    def to_json(self) -> dict[str, Any]:
        return _given(
            {
                "target": self.target.to_json(),
                "actor": self.actor,
                "reason": self.reason,
                "request_id": self.request_id,
                "on_site": True if self.on_site else None,
            }
        )

    @staticmethod
    def from_json(params: object, *, reset: bool = False) -> TargetRequest:
        fields = Fields(params)
        request = TargetRequest(
            target=Target.read(fields.inner("target")),
            actor=fields.text("actor", shortest=1, longest=LONGEST_ACTOR),
            reason=fields.text("reason", shortest=1, longest=LONGEST_REASON),
            request_id=fields.token_or_none("request_id"),
            on_site=fields.boolean_or("on_site", default=False) if reset else False,
        )
        fields.done()
        return request


@dataclass(frozen=True, slots=True)
class LimitsRequest:
    """Ask for the limits in force at an outlet."""

    outlet: str

    @staticmethod
    def from_json(params: object) -> LimitsRequest:
        fields = Fields(params)
        request = LimitsRequest(fields.name("outlet"))
        fields.done()
        return request


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotRequest:
    """Ask for a page of outlets: those named, or those that come after one."""

    outlets: tuple[str, ...] | None = None
    after: str | None = None
    limit: int = MOST_VIEWS

    @staticmethod
    def from_json(params: object) -> SnapshotRequest:
        fields = Fields(params)
        request = SnapshotRequest(
            outlets=fields.names("outlets", MOST_VIEWS) if fields.given("outlets") else None,
            after=fields.name_or_none("after"),
            limit=fields.integer("limit", 1, MOST_VIEWS) if fields.given("limit") else MOST_VIEWS,
        )
        fields.done()
        if request.outlets is not None and request.after is not None:
            raise wrong("after", "goes without outlets: name outlets, or page through all")
        return request


@dataclass(frozen=True, slots=True, kw_only=True)
class FollowRequest:
    """Ask for facts after one, and for views of outlets as they change."""

    facts_after: int | None = None
    """Without it, facts from now on."""
    views: bool = False

    @staticmethod
    def from_json(params: object) -> FollowRequest:
        fields = Fields(params)
        request = FollowRequest(
            facts_after=fields.integer_or_none("facts_after", low=0),
            views=fields.boolean_or("views", default=False),
        )
        fields.done()
        return request


@dataclass(frozen=True, slots=True, kw_only=True)
class HelloAnswer:
    """Who the guard is."""

    version: str
    site: str
    boot_id: str
    pid: int
    seq: int
    """Of the last fact written."""

    def to_json(self) -> dict[str, Any]:
        return {
            "version": self.version,
            "site": self.site,
            "boot_id": self.boot_id,
            "pid": self.pid,
            "seq": self.seq,
        }

    @staticmethod
    def from_json(value: object) -> HelloAnswer:
        fields = Fields(value)
        return HelloAnswer(
            version=fields.string("version"),
            site=fields.string("site"),
            boot_id=fields.string("boot_id"),
            pid=fields.integer("pid"),
            seq=fields.integer("seq"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class OnAnswer:
    """The lease is written down and the ON is queued; the fact ``outlet.on`` is success."""

    lease_id: str
    until_utc_ms: int
    request_id: str
    duplicate: bool
    waits_for: str | None = None
    """The circuit that has no room for it yet; None: it is told to go on."""

    def to_json(self) -> dict[str, Any]:
        return {
            "lease_id": self.lease_id,
            "until_utc_ms": self.until_utc_ms,
            "request_id": self.request_id,
            "duplicate": self.duplicate,
            **_given({"waits_for": self.waits_for}),
        }

    @staticmethod
    def from_json(value: object) -> OnAnswer:
        fields = Fields(value)
        return OnAnswer(
            lease_id=fields.string("lease_id"),
            until_utc_ms=fields.integer("until_utc_ms"),
            request_id=fields.string("request_id"),
            duplicate=fields.boolean("duplicate"),
            waits_for=fields.string_or_none("waits_for"),
        )


@dataclass(frozen=True, slots=True)
class RenewAnswer:
    """Until when the lease lasts now."""

    until_utc_ms: int

    def to_json(self) -> dict[str, Any]:
        return {"until_utc_ms": self.until_utc_ms}

    @staticmethod
    def from_json(value: object) -> RenewAnswer:
        return RenewAnswer(Fields(value).integer("until_utc_ms"))


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a command went for one outlet."""

    outlet: str
    result: Outcome
    message: str | None = None

    def to_json(self) -> dict[str, Any]:
        return _given({"outlet": self.outlet, "result": self.result.value, "message": self.message})

    @staticmethod
    def from_json(value: object, path: str = "outlets[0]") -> Verdict:
        fields = Fields(value, path)
        return Verdict(
            fields.name("outlet"), fields.word("result", Outcome), fields.string_or_none("message")
        )


def verdicts_from_json(value: object) -> tuple[Verdict, ...]:
    """Read the answer of off, reset, lock and unlock."""
    rows = Fields(value).array("outlets", 1_000_000)
    return tuple(Verdict.from_json(row, f"outlets[{index}]") for index, row in enumerate(rows))


@dataclass(frozen=True, slots=True)
class SnapshotPage:
    """One page of outlets."""

    outlets: tuple[OutletView, ...]
    next: str | None
    """What ``after`` must be for the next page; None: this was the last."""
    seq: int

    @staticmethod
    def from_json(value: object) -> SnapshotPage:
        fields = Fields(value)
        rows = fields.array("outlets", MOST_VIEWS)
        views = (OutletView.from_json(row, f"outlets[{i}]") for i, row in enumerate(rows))
        return SnapshotPage(tuple(views), fields.name_or_none("next"), fields.integer("seq"))


@dataclass(frozen=True, slots=True)
class CircuitsAnswer:
    """All circuits of the site, each after its parent."""

    circuits: tuple[CircuitView, ...]

    @staticmethod
    def from_json(value: object) -> CircuitsAnswer:
        rows = Fields(value).array("circuits", 100_000)
        views = (CircuitView.from_json(row, f"circuits[{i}]") for i, row in enumerate(rows))
        return CircuitsAnswer(tuple(views))


@dataclass(frozen=True, slots=True)
class InterlocksAnswer:
    """All interlocks of the site, in its order."""

    interlocks: tuple[InterlockView, ...]

    @staticmethod
    def from_json(value: object) -> InterlocksAnswer:
        rows = Fields(value).array("interlocks", 10_000)
        views = (InterlockView.from_json(row, f"interlocks[{i}]") for i, row in enumerate(rows))
        return InterlocksAnswer(tuple(views))


@dataclass(frozen=True, slots=True)
class BusesAnswer:
    """All buses and devices of the site."""

    buses: tuple[BusView, ...]
    devices: tuple[DeviceView, ...]

    def to_json(self) -> dict[str, Any]:
        return {
            "buses": [bus.to_json() for bus in self.buses],
            "devices": [device.to_json() for device in self.devices],
        }

    @staticmethod
    def from_json(value: object) -> BusesAnswer:
        fields = Fields(value)
        buses = fields.array("buses", 100_000)
        devices = fields.array("devices", 100_000)
        return BusesAnswer(
            tuple(BusView.from_json(row, f"buses[{i}]") for i, row in enumerate(buses)),
            tuple(DeviceView.from_json(row, f"devices[{i}]") for i, row in enumerate(devices)),
        )
