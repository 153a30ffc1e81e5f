"""What stands in the messages between the guard and those who speak to it.

Views are what the guard shows; they are read leniently towards fields that a newer guard
may add, and strictly towards the type of each field that is known here. Energy is in mWh,
times in UTC milliseconds, and a value that was never measured is ``None``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from gateway.core.facts import Fact
from gateway.link.decode import Fields

MOST_VIEWS = 200
"""Outlets in one page of a snapshot or in one notification."""


class OutletState(StrEnum):
    """What an outlet is doing, as its samples show it."""

    OFF = "off"
    WAITING = "waiting"
    """It holds a lease, and a circuit that feeds it has no room."""
    STARTING = "starting"
    ON = "on"
    STOPPING = "stopping"
    CUT = "cut"
    LOCKED = "locked"
    UNKNOWN = "unknown"


class TargetKind(StrEnum):
    """How much a command is meant for."""

    OUTLET = "outlet"
    PILE = "pile"
    STATION = "station"
    CIRCUIT = "circuit"
    SITE = "site"


class Outcome(StrEnum):
    """How a command went for one outlet of its target."""

    DONE = "done"
    REFUSED = "refused"
    NOTHING_TO_DO = "nothing_to_do"


@dataclass(frozen=True, slots=True)
class Target:
    """What a command is meant for: an outlet, or all outlets of a pile, station or site."""

    kind: TargetKind
    id: str

    @property
    def scope(self) -> str:
        """Write the target as it stands in facts and locks: ``pile/n1``."""
        return f"{self.kind.value}/{self.id}"

    def to_json(self) -> dict[str, Any]:
        return {"kind": self.kind.value, "id": self.id}

    @staticmethod
    def read(fields: Fields) -> Target:
        """Read ``{kind, id}``; unknown fields are an error."""
        target = Target(fields.word("kind", TargetKind), fields.name("id"))
        fields.done()
        return target


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseView:
    """The lease an outlet is on under."""

    id: str
    request_id: str
    actor: str
    reason: str
    granted_utc_ms: int
    until_utc_ms: int
    energy_mwh: int | None = None
    """The lease's own limit."""
    power_w: float | None = None
    """The lease's own limit."""

    def to_json(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "request_id": self.request_id,
            "actor": self.actor,
            "reason": self.reason,
            "granted_utc_ms": self.granted_utc_ms,
            "until_utc_ms": self.until_utc_ms,
            "energy_mwh": self.energy_mwh,
            "power_w": self.power_w,
        }

    @staticmethod
    def read(fields: Fields) -> LeaseView:
        return LeaseView(
            id=fields.string("id"),
            request_id=fields.string("request_id"),
            actor=fields.string("actor"),
            reason=fields.string("reason"),
            granted_utc_ms=fields.integer("granted_utc_ms"),
            until_utc_ms=fields.integer("until_utc_ms"),
            energy_mwh=fields.integer_or_none("energy_mwh"),
            power_w=fields.number_or_none("power_w"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class LatchView:
    """Why an outlet is cut, since when, and who may release it."""

    reason: str
    rule: str
    release: str
    since_utc_ms: int

    def to_json(self) -> dict[str, Any]:
        return {
            "reason": self.reason,
            "rule": self.rule,
            "release": self.release,
            "since_utc_ms": self.since_utc_ms,
        }

    @staticmethod
    def read(fields: Fields) -> LatchView:
        return LatchView(
            reason=fields.string("reason"),
            rule=fields.string("rule"),
            release=fields.string("release"),
            since_utc_ms=fields.integer("since_utc_ms"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class LastFact:
    """The latest fact about an outlet."""

    seq: int
    kind: str
    reason: str
    utc_ms: int

    def to_json(self) -> dict[str, Any]:
        return {
            "seq": self.seq,
            "kind": self.kind,
            "reason": self.reason,
            "utc_ms": self.utc_ms,
        }

    @staticmethod
    def read(fields: Fields) -> LastFact:
        return LastFact(
            seq=fields.integer("seq"),
            kind=fields.string("kind"),
            reason=fields.string("reason"),
            utc_ms=fields.integer("utc_ms"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadView:
    """What an outlet that is on has plugged into it, as far as its samples tell."""

    kind: str
    """``nothing``, ``charger``, ``appliance`` or ``unknown``."""
    confidence: float
    """How sure that is, 0 to 1."""
    power_factor: float | None = None

    def to_json(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "confidence": self.confidence,
            "power_factor": self.power_factor,
        }

    @staticmethod
    def read(fields: Fields) -> LoadView:
        return LoadView(
            kind=fields.string("kind"),
            confidence=fields.number("confidence"),
            power_factor=fields.number_or_none("power_factor"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class OutletView:
    """One outlet as it is shown outside.

    Two views are equal when nothing but the age of their sample differs: age alone is not
    worth a message, and follows from ``sample_utc_ms``.
    """

    outlet: str
    name: str
    pile: str
    station: str
    state: OutletState
    relay_on: bool | None = None
    voltage_v: float | None = None
    current_a: float | None = None
    power_w: float | None = None
    temperature_c: float | None = None
    sample_utc_ms: int | None = None
    sample_age_ms: int | None = field(default=None, compare=False)
    stale: bool = True
    energy_mwh: int = 0
    """Of the present lease, or of the last one."""
    load: LoadView | None = None
    """While it is on."""
    lease: LeaseView | None = None
    latch: LatchView | None = None
    locks: tuple[str, ...] = ()
    """Scopes that are locked and hold this outlet: ``pile/n1``."""
    alarms: tuple[str, ...] = ()
    device_state: str = "unknown"
    last_fact: LastFact | None = None
    waits_for: str | None = None
    """The circuit on whose account its lease waits."""

    def to_json(self) -> dict[str, Any]:
        return {
            "outlet": self.outlet,
            "name": self.name,
            "pile": self.pile,
            "station": self.station,
            "state": self.state.value,
            "relay_on": self.relay_on,
            "voltage_v": self.voltage_v,
            "current_a": self.current_a,
            "power_w": self.power_w,
            "temperature_c": self.temperature_c,
            "sample_utc_ms": self.sample_utc_ms,
            "sample_age_ms": self.sample_age_ms,
            "stale": self.stale,
            "energy_mwh": self.energy_mwh,
            "load": self.load.to_json() if self.load else None,
            "lease": self.lease.to_json() if self.lease else None,
            "latch": self.latch.to_json() if self.latch else None,
            "locks": list(self.locks),
            "alarms": list(self.alarms),
            "device_state": self.device_state,
            "last_fact": self.last_fact.to_json() if self.last_fact else None,
            "waits_for": self.waits_for,
        }

    @staticmethod
    def from_json(value: object, path: str = "outlet") -> OutletView:
        """Read a view; raises CorrectInput with the field's path."""
        fields = Fields(value, path)
        load = fields.inner_or_none("load")
        lease = fields.inner_or_none("lease")
        latch = fields.inner_or_none("latch")
        last_fact = fields.inner_or_none("last_fact")
        return OutletView(
            outlet=fields.name("outlet"),
            name=fields.string("name"),
            pile=fields.string("pile"),
            station=fields.string("station"),
            state=fields.word("state", OutletState),
            relay_on=fields.boolean_or_none("relay_on"),
            voltage_v=fields.number_or_none("voltage_v"),
            current_a=fields.number_or_none("current_a"),
            power_w=fields.number_or_none("power_w"),
            temperature_c=fields.number_or_none("temperature_c"),
            sample_utc_ms=fields.integer_or_none("sample_utc_ms"),
            sample_age_ms=fields.integer_or_none("sample_age_ms"),
            stale=fields.boolean("stale"),
            energy_mwh=fields.integer("energy_mwh"),
            load=LoadView.read(load) if load else None,
            lease=LeaseView.read(lease) if lease else None,
            latch=LatchView.read(latch) if latch else None,
            locks=fields.texts("locks", 16),
            alarms=fields.texts("alarms", 64),
            device_state=fields.string("device_state"),
            last_fact=LastFact.read(last_fact) if last_fact else None,
            waits_for=fields.string_or_none("waits_for"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class BusView:
    """One line or connection as it is shown outside."""

    bus: str
    kind: str
    state: str
    detail: str = ""
    utilisation: float | None = None
    """Share of the time the wire is in use, 0 to 1."""
    cycle_ms: float | None = None
    """How long the last poll round took."""
    requests: int = 0
    timeouts: int = 0
    errors: dict[str, int] = field(default_factory=dict)
    """Wrong answers by kind."""

    def to_json(self) -> dict[str, Any]:
        return {
            "bus": self.bus,
            "kind": self.kind,
            "state": self.state,
            "detail": self.detail,
            "utilisation": self.utilisation,
            "cycle_ms": self.cycle_ms,
            "requests": self.requests,
            "timeouts": self.timeouts,
            "errors": dict(self.errors),
        }

    @staticmethod
    def from_json(value: object, path: str = "bus") -> BusView:
        """Read a view; raises CorrectInput with the field's path."""
        fields = Fields(value, path)
        errors = fields.inner("errors")
        return BusView(
            bus=fields.name("bus"),
            kind=fields.string("kind"),
            state=fields.string("state"),
            detail=fields.string("detail"),
            utilisation=fields.number_or_none("utilisation"),
            cycle_ms=fields.number_or_none("cycle_ms"),
            requests=fields.integer("requests"),
            timeouts=fields.integer("timeouts"),
            errors={kind: errors.integer(kind) for kind in fields.mapping("errors")},
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceView:
    """One device as it is shown outside."""

    device: str
    bus: str
    unit: int | None = None
    """Its Modbus unit."""
    topic: str | None = None
    """Its name in MQTT topics."""
    state: str
    detail: str = ""
    last_answer_age_ms: int | None = None

    def to_json(self) -> dict[str, Any]:
        return {
            "device": self.device,
            "bus": self.bus,
            "unit": self.unit,
            "topic": self.topic,
            "state": self.state,
            "detail": self.detail,
            "last_answer_age_ms": self.last_answer_age_ms,
        }

    @staticmethod
    def from_json(value: object, path: str = "device") -> DeviceView:
        """Read a view; raises CorrectInput with the field's path."""
        fields = Fields(value, path)
        return DeviceView(
            device=fields.name("device"),
            bus=fields.name("bus"),
            unit=fields.integer_or_none("unit"),
            topic=fields.string_or_none("topic"),
            state=fields.string("state"),
            detail=fields.string("detail"),
            last_answer_age_ms=fields.integer_or_none("last_answer_age_ms"),
        )


def fact_to_json(fact: Fact) -> dict[str, Any]:
    """Write a fact as it stands in messages."""
    return {
        "seq": fact.seq,
        "id": fact.id,
        "kind": fact.kind,
        "subject": fact.subject,
        "utc_ms": fact.utc_ms,
        "quality": fact.quality,
        "actor": fact.actor,
        "reason": fact.reason,
        "data": fact.data,
    }


def fact_from_json(value: object, path: str = "fact") -> Fact:
    """Read a fact; raises CorrectInput with the field's path."""
    fields = Fields(value, path)
    return Fact(
        seq=fields.integer("seq", low=1),
        id=fields.string("id"),
        kind=fields.string("kind"),
        subject=fields.string("subject"),
        utc_ms=fields.integer("utc_ms"),
        quality=fields.string("quality"),
        actor=fields.string("actor"),
        reason=fields.string("reason"),
        data=fields.mapping("data"),
    )
