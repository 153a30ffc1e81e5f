"""What serve keeps: facts taken over, commands, tokens."""

from __future__ import annotations

from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from gateway.storage.base import Base


class JournalRow(Base):
    """One of the guard's journals, and how far it was taken over."""

    __tablename__ = "journals"

    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    """From 1, which is there from the beginning; the highest is the one that is read now."""
    cursor_seq: Mapped[int]
    """The last seq whose effect stands in this database; 0 before the first."""
    cursor_fact_id: Mapped[str]
    """The id of that fact, so that another journal with the same numbers is noticed."""
    replaced_utc_ms: Mapped[int | None]
    """When another journal was found in its place."""


class EventRow(Base):
    """A fact of the guard, or one of serve's own, in the order in which it took effect."""

    __tablename__ = "events"
    __table_args__ = (
        UniqueConstraint("journal", "seq"),
        Index(None, "kind", "position"),
        Index(None, "subject", "position"),
    )

    position: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    """From 1, without gaps: what the API's cursors count."""
    journal: Mapped[int] = mapped_column(ForeignKey("journals.number"))
    seq: Mapped[int | None]
    """Its number in the guard's journal; none for serve's own."""
    id: Mapped[str] = mapped_column(unique=True)
    utc_ms: Mapped[int]
    quality: Mapped[str]
    kind: Mapped[str]
    subject: Mapped[str]
    actor: Mapped[str]
    reason: Mapped[str]
    data: Mapped[dict[str, Any]]


class TokenRow(Base):
    """Who may use the API. The token itself is not kept, only its hash."""

    __tablename__ = "tokens"
    __table_args__ = (CheckConstraint("role IN ('admin', 'operator', 'viewer')", name="role"),)

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    name: Mapped[str] = mapped_column(unique=True)
    role: Mapped[str]
    hash: Mapped[str] = mapped_column(unique=True)
    """SHA-256 of the token, in hex."""
    created_utc_ms: Mapped[int]
    expires_utc_ms: Mapped[int | None]
    revoked_utc_ms: Mapped[int | None]
    last_used_utc_ms: Mapped[int | None]


class CommandRow(Base):
    """Somebody's intent, and what became of it."""

    __tablename__ = "commands"
    __table_args__ = (
        UniqueConstraint("token_id", "idempotency_key"),
        CheckConstraint("action IN ('on', 'off', 'reset', 'lock', 'unlock')", name="action"),
        CheckConstraint(
            "state IN ('recorded', 'accepted', 'refused', 'succeeded', 'failed', 'unknown')",
            name="state",
        ),
        CheckConstraint(
            "(finished_utc_ms IS NOT NULL) = (state NOT IN ('recorded', 'accepted'))",
            name="finished",
        ),
        CheckConstraint("(for_s IS NOT NULL) = (action = 'on')", name="lease"),
        Index(None, "finished_utc_ms"),
        Index(None, "target_kind", "target_id", "id"),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    """UUID of version 7: sorts by time; the guard knows the command by it."""
    token_id: Mapped[int] = mapped_column(ForeignKey("tokens.id"))
    actor: Mapped[str]
    idempotency_key: Mapped[str | None]
    body_hash: Mapped[str]
    """SHA-256 of what was asked, in hex: the same key with another body is refused."""
    action: Mapped[str]
    target_kind: Mapped[str]
    target_id: Mapped[str]
    for_s: Mapped[float | None]
    energy_mwh: Mapped[int | None]
    power_w: Mapped[float | None]
    on_site: Mapped[bool]
    reason: Mapped[str]
    state: Mapped[str]
    code: Mapped[str]
    message: Mapped[str]
    outlets: Mapped[dict[str, Any]]
    """How each outlet fares: ``{outlet: {result, code, message, lease_id, until_utc_ms}}``."""
    created_utc_ms: Mapped[int]
    recorded_position: Mapped[int]
    """The last event when it was recorded: later ones may be its effects."""
    answered_utc_ms: Mapped[int | None]
    finished_utc_ms: Mapped[int | None]
