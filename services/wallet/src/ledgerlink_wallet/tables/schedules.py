"""Scheduled transfers, and what became of their occurrences."""

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

from ledgerlink_wallet.tables.columns import METADATA, MOMENT, amount

scheduled_transfers = sa.Table(
    "scheduled_transfers",
    METADATA,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("wallet_id", sa.Uuid, nullable=False),
    sa.Column("to_wallet_id", sa.Uuid, nullable=False),
    sa.Column("owner", sa.Text, nullable=False),
    sa.Column("amount_minor", sa.BigInteger, nullable=False),
    sa.Column("currency", sa.Text, nullable=False),
    sa.Column("reference", sa.Text),
    sa.Column("metadata", pg.JSONB, nullable=False),
    sa.Column("starts_at", MOMENT, nullable=False),
    sa.Column("every", sa.SmallInteger),
    sa.Column("unit", sa.Text),
    sa.Column("time_zone", sa.Text),
    sa.Column("ends_at", MOMENT),
    sa.Column("total", sa.Integer),
    sa.Column("created_by", sa.Text, nullable=False),
    sa.Column("created_at", MOMENT, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("next_number", sa.Integer, nullable=False),
    sa.Column("next_due_at", MOMENT),
    sa.Column("try_at", MOMENT),
    sa.Column("tries", sa.SmallInteger, nullable=False),
    sa.Column("code", sa.Text),
    sa.Column("detail", sa.Text),
    sa.Column("changed_at", MOMENT, nullable=False),
    amount("amount_minor", 1),
    sa.CheckConstraint("wallet_id <> to_wallet_id", name="two_wallets"),
    sa.CheckConstraint("state IN ('active', 'paused', 'completed', 'canceled', 'stopped')", name="state"),
    sa.CheckConstraint(
        "num_nonnulls(every, unit, time_zone) IN (0, 3) AND every BETWEEN 1 AND 366 "
        "AND unit IN ('day', 'week', 'month')",
        name="a_recurrence",
    ),
    sa.CheckConstraint(
        "num_nonnulls(ends_at, total) = 0 OR num_nonnulls(ends_at, total) = 1 AND every IS NOT NULL "
        "AND coalesce(ends_at, starts_at) >= starts_at AND coalesce(total, 1) BETWEEN 1 AND 10000",
        name="an_end",
    ),
    sa.CheckConstraint("next_number >= 0", name="next_number"),
    sa.CheckConstraint(
        "(state IN ('active', 'paused')) = (next_due_at IS NOT NULL) AND num_nonnulls(next_due_at, try_at) IN (0, 2)",
        name="goes_on_while_something_is_due",
    ),
    sa.CheckConstraint(
        "(tries > 0) = (code IS NOT NULL) AND num_nonnulls(code, detail) IN (0, 2) AND tries BETWEEN 0 AND 3",
        name="tries_have_a_refusal",
    ),
    postgresql_with={"fillfactor": 70},
)
"""What is to be moved and when, and which occurrence is next: `next_number`, due at `next_due_at`, tried at `try_at`.

What was ordered never changes. The row's lock is the claim of whoever carries the next occurrence out.
"""
sa.Index(
    "ix_scheduled_transfers_try_at",
    scheduled_transfers.c.try_at,
    postgresql_where=scheduled_transfers.c.state == "active",
)
sa.Index(
    "ix_scheduled_transfers_wallet_id_created_at_id",
    scheduled_transfers.c.wallet_id,
    scheduled_transfers.c.created_at,
    scheduled_transfers.c.id,
)
sa.Index(
    "ix_scheduled_transfers_wallet_id_state_created_at_id",
    scheduled_transfers.c.wallet_id,
    scheduled_transfers.c.state,
    scheduled_transfers.c.created_at,
    scheduled_transfers.c.id,
)

occurrences = sa.Table(
    "occurrences",
    METADATA,
    sa.Column("schedule_id", sa.Uuid, primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("last_number", sa.Integer, nullable=False),
    sa.Column("due_at", MOMENT, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("tries", sa.SmallInteger, nullable=False),
    sa.Column("transfer_id", sa.Uuid),
    sa.Column("code", sa.Text),
    sa.Column("detail", sa.Text),
    sa.Column("recorded_at", MOMENT, nullable=False),
    sa.CheckConstraint("number >= 0", name="number"),
    sa.CheckConstraint("state IN ('executed', 'failed', 'skipped')", name="state"),
    sa.CheckConstraint(
        "last_number = number OR last_number > number AND state = 'skipped'", name="only_skipped_ones_are_many"
    ),
    sa.CheckConstraint("(state = 'executed') = (transfer_id IS NOT NULL)", name="executed_has_a_transfer"),
    sa.CheckConstraint(
        "(state = 'executed') = (code IS NULL) AND num_nonnulls(code, detail) IN (0, 2)", name="others_have_a_reason"
    ),
    sa.CheckConstraint("(state = 'skipped') = (tries = 0) AND tries BETWEEN 0 AND 4", name="skipped_is_not_tried"),
)
"""Facts: what became of each occurrence of a schedule; those of one schedule follow each other without a gap."""
