"""Intents, attempts, refunds, payouts, merchants, events, and the inbox of providers' webhooks."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

from ledgerlink_kit.migrations import create_kit_tables, drop_kit_tables

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    create_kit_tables(op)
    op.create_table(
        "events",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("object_id", sa.Text(), nullable=False),
        sa.Column("object", JSONB(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("merchant_id", sa.Uuid(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("fanned_out_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_events")),
    )
    op.create_index(op.f("ix_events_created_at_id"), "events", ["created_at", "id"], unique=False)
    op.create_index(
        op.f("ix_events_merchant_id_created_at_id"), "events", ["merchant_id", "created_at", "id"], unique=False
    )
    op.create_index(op.f("ix_events_owner_created_at_id"), "events", ["owner", "created_at", "id"], unique=False)
    op.create_index(
        "ix_events_waiting",
        "events",
        ["created_at", "id"],
        unique=False,
        postgresql_where=sa.text("fanned_out_at IS NULL"),
    )
    op.create_table(
        "merchants",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=True),
        sa.Column("email", sa.Text(), nullable=True),
        sa.Column("country", sa.Text(), nullable=False),
        sa.Column("default_currency", sa.Text(), nullable=False),
        sa.Column("external_account", sa.Text(), nullable=False),
        sa.Column("metadata", JSONB(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_merchants")),
    )
    op.create_index(op.f("ix_merchants_created_at_id"), "merchants", ["created_at", "id"], unique=False)
    op.create_index(op.f("ix_merchants_owner_created_at_id"), "merchants", ["owner", "created_at", "id"], unique=False)
    op.create_table(
        "provider_events",
        sa.Column("connector", sa.Text(), nullable=False),
        sa.Column("event_id", sa.Text(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=True),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("occurred_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("outcome IN ('woke', 'final', 'unmatched')", name=op.f("ck_provider_events_outcome")),
        sa.PrimaryKeyConstraint("connector", "event_id", name=op.f("pk_provider_events")),
    )
    op.create_table(
        "intents",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("destination", sa.Text(), nullable=False),
        sa.Column("merchant_id", sa.Uuid(), nullable=True),
        sa.Column("capture_method", sa.Text(), nullable=False),
        sa.Column("payment_method", sa.Text(), nullable=True),
        sa.Column("exchange_currency", sa.Text(), nullable=True),
        sa.Column("exchange_minor", sa.BigInteger(), nullable=True),
        sa.Column("exchange_refunded_minor", sa.BigInteger(), nullable=False),
        sa.Column("unlimited", sa.Boolean(), nullable=False),
        sa.Column("captured_minor", sa.BigInteger(), nullable=False),
        sa.Column("capturable_minor", sa.BigInteger(), nullable=False),
        sa.Column("refunded_minor", sa.BigInteger(), nullable=False),
        sa.Column("latest_attempt", sa.Uuid(), nullable=True),
        sa.Column("review_case", sa.Text(), nullable=True),
        sa.Column("last_error", JSONB(), nullable=True),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("metadata", JSONB(), nullable=False),
        sa.Column("canceled_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("cancellation_reason", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "(merchant_id IS NOT NULL) = (left(destination, 5) = 'acct_')", name=op.f("ck_intents_merchant_named")
        ),
        sa.CheckConstraint(
            "cancellation_reason IN ('duplicate', 'fraudulent', 'requested_by_customer', 'abandoned')",
            name=op.f("ck_intents_cancellation_reason"),
        ),
        sa.CheckConstraint("capture_method IN ('automatic', 'manual')", name=op.f("ck_intents_capture_method")),
        sa.CheckConstraint(
            "state <> 'succeeded' OR captured_minor > 0", name=op.f("ck_intents_succeeded_means_captured")
        ),
        sa.CheckConstraint(
            "state IN ('requires_payment_method', 'requires_confirmation', 'requires_action', 'processing', "
            "'requires_capture', 'succeeded', 'canceled')",
            name=op.f("ck_intents_state"),
        ),
        sa.CheckConstraint(
            "(exchange_currency IS NULL) = (exchange_minor IS NULL)", name=op.f("ck_intents_exchange_whole")
        ),
        sa.CheckConstraint("amount_minor BETWEEN 1 AND 9007199254740991", name=op.f("ck_intents_amount_minor")),
        sa.CheckConstraint("capturable_minor BETWEEN 0 AND 9007199254740991", name=op.f("ck_intents_capturable_minor")),
        sa.CheckConstraint(
            "captured_minor + capturable_minor <= amount_minor", name=op.f("ck_intents_captured_at_most_agreed")
        ),
        sa.CheckConstraint("captured_minor BETWEEN 0 AND 9007199254740991", name=op.f("ck_intents_captured_minor")),
        sa.CheckConstraint("exchange_minor BETWEEN 1 AND 9007199254740991", name=op.f("ck_intents_exchange_minor")),
        sa.CheckConstraint(
            "exchange_refunded_minor BETWEEN 0 AND 9007199254740991", name=op.f("ck_intents_exchange_refunded_minor")
        ),
        sa.CheckConstraint("refunded_minor <= captured_minor", name=op.f("ck_intents_refunded_at_most_captured")),
        sa.CheckConstraint("refunded_minor BETWEEN 0 AND 9007199254740991", name=op.f("ck_intents_refunded_minor")),
        sa.ForeignKeyConstraint(["merchant_id"], ["merchants.id"], name=op.f("fk_intents_merchant_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_intents")),
        postgresql_with={"fillfactor": "80"},
    )
    op.create_index(op.f("ix_intents_created_at_id"), "intents", ["created_at", "id"], unique=False)
    op.create_index(
        op.f("ix_intents_merchant_id_created_at_id"), "intents", ["merchant_id", "created_at", "id"], unique=False
    )
    op.create_index(op.f("ix_intents_owner_created_at_id"), "intents", ["owner", "created_at", "id"], unique=False)
    op.create_table(
        "payouts",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("merchant_id", sa.Uuid(), nullable=False),
        sa.Column("connector", sa.Text(), nullable=False),
        sa.Column("destination", sa.Text(), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("reserved", sa.Boolean(), nullable=False),
        sa.Column("posted", sa.Boolean(), nullable=False),
        sa.Column("late", sa.Boolean(), nullable=False),
        sa.Column("reference", sa.Text(), nullable=True),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("failure_code", sa.Text(), nullable=True),
        sa.Column("metadata", JSONB(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("next_action_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("lease_token", sa.Uuid(), nullable=True),
        sa.Column("tries", sa.Integer(), server_default="0", nullable=False),
        sa.CheckConstraint("NOT late OR state = 'failed'", name=op.f("ck_payouts_late_means_failed")),
        sa.CheckConstraint(
            "state IN ('created', 'in_transit', 'paid', 'failed', 'unknown')", name=op.f("ck_payouts_state")
        ),
        sa.CheckConstraint("amount_minor BETWEEN 1 AND 9007199254740991", name=op.f("ck_payouts_amount_minor")),
        sa.ForeignKeyConstraint(["merchant_id"], ["merchants.id"], name=op.f("fk_payouts_merchant_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_payouts")),
    )
    op.create_index(op.f("ix_payouts_created_at_id"), "payouts", ["created_at", "id"], unique=False)
    op.create_index(
        "ix_payouts_due",
        "payouts",
        ["next_action_at"],
        unique=False,
        postgresql_where=sa.text("next_action_at IS NOT NULL"),
    )
    op.create_index(
        op.f("ix_payouts_merchant_id_created_at_id"), "payouts", ["merchant_id", "created_at", "id"], unique=False
    )
    op.create_index(
        "uq_payouts_reserving",
        "payouts",
        ["merchant_id", "currency"],
        unique=True,
        postgresql_where=sa.text("state = 'created' AND reserved IS false"),
    )
    op.create_table(
        "attempts",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("intent_id", sa.Uuid(), nullable=False),
        sa.Column("connector", sa.Text(), nullable=False),
        sa.Column("payment_method", sa.Text(), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("capture", sa.Boolean(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("operation", sa.Text(), nullable=False),
        sa.Column("operations", sa.Integer(), nullable=False),
        sa.Column("operation_minor", sa.BigInteger(), nullable=False),
        sa.Column("captured_minor", sa.BigInteger(), nullable=False),
        sa.Column("posted", sa.Boolean(), nullable=False),
        sa.Column("reference", sa.Text(), nullable=True),
        sa.Column("case_id", sa.Text(), nullable=True),
        sa.Column("resolution", sa.Text(), nullable=True),
        sa.Column("degraded", sa.Boolean(), nullable=False),
        sa.Column("error", JSONB(), nullable=True),
        sa.Column("begun_by", sa.Uuid(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("next_action_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("lease_token", sa.Uuid(), nullable=True),
        sa.Column("tries", sa.Integer(), server_default="0", nullable=False),
        sa.CheckConstraint("NOT posted OR state = 'captured'", name=op.f("ck_attempts_posted_means_captured")),
        sa.CheckConstraint("operation IN ('authorize', 'capture', 'void')", name=op.f("ck_attempts_operation")),
        sa.CheckConstraint("resolution IN ('approve', 'decline')", name=op.f("ck_attempts_resolution")),
        sa.CheckConstraint(
            "state IN ('created', 'in_review', 'checked', 'sent', 'authorized', 'capturing', 'voiding', 'captured', "
            "'voided', 'declined', 'failed', 'unknown')",
            name=op.f("ck_attempts_state"),
        ),
        sa.CheckConstraint("amount_minor BETWEEN 1 AND 9007199254740991", name=op.f("ck_attempts_amount_minor")),
        sa.CheckConstraint("captured_minor BETWEEN 0 AND amount_minor", name=op.f("ck_attempts_captured_minor")),
        sa.CheckConstraint("operation_minor BETWEEN 0 AND 9007199254740991", name=op.f("ck_attempts_operation_minor")),
        sa.ForeignKeyConstraint(["intent_id"], ["intents.id"], name=op.f("fk_attempts_intent_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_attempts")),
        postgresql_with={"fillfactor": "80"},
    )
    op.create_index(
        "ix_attempts_due",
        "attempts",
        ["next_action_at"],
        unique=False,
        postgresql_where=sa.text("next_action_at IS NOT NULL"),
    )
    op.create_index(op.f("ix_attempts_intent_id_created_at"), "attempts", ["intent_id", "created_at"], unique=False)
    op.create_index(
        "uq_attempts_open",
        "attempts",
        ["intent_id"],
        unique=True,
        postgresql_where=sa.text("(state NOT IN ('captured', 'voided', 'declined', 'failed'))"),
    )
    op.create_table(
        "refunds",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("intent_id", sa.Uuid(), nullable=False),
        sa.Column("attempt_id", sa.Uuid(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("connector", sa.Text(), nullable=False),
        sa.Column("payment_method", sa.Text(), nullable=False),
        sa.Column("destination", sa.Text(), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("exchange_currency", sa.Text(), nullable=True),
        sa.Column("exchange_minor", sa.BigInteger(), nullable=True),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("posted", sa.Boolean(), nullable=False),
        sa.Column("late", sa.Boolean(), nullable=False),
        sa.Column("reference", sa.Text(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("failure_reason", sa.Text(), nullable=True),
        sa.Column("metadata", JSONB(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("next_action_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("lease_token", sa.Uuid(), nullable=True),
        sa.Column("tries", sa.Integer(), server_default="0", nullable=False),
        sa.CheckConstraint("NOT late OR state = 'failed'", name=op.f("ck_refunds_late_means_failed")),
        sa.CheckConstraint(
            "state IN ('created', 'pending', 'succeeded', 'failed', 'unknown')", name=op.f("ck_refunds_state")
        ),
        sa.CheckConstraint(
            "(exchange_currency IS NULL) = (exchange_minor IS NULL)", name=op.f("ck_refunds_exchange_whole")
        ),
        sa.CheckConstraint("amount_minor BETWEEN 1 AND 9007199254740991", name=op.f("ck_refunds_amount_minor")),
        sa.CheckConstraint("exchange_minor BETWEEN 0 AND 9007199254740991", name=op.f("ck_refunds_exchange_minor")),
        sa.ForeignKeyConstraint(["attempt_id"], ["attempts.id"], name=op.f("fk_refunds_attempt_id")),
        sa.ForeignKeyConstraint(["intent_id"], ["intents.id"], name=op.f("fk_refunds_intent_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_refunds")),
    )
    op.create_index(op.f("ix_refunds_created_at_id"), "refunds", ["created_at", "id"], unique=False)
    op.create_index(
        "ix_refunds_due",
        "refunds",
        ["next_action_at"],
        unique=False,
        postgresql_where=sa.text("next_action_at IS NOT NULL"),
    )
    op.create_index(
        op.f("ix_refunds_intent_id_created_at_id"), "refunds", ["intent_id", "created_at", "id"], unique=False
    )


def downgrade() -> None:
    op.drop_index(op.f("ix_refunds_intent_id_created_at_id"), table_name="refunds")
    op.drop_index("ix_refunds_due", table_name="refunds", postgresql_where=sa.text("next_action_at IS NOT NULL"))
    op.drop_index(op.f("ix_refunds_created_at_id"), table_name="refunds")
    op.drop_table("refunds")
    op.drop_index(
        "uq_attempts_open",
        table_name="attempts",
        postgresql_where=sa.text("(state NOT IN ('captured', 'voided', 'declined', 'failed'))"),
    )
    op.drop_index(op.f("ix_attempts_intent_id_created_at"), table_name="attempts")
    op.drop_index("ix_attempts_due", table_name="attempts", postgresql_where=sa.text("next_action_at IS NOT NULL"))
    op.drop_table("attempts")
    op.drop_index(
        "uq_payouts_reserving",
        table_name="payouts",
        postgresql_where=sa.text("state = 'created' AND reserved IS false"),
    )
    op.drop_index(op.f("ix_payouts_merchant_id_created_at_id"), table_name="payouts")
    op.drop_index("ix_payouts_due", table_name="payouts", postgresql_where=sa.text("next_action_at IS NOT NULL"))
    op.drop_index(op.f("ix_payouts_created_at_id"), table_name="payouts")
    op.drop_table("payouts")
    op.drop_index(op.f("ix_intents_owner_created_at_id"), table_name="intents")
    op.drop_index(op.f("ix_intents_merchant_id_created_at_id"), table_name="intents")
    op.drop_index(op.f("ix_intents_created_at_id"), table_name="intents")
    op.drop_table("intents")
    op.drop_table("provider_events")
    op.drop_index(op.f("ix_merchants_owner_created_at_id"), table_name="merchants")
    op.drop_index(op.f("ix_merchants_created_at_id"), table_name="merchants")
    op.drop_table("merchants")
    op.drop_index("ix_events_waiting", table_name="events", postgresql_where=sa.text("fanned_out_at IS NULL"))
    op.drop_index(op.f("ix_events_owner_created_at_id"), table_name="events")
    op.drop_index(op.f("ix_events_merchant_id_created_at_id"), table_name="events")
    op.drop_index(op.f("ix_events_created_at_id"), table_name="events")
    op.drop_table("events")
    drop_kit_tables(op)
