"""Settings of the processes as the program sees them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class FlightSettings:
    """What the flight recorder keeps."""

    before_s: int = 120
    after_s: int = 60
    max_mb: int = 64
    retention_days: int = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardSettings:
    """Settings of the guard process."""

    socket_group: str | None = None
    """Members of this group may use the control socket."""
    journal_max_mb: int = 512
    minutes_retention_days: int = 30
    flights: FlightSettings = field(default_factory=FlightSettings)


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsFiles:
    """Certificate chain and key, PEM."""

    cert: Path
    key: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeSettings:
    """Settings of the serve process."""

    host: str = "127.0.0.1"
    port: int = 8_480
    database: str = "sqlite:///serve.db"
    """URL; a relative SQLite file lies in the state directory."""
    tls: TlsFiles | None = None
    events_retention_days: int = 400


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerSettings:
    """The embedded broker."""

    host: str
    port: int
    users_file: Path | None = None
    """Lines of ``name:password-hash``."""
    tls: TlsFiles | None = None
