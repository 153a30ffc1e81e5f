"""Facts taken over, commands, tokens."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_JSON = sa.JSON().with_variant(JSONB(), "postgresql")


def upgrade() -> None:
    """Create the first tables."""
    _journals()
    _events()
    _tokens()
    _commands()


def _journals() -> None:
    journals = op.create_table(
        "journals",
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("cursor_seq", sa.BigInteger(), nullable=False),
        sa.Column("cursor_fact_id", sa.Text(), nullable=False),
        sa.Column("replaced_utc_ms", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("number", name="pk_journals"),
    )
    op.bulk_insert(journals, [{"number": 1, "cursor_seq": 0, "cursor_fact_id": ""}])


def _events() -> None:
    op.create_table(
        "events",
        sa.Column("position", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("journal", sa.BigInteger(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=True),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("utc_ms", sa.BigInteger(), nullable=False),
        sa.Column("quality", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("data", _JSON, nullable=False),
        sa.PrimaryKeyConstraint("position", name="pk_events"),
        sa.ForeignKeyConstraint(["journal"], ["journals.number"], name="fk_events_journal"),
        sa.UniqueConstraint("journal", "seq", name="uq_events_journal_seq"),
        sa.UniqueConstraint("id", name="uq_events_id"),
    )
    op.create_index("ix_events_kind_position", "events", ["kind", "position"])
    op.create_index("ix_events_subject_position", "events", ["subject", "position"])


def _tokens() -> None:
    op.create_table(
        "tokens",
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("hash", sa.Text(), nullable=False),
        sa.Column("created_utc_ms", sa.BigInteger(), nullable=False),
        sa.Column("expires_utc_ms", sa.BigInteger(), nullable=True),
        sa.Column("revoked_utc_ms", sa.BigInteger(), nullable=True),
        sa.Column("last_used_utc_ms", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_tokens"),
        sa.UniqueConstraint("name", name="uq_tokens_name"),
        sa.UniqueConstraint("hash", name="uq_tokens_hash"),
        sa.CheckConstraint("role IN ('admin', 'operator', 'viewer')", name=op.f("ck_tokens_role")),
    )


def _commands() -> None:
    op.create_table(
        "commands",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("token_id", sa.BigInteger(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("idempotency_key", sa.Text(), nullable=True),
        sa.Column("body_hash", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("target_kind", sa.Text(), nullable=False),
        sa.Column("target_id", sa.Text(), nullable=False),
        sa.Column("for_s", sa.Double(), nullable=True),
        sa.Column("energy_mwh", sa.BigInteger(), nullable=True),
        sa.Column("power_w", sa.Double(), nullable=True),
        sa.Column("on_site", sa.Boolean(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("outlets", _JSON, nullable=False),
        sa.Column("created_utc_ms", sa.BigInteger(), nullable=False),
        sa.Column("recorded_position", sa.BigInteger(), nullable=False),
        sa.Column("answered_utc_ms", sa.BigInteger(), nullable=True),
        sa.Column("finished_utc_ms", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_commands"),
        sa.ForeignKeyConstraint(["token_id"], ["tokens.id"], name="fk_commands_token_id"),
        sa.UniqueConstraint(
            "token_id", "idempotency_key", name="uq_commands_token_id_idempotency_key"
        ),
        sa.CheckConstraint(
            "action IN ('on', 'off', 'reset', 'lock', 'unlock')", name=op.f("ck_commands_action")
        ),
        sa.CheckConstraint(
            "state IN ('recorded', 'accepted', 'refused', 'succeeded', 'failed', 'unknown')",
            name=op.f("ck_commands_state"),
        ),
        sa.CheckConstraint(
            "(finished_utc_ms IS NOT NULL) = (state NOT IN ('recorded', 'accepted'))",
            name=op.f("ck_commands_finished"),
        ),
        sa.CheckConstraint("(for_s IS NOT NULL) = (action = 'on')", name=op.f("ck_commands_lease")),
    )
    op.create_index("ix_commands_finished_utc_ms", "commands", ["finished_utc_ms"])
    op.create_index(
        "ix_commands_target_kind_target_id_id", "commands", ["target_kind", "target_id", "id"]
    )
