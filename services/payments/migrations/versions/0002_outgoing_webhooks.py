"""Webhook endpoints, deliveries to them, and the log of every try.

Revision: 0002
Follows: 0001
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    _create_endpoints()
    _create_deliveries()
    _create_tries()


def _create_endpoints() -> None:
    op.create_table(
        "webhook_endpoints",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("url", sa.Text, nullable=False),
        sa.Column("description", sa.Text),
        sa.Column("enabled_events", JSONB, nullable=False),
        sa.Column("metadata", JSONB, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("disabled_reason", sa.Text),
        sa.Column("secret", sa.Text, nullable=False),
        sa.Column("old_secret", sa.Text),
        sa.Column("old_secret_until", _MOMENT),
        sa.Column("lane", sa.Text, nullable=False),
        sa.Column("failing_since", _MOMENT),
        sa.Column("created_at", _MOMENT, nullable=False),
        sa.CheckConstraint("status IN ('enabled', 'disabled')", name="status"),
        sa.CheckConstraint("lane IN ('proven', 'unproven', 'failing')", name="lane"),
        sa.CheckConstraint("(lane = 'failing') = (failing_since IS NOT NULL)", name="failing_since_then"),
        sa.CheckConstraint("(old_secret IS NULL) = (old_secret_until IS NULL)", name="old_secret_ends"),
        sa.CheckConstraint("(status = 'disabled') = (disabled_reason IS NOT NULL)", name="disabled_has_reason"),
    )
    op.create_index("ix_webhook_endpoints_owner_created_at_id", "webhook_endpoints", ["owner", "created_at", "id"])


def _create_deliveries() -> None:
    op.create_table(
        "webhook_deliveries",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("event_id", sa.Uuid, sa.ForeignKey("events.id"), nullable=False),
        sa.Column("endpoint_id", sa.Uuid, sa.ForeignKey("webhook_endpoints.id", ondelete="CASCADE"), nullable=False),
        sa.Column("ordinal", sa.Integer, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("tries", sa.Integer, nullable=False),
        sa.Column("next_at", _MOMENT),
        sa.Column("lease_token", sa.Uuid),
        sa.Column("created_at", _MOMENT, nullable=False),
        sa.Column("ended_at", _MOMENT),
        sa.CheckConstraint("state IN ('pending', 'delivered', 'exhausted')", name="state"),
        sa.CheckConstraint("(state = 'pending') = (next_at IS NOT NULL)", name="pending_is_due"),
        sa.CheckConstraint("(state = 'pending') = (ended_at IS NULL)", name="ended_has_moment"),
        sa.UniqueConstraint("event_id", "endpoint_id", "ordinal"),
    )
    op.create_index(
        "ix_webhook_deliveries_endpoint_id_created_at_id", "webhook_deliveries", ["endpoint_id", "created_at", "id"]
    )
    op.create_index(
        "ix_webhook_deliveries_due",
        "webhook_deliveries",
        ["endpoint_id", "next_at"],
        postgresql_where=sa.text("next_at IS NOT NULL"),
    )


def _create_tries() -> None:
    op.create_table(
        "webhook_tries",
        sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
        sa.Column("delivery_id", sa.Uuid, sa.ForeignKey("webhook_deliveries.id", ondelete="CASCADE"), nullable=False),
        sa.Column("tried_at", _MOMENT, nullable=False),
        sa.Column("duration_ms", sa.Integer, nullable=False),
        sa.Column("status", sa.Integer),
        sa.Column("error", sa.Text),
        sa.Column("snippet", sa.Text, nullable=False),
        sa.CheckConstraint("char_length(snippet) <= 256", name="snippet_bounded"),
        sa.CheckConstraint("status IS NOT NULL OR error IS NOT NULL", name="outcome_known"),
    )
    op.create_index("ix_webhook_tries_delivery_id_id", "webhook_tries", ["delivery_id", "id"])


def downgrade() -> None:
    for table in ("webhook_tries", "webhook_deliveries", "webhook_endpoints"):
        op.drop_table(table)
