"""Rules, policies, events, decisions, cases and lists, and the kit's own tables.

What is decided, ruled or in force is never changed: a trigger refuses every UPDATE and DELETE on those tables.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql as pg

from ledgerlink_kit.migrations import create_kit_tables, drop_kit_tables

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_MOMENT = sa.DateTime(timezone=True)
_UNCHANGING = ("rules", "policies", "policy_rules", "decisions")


def upgrade() -> None:
    create_kit_tables(op)
    _events()
    _policy()
    _decisions()
    _lists()
    op.execute(
        "CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        "RAISE EXCEPTION 'rows of % are never changed', TG_TABLE_NAME USING ERRCODE = 'restrict_violation'; END $$"
    )
    for table in _UNCHANGING:
        op.execute(
            f"CREATE TRIGGER {table}_unchanging BEFORE UPDATE OR DELETE ON {table} "
            "FOR EACH ROW EXECUTE FUNCTION refuse_change()"
        )


def downgrade() -> None:
    for table in ("cases", "decisions", "events", "policy_rules", "policies", "rules", "list_entries"):
        op.drop_table(table)
    op.execute("DROP FUNCTION refuse_change()")
    drop_kit_tables(op)


def _events() -> None:
    op.create_table(
        "events",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("customer", sa.Text, nullable=False),
        sa.Column("payment_method", sa.Text, nullable=True),
        sa.Column("destination", sa.Text, nullable=True),
        sa.Column("amount_minor", sa.BigInteger, nullable=False),
        sa.Column("currency", sa.Text, nullable=False),
        sa.Column("occurred_at", _MOMENT, nullable=False),
        sa.Column("recorded_at", _MOMENT, nullable=False),
        sa.Column("declined", sa.Boolean, nullable=False),
        sa.CheckConstraint("kind IN ('payment', 'top_up', 'transfer', 'payout')", name=op.f("ck_events_kind")),
        sa.CheckConstraint("amount_minor BETWEEN 1 AND 9007199254740991", name=op.f("ck_events_amount_minor")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_events")),
    )
    op.create_index("ix_events_recorded_at", "events", ["recorded_at"], unique=False, postgresql_using="brin")
    op.create_index(
        "ix_events_customer_destination_occurred_at", "events", ["customer", "destination", "occurred_at"], unique=False
    )
    op.create_index(
        "ix_events_customer_occurred_at",
        "events",
        ["customer", "occurred_at"],
        unique=False,
        postgresql_include=["amount_minor", "currency", "declined", "destination"],
    )
    op.create_index(
        "ix_events_destination_occurred_at",
        "events",
        ["destination", "occurred_at"],
        unique=False,
        postgresql_include=["amount_minor", "currency", "declined", "customer"],
    )
    op.create_index(
        "ix_events_payment_method_occurred_at",
        "events",
        ["payment_method", "occurred_at"],
        unique=False,
        postgresql_include=["amount_minor", "currency", "declined", "customer"],
    )


def _policy() -> None:
    op.create_table(
        "rules",
        sa.Column("rule", sa.Text, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("kinds", pg.ARRAY(sa.Text), nullable=False),
        sa.Column("condition", sa.Text, nullable=False),
        sa.Column("effect", sa.Text, nullable=False),
        sa.Column("points", sa.SmallInteger, nullable=False),
        sa.Column("on_missing", sa.Text, nullable=False),
        sa.Column("description", sa.Text, nullable=False),
        sa.Column("created_at", _MOMENT, nullable=False),
        sa.CheckConstraint("effect IN ('decline', 'allow', 'review', 'score')", name=op.f("ck_rules_effect")),
        sa.CheckConstraint("on_missing IN ('skip', 'review', 'decline')", name=op.f("ck_rules_on_missing")),
        sa.PrimaryKeyConstraint("rule", "version", name=op.f("pk_rules")),
        sa.CheckConstraint("version >= 1", name=op.f("ck_rules_version")),
        sa.CheckConstraint("points BETWEEN 0 AND 100", name=op.f("ck_rules_points")),
    )
    op.create_table(
        "policies",
        sa.Column("version", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("review_at", sa.SmallInteger, nullable=False),
        sa.Column("on_degraded", sa.Text, nullable=False),
        sa.Column("limits", pg.JSONB, nullable=False),
        sa.Column("origin", sa.Text, nullable=False),
        sa.Column("fingerprint", sa.LargeBinary, nullable=False),
        sa.Column("created_at", _MOMENT, nullable=False),
        sa.CheckConstraint("on_degraded IN ('open', 'closed')", name=op.f("ck_policies_on_degraded")),
        sa.CheckConstraint("origin IN ('stock', 'operator')", name=op.f("ck_policies_origin")),
        sa.CheckConstraint("review_at BETWEEN 1 AND 101", name=op.f("ck_policies_review_at")),
        sa.PrimaryKeyConstraint("version", name=op.f("pk_policies")),
        sa.CheckConstraint("version >= 1", name=op.f("ck_policies_version")),
    )
    op.create_table(
        "policy_rules",
        sa.Column("policy_version", sa.Integer, nullable=False),
        sa.Column("position", sa.SmallInteger, nullable=False),
        sa.Column("rule", sa.Text, nullable=False),
        sa.Column("rule_version", sa.Integer, nullable=False),
        sa.ForeignKeyConstraint(["policy_version"], ["policies.version"], name=op.f("fk_policy_rules_policy_version")),
        sa.ForeignKeyConstraint(
            ["rule", "rule_version"], ["rules.rule", "rules.version"], name=op.f("fk_policy_rules_rule_rule_version")
        ),
        sa.PrimaryKeyConstraint("policy_version", "position", name=op.f("pk_policy_rules")),
        sa.UniqueConstraint("policy_version", "rule", name=op.f("uq_policy_rules_policy_version_rule")),
    )


def _decisions() -> None:
    op.create_table(
        "decisions",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("caller", sa.Text, nullable=False),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("customer", sa.Text, nullable=False),
        sa.Column("verdict", sa.Text, nullable=False),
        sa.Column("score", sa.SmallInteger, nullable=False),
        sa.Column("policy_version", sa.Integer, nullable=False),
        sa.Column("degraded", pg.ARRAY(sa.Text), nullable=False),
        sa.Column("inputs", sa.LargeBinary, nullable=False),
        sa.Column("answer", sa.LargeBinary, nullable=False),
        sa.Column("decided_at", _MOMENT, nullable=False),
        sa.CheckConstraint("verdict IN ('approve', 'review', 'decline')", name=op.f("ck_decisions_verdict")),
        sa.CheckConstraint("score BETWEEN 0 AND 100", name=op.f("ck_decisions_score")),
        sa.ForeignKeyConstraint(["id"], ["events.id"], name=op.f("fk_decisions_id")),
        sa.ForeignKeyConstraint(["policy_version"], ["policies.version"], name=op.f("fk_decisions_policy_version")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_decisions")),
    )
    op.create_index("ix_decisions_customer_decided_at_id", "decisions", ["customer", "decided_at", "id"], unique=False)
    op.create_index("ix_decisions_decided_at_id", "decisions", ["decided_at", "id"], unique=False)
    op.create_index(
        "ix_decisions_noticed",
        "decisions",
        ["verdict", "decided_at", "id"],
        unique=False,
        postgresql_where=sa.text("verdict != 'approve'"),
    )
    op.create_index("ix_decisions_subject", "decisions", ["subject"], unique=False)
    op.create_table(
        "cases",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("decision_id", sa.Uuid, nullable=False),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("opened_at", _MOMENT, nullable=False),
        sa.Column("resolution", sa.Text, nullable=True),
        sa.Column("note", sa.Text, nullable=True),
        sa.Column("resolved_by", sa.Text, nullable=True),
        sa.Column("resolved_at", _MOMENT, nullable=True),
        sa.CheckConstraint(
            "(state = 'resolved') = (resolution IS NOT NULL AND note IS NOT NULL AND resolved_by IS NOT NULL "
            "AND resolved_at IS NOT NULL) AND (state = 'resolved') = "
            "(coalesce(resolution, note, resolved_by) IS NOT NULL OR resolved_at IS NOT NULL)",
            name=op.f("ck_cases_resolved_whole"),
        ),
        sa.CheckConstraint("resolution IN ('approve', 'decline')", name=op.f("ck_cases_resolution")),
        sa.CheckConstraint("state IN ('open', 'resolved')", name=op.f("ck_cases_state")),
        sa.ForeignKeyConstraint(["decision_id"], ["decisions.id"], name=op.f("fk_cases_decision_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_cases")),
        sa.UniqueConstraint("decision_id", name=op.f("uq_cases_decision_id")),
    )
    op.create_index("ix_cases_state_opened_at_id", "cases", ["state", "opened_at", "id"], unique=False)


def _lists() -> None:
    op.create_table(
        "list_entries",
        sa.Column("id", sa.BigInteger, sa.Identity(always=True), nullable=False),
        sa.Column("list", sa.Text, nullable=False),
        sa.Column("value", sa.Text, nullable=False),
        sa.Column("note", sa.Text, nullable=False),
        sa.Column("added_by", sa.Text, nullable=False),
        sa.Column("added_at", _MOMENT, nullable=False),
        sa.Column("expires_at", _MOMENT, nullable=True),
        sa.Column("removed_by", sa.Text, nullable=True),
        sa.Column("removed_at", _MOMENT, nullable=True),
        sa.CheckConstraint("(removed_by IS NULL) = (removed_at IS NULL)", name=op.f("ck_list_entries_removed_whole")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_list_entries")),
    )
    op.create_index(
        "uq_list_entries_present",
        "list_entries",
        ["list", "value"],
        unique=True,
        postgresql_where=sa.text("removed_at IS NULL"),
    )
