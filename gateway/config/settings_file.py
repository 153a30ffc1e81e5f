"""Settings of the processes as people write them into the site file."""

from __future__ import annotations

import ipaddress
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from gateway.config.patterns import GROUP_PATTERN
from gateway.config.profile import FileModel
from gateway.config.site_words import LOCAL_HOST, FilePath

LISTEN_FORM: dict[str, Any] = {"pattern": r":[0-9]{1,5}$"}
"""What an editor can check of it; the rest is ``split_listen``."""


def _database(url: str) -> str:
    if not url.startswith(("sqlite:///", "postgresql://")):
        raise ValueError("expected a URL that begins with sqlite:/// or postgresql://")
    return url


def split_listen(listen: str) -> tuple[str, int]:
    """Take ``host:port`` or ``[host]:port`` apart. Raises ValueError with a line for people."""
    host, colon, port = listen.rpartition(":")
    host = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if not colon or not host or not port.isascii() or not port.isdigit() or int(port) > 0xFFFF:
        raise ValueError(f"expected host:port such as 127.0.0.1:8480, not {listen[:60]!r}")
    return host, int(port)


def is_loopback(host: str) -> bool:
    """Say whether only this machine can reach ``host``."""
    if host.lower() == LOCAL_HOST:
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _listen(listen: str) -> str:
    split_listen(listen)
    return listen


class FlightsItem(FileModel):
    """Flight recorder: samples before and after every end, cut-off and alarm."""

    before_s: int = Field(default=120, ge=10, le=600)
    """How long before it samples are kept, in s."""
    after_s: int = Field(default=60, ge=5, le=600)
    """How long after it, in s."""
    max_mb: int = Field(default=64, ge=1, le=100_000)
    """Largest size of all records, in MB; it counts towards journal_max_mb."""
    retention_days: int = Field(default=30, ge=1, le=3_650)
    """How long records are kept, in days."""


class GuardItem(FileModel):
    """Settings of the guard process."""

    socket_group: str | None = Field(default=None, pattern=GROUP_PATTERN)
    """Members of this group may use the control socket."""
    journal_max_mb: int = Field(default=512, ge=16, le=1_000_000)
    """Largest size of the journal, in MB."""
    minutes_retention_days: int = Field(default=30, ge=1, le=3_650)
    """How long minute aggregates are kept, in days."""
    flights: FlightsItem | None = None
    """Flight recorder."""


class TlsItem(FileModel):
    """Certificate and key of a server, PEM; relative to the site file."""

    cert: FilePath
    """Certificate chain."""
    key: FilePath
    """Private key."""


class ServeItem(FileModel):
    """Settings of the serve process."""

    listen: Annotated[str, AfterValidator(_listen)] = Field(
        default="127.0.0.1:8480",
        examples=["127.0.0.1:8480", "[::1]:8480"],
        json_schema_extra=LISTEN_FORM,
    )
    """Address and port of the API; other than loopback only with tls."""
    database: Annotated[str, AfterValidator(_database)] = Field(
        default="sqlite:///serve.db",
        examples=["sqlite:///serve.db"],
        json_schema_extra={"pattern": "^(sqlite:///|postgresql://)"},
    )
    """URL of the business database; a relative SQLite file lies in the state directory."""
    tls: TlsItem | None = None
    """Certificate and key; without them the API speaks plain HTTP, on loopback only."""
    events_retention_days: int = Field(default=400, ge=7, le=3_650)
    """How long events and finished commands are kept, in days."""


class BrokerItem(FileModel):
    """The embedded MQTT broker."""

    listen: Annotated[str, AfterValidator(_listen)] = Field(
        default="127.0.0.1:1883", examples=["127.0.0.1:1883"], json_schema_extra=LISTEN_FORM
    )
    """Address and port; other than loopback only with tls or users_file."""
    users_file: FilePath | None = None
    """Lines of name:password-hash; relative to the site file. Without it anybody may connect."""
    tls: TlsItem | None = None
    """Certificate and key of the broker."""
