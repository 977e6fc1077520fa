"""The provider's books and its letters.

Revision: 0001
Follows: nothing
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_MAX_MINOR = 9_007_199_254_740_991
_INSTANT = sa.DateTime(timezone=True)


def upgrade() -> None:
    _create_authorizations()
    _create_captures()
    _create_refunds()
    _create_payouts()
    _create_events()


def _create_authorizations() -> None:
    op.create_table(
        "authorizations",
        sa.Column("key", sa.Text, primary_key=True),
        sa.Column("amount", sa.BigInteger, nullable=False),
        sa.Column("currency", sa.Text, nullable=False),
        sa.Column("payment_method", sa.Text, nullable=False),
        sa.Column("capture", sa.Boolean, nullable=False),
        sa.Column("metadata", JSONB, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("decline", sa.Text),
        sa.Column("captured", sa.BigInteger, nullable=False),
        sa.Column("released", sa.BigInteger, nullable=False),
        sa.Column("refunded", sa.BigInteger, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("created_at", _INSTANT, nullable=False),
        *_bounds(),
        sa.CheckConstraint("currency ~ '^[A-Z]{3}$'", name="currency_code"),
        sa.CheckConstraint(
            "status IN ('authorized', 'partially_captured', 'captured', 'voided', 'declined')", name="status_known"
        ),
        sa.CheckConstraint("(status = 'declined') = (decline IS NOT NULL)", name="decline_has_reason"),
        sa.CheckConstraint(
            "captured >= 0 AND released >= 0 AND captured + released <= amount", name="never_more_than_asked"
        ),
        sa.CheckConstraint("refunded >= 0 AND refunded <= captured", name="never_more_back_than_came"),
    )


def _create_captures() -> None:
    op.create_table(
        "captures",
        sa.Column("key", sa.Text, primary_key=True),
        sa.Column("authorization_key", sa.Text, sa.ForeignKey("authorizations.key"), nullable=False),
        sa.Column("amount", sa.BigInteger, nullable=False),
        sa.Column("currency", sa.Text, nullable=False),
        sa.Column("final", sa.Boolean, nullable=False),
        sa.Column("created_at", _INSTANT, nullable=False),
        *_bounds(),
    )
    op.create_index("ix_captures_authorization_key", "captures", ["authorization_key"])


def _create_refunds() -> None:
    op.create_table(
        "refunds",
        sa.Column("key", sa.Text, primary_key=True),
        sa.Column("authorization_key", sa.Text, sa.ForeignKey("authorizations.key"), nullable=False),
        sa.Column("amount", sa.BigInteger, nullable=False),
        sa.Column("currency", sa.Text, nullable=False),
        sa.Column("metadata", JSONB, nullable=False),
        *_course(),
        *_bounds(),
        sa.CheckConstraint("status IN ('pending', 'succeeded', 'failed')", name="status_known"),
        sa.CheckConstraint("(status = 'failed') = (failure IS NOT NULL)", name="failure_has_reason"),
        sa.CheckConstraint("status <> 'pending' OR due_at IS NOT NULL", name="pending_ends"),
    )
    op.create_index("ix_refunds_authorization_key", "refunds", ["authorization_key"])
    op.create_index("ix_refunds_due_at", "refunds", ["due_at"], postgresql_where=sa.text("due_at IS NOT NULL"))


def _create_payouts() -> None:
    op.create_table(
        "payouts",
        sa.Column("key", sa.Text, primary_key=True),
        sa.Column("amount", sa.BigInteger, nullable=False),
        sa.Column("currency", sa.Text, nullable=False),
        sa.Column("destination", sa.Text, nullable=False),
        sa.Column("metadata", JSONB, nullable=False),
        *_course(),
        *_bounds(),
        sa.CheckConstraint("currency ~ '^[A-Z]{3}$'", name="currency_code"),
        sa.CheckConstraint("status IN ('pending', 'paid', 'failed')", name="status_known"),
        sa.CheckConstraint("(status = 'failed') = (failure IS NOT NULL)", name="failure_has_reason"),
        sa.CheckConstraint("(status = 'pending') = (due_at IS NOT NULL)", name="pending_ends"),
    )
    op.create_index("ix_payouts_due_at", "payouts", ["due_at"], postgresql_where=sa.text("due_at IS NOT NULL"))


def _create_events() -> None:
    op.create_table(
        "events",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("message_id", sa.Text, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.Column("next_at", _INSTANT, nullable=False),
        sa.Column("tries", sa.Integer, nullable=False),
        sa.Column("lease_token", sa.Uuid),
        sa.Column("ended_at", _INSTANT),
        sa.Column("ended_how", sa.Text),
        sa.Column("created_at", _INSTANT, nullable=False),
        sa.CheckConstraint("ended_how IN ('delivered', 'given_up')", name="end_known"),
        sa.CheckConstraint("(ended_at IS NULL) = (ended_how IS NULL)", name="end_has_moment"),
    )
    op.create_index("ix_events_next_at", "events", ["next_at"], postgresql_where=sa.text("ended_at IS NULL"))
    op.create_index("ix_events_ended_at", "events", ["ended_at"], postgresql_where=sa.text("ended_at IS NOT NULL"))


def _bounds() -> list[sa.CheckConstraint]:
    return [
        sa.CheckConstraint("char_length(key) BETWEEN 1 AND 255", name="key_bounded"),
        sa.CheckConstraint(f"amount BETWEEN 1 AND {_MAX_MINOR}", name="amount_bounded"),
    ]


def _course() -> list[sa.Column]:
    return [
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("failure", sa.Text),
        sa.Column("due_at", _INSTANT),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("created_at", _INSTANT, nullable=False),
    ]


def downgrade() -> None:
    for table in ("events", "payouts", "refunds", "captures", "authorizations"):
        op.drop_table(table)
