"""The ledger's tables. Every promise of the domain stands here a second time, as a CHECK constraint.

Every key can be distributed: entries by account, transfers and outcomes by id. So no key is a sequence (the kit's
outbox aside) and no foreign key crosses from one distribution column to another; the audit proves what such keys would.
Balances stand in columns that no index covers, with room left in each page, so that PostgreSQL updates them in place.
"""

from typing import Final

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

from ledgerlink_kit.money import MAX_MINOR
from ledgerlink_wallet.tables.columns import METADATA, MOMENT, amount
from ledgerlink_wallet.tables.schedules import occurrences as occurrences
from ledgerlink_wallet.tables.schedules import scheduled_transfers as scheduled_transfers

_STANDINGS: Final = "standing IN ('open', 'frozen', 'closed')"
_SIDES: Final = "IN ('debit', 'credit')"


wallets = sa.Table(
    "wallets",
    METADATA,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("owner", sa.Text, nullable=False),
    sa.Column("currency", sa.Text, nullable=False),
    sa.Column("label", sa.Text),
    sa.Column("opened_at", MOMENT, nullable=False),
)
"""A wallet is its owner and a name; its money stands in its accounts. Never changed."""
sa.Index("ix_wallets_owner_opened_at_id", wallets.c.owner, wallets.c.opened_at, wallets.c.id)

ABOVE_ITS_FLOOR: Final = (
    "may_overdraw AND floor_minor IS NULL OR coalesce(floor_minor, 0) <= CASE normal_side "
    "WHEN 'credit' THEN credits_posted - debits_posted - debits_pending "
    "ELSE debits_posted - credits_posted - credits_pending END"
)
BELOW_ITS_CEILING: Final = (
    "ceiling_minor IS NULL OR ceiling_minor >= CASE normal_side "
    "WHEN 'credit' THEN credits_posted - debits_posted ELSE debits_posted - credits_posted END"
)

accounts = sa.Table(
    "accounts",
    METADATA,
    sa.Column("id", sa.Uuid, primary_key=True),
    # In the order of bytes, whatever the database's collation: one index serves pages by code and a code's own subtree.
    sa.Column("code", sa.Text(collation="C"), nullable=False),
    sa.Column("currency", sa.Text, nullable=False),
    sa.Column("normal_side", sa.Text, nullable=False),
    sa.Column("may_overdraw", sa.Boolean, nullable=False),
    sa.Column("wallet_id", sa.Uuid),
    sa.Column("standing", sa.Text, nullable=False),
    sa.Column("debits_posted", sa.BigInteger, nullable=False),
    sa.Column("credits_posted", sa.BigInteger, nullable=False),
    sa.Column("debits_pending", sa.BigInteger, nullable=False),
    sa.Column("credits_pending", sa.BigInteger, nullable=False),
    sa.Column("version", sa.BigInteger, nullable=False),
    sa.Column("opened_at", MOMENT, nullable=False),
    sa.Column("floor_minor", sa.BigInteger),
    sa.Column("ceiling_minor", sa.BigInteger),
    sa.CheckConstraint(f"normal_side {_SIDES}", name="normal_side"),
    sa.CheckConstraint(_STANDINGS, name="standing"),
    amount("debits_posted"),
    amount("credits_posted"),
    amount("debits_pending"),
    amount("credits_pending"),
    sa.CheckConstraint("version >= 0", name="version"),
    # An account opens empty, so its bounds hold zero between them.
    sa.CheckConstraint(f"floor_minor BETWEEN -{MAX_MINOR} AND 0", name="floor_minor"),
    sa.CheckConstraint(f"ceiling_minor BETWEEN 0 AND {MAX_MINOR}", name="ceiling_minor"),
    sa.CheckConstraint(ABOVE_ITS_FLOOR, name="above_its_floor"),
    sa.CheckConstraint(BELOW_ITS_CEILING, name="below_its_ceiling"),
    sa.CheckConstraint(
        "wallet_id IS NULL OR NOT may_overdraw AND coalesce(floor_minor, 0) = 0", name="wallets_never_overdraw"
    ),
    postgresql_with={"fillfactor": 70},
)
sa.Index("ix_accounts_code_id", accounts.c.code, accounts.c.id)
sa.Index("ix_accounts_currency_code_id", accounts.c.currency, accounts.c.code, accounts.c.id)
sa.Index(
    "ix_accounts_standing_code_id",
    accounts.c.standing,
    accounts.c.code,
    accounts.c.id,
    postgresql_where=accounts.c.standing != "open",
)
sa.Index("ix_accounts_wallet_id", accounts.c.wallet_id, postgresql_where=accounts.c.wallet_id.is_not(None))

promises = sa.Table(
    "promises",
    METADATA,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("subject", sa.Text(collation="C"), nullable=False),
    sa.Column("step", sa.Integer, nullable=False),
    sa.Column("says", pg.JSONB, nullable=False),
    sa.Column("recorded_at", MOMENT, nullable=False),
    sa.UniqueConstraint("kind", "subject", "step", name="uq_promises_kind_subject_step"),
    sa.CheckConstraint("kind IN ('account', 'wallet', 'limits')", name="kind"),
    sa.CheckConstraint("step >= 1", name="step"),
)
"""Facts: what an account, a wallet or a scope of limits is held to, whole, from each change on; the last step holds.

Written in the commit that opens or changes the row that it is about, and sealed; see `store.promises` and ADR 0068.
"""
sa.Index("ix_promises_recorded_at_id", promises.c.recorded_at, promises.c.id)

transfers = sa.Table(
    "transfers",
    METADATA,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("postings", pg.JSONB, nullable=False),
    sa.Column("on_behalf_of", sa.Text),
    sa.Column("reference", sa.Text),
    sa.Column("metadata", pg.JSONB, nullable=False),
    sa.Column("reverses", sa.Uuid),
    sa.Column("hold_id", sa.Uuid),
    sa.Column("effective_at", MOMENT, nullable=False),
    sa.Column("recorded_at", MOMENT, nullable=False),
    sa.CheckConstraint("jsonb_array_length(postings) BETWEEN 1 AND 100", name="postings"),
    sa.CheckConstraint("reverses <> id", name="reverses_another"),
)
"""Facts: never changed, never deleted. A posting is ``[debit, version, credit, version, amount, currency, reversed]``:
account ids with the versions that it gave them, and for a reversal the number of the posting that it undoes."""
sa.Index("ix_transfers_recorded_at_id", transfers.c.recorded_at, transfers.c.id)
sa.Index("ix_transfers_kind_recorded_at_id", transfers.c.kind, transfers.c.recorded_at, transfers.c.id)
sa.Index(
    "ix_transfers_reference_recorded_at_id",
    transfers.c.reference,
    transfers.c.recorded_at,
    transfers.c.id,
    postgresql_where=transfers.c.reference.is_not(None),
)
# The ordinary transfer takes effect when it is recorded, and costs no row here.
sa.Index(
    "ix_transfers_effective_at_id",
    transfers.c.effective_at,
    transfers.c.id,
    postgresql_where=transfers.c.effective_at != transfers.c.recorded_at,
)
sa.Index("ix_transfers_reverses", transfers.c.reverses, postgresql_where=transfers.c.reverses.is_not(None))
sa.Index(
    "ix_transfers_metadata",
    transfers.c.metadata,
    postgresql_using="gin",
    postgresql_ops={"metadata": "jsonb_path_ops"},
    postgresql_where=transfers.c.metadata != sa.text("'{}'::jsonb"),
)

entries = sa.Table(
    "entries",
    METADATA,
    sa.Column("account_id", sa.Uuid, primary_key=True),
    sa.Column("version", sa.BigInteger, primary_key=True),
    sa.Column("side", sa.Text, nullable=False),
    sa.Column("layer", sa.Text, nullable=False),
    sa.Column("amount_minor", sa.BigInteger, nullable=False),
    sa.Column("debits_posted", sa.BigInteger, nullable=False),
    sa.Column("credits_posted", sa.BigInteger, nullable=False),
    sa.Column("debits_pending", sa.BigInteger, nullable=False),
    sa.Column("credits_pending", sa.BigInteger, nullable=False),
    sa.Column("transfer_id", sa.Uuid),
    sa.Column("hold_id", sa.Uuid),
    sa.Column("effective_at", MOMENT, nullable=False),
    sa.Column("recorded_at", MOMENT, nullable=False),
    sa.CheckConstraint("version >= 1", name="version"),
    sa.CheckConstraint(f"side {_SIDES}", name="side"),
    sa.CheckConstraint("layer IN ('posted', 'pending', 'released')", name="layer"),
    amount("amount_minor", 1),
    amount("debits_posted"),
    amount("credits_posted"),
    amount("debits_pending"),
    amount("credits_pending"),
    sa.CheckConstraint("transfer_id IS NOT NULL OR hold_id IS NOT NULL", name="has_a_cause"),
    sa.CheckConstraint("layer <> 'posted' OR transfer_id IS NOT NULL", name="postings_have_a_transfer"),
)
"""Facts: one row per side of a posting or step of a hold, with the account's columns as they stood afterwards."""
sa.Index(
    "ix_entries_account_id_effective_at_version",
    entries.c.account_id,
    entries.c.effective_at,
    entries.c.version,
    postgresql_where=entries.c.effective_at != entries.c.recorded_at,
)

dated_sums = sa.Table(
    "dated_sums",
    METADATA,
    sa.Column("account_id", sa.Uuid, primary_key=True),
    sa.Column("level", sa.SmallInteger, primary_key=True),
    sa.Column("bucket", sa.BigInteger, primary_key=True),
    sa.Column("version", sa.BigInteger, primary_key=True),
    sa.Column("debits_posted", sa.BigInteger, nullable=False),
    sa.Column("credits_posted", sa.BigInteger, nullable=False),
    sa.Column("debits_pending", sa.BigInteger, nullable=False),
    sa.Column("credits_pending", sa.BigInteger, nullable=False),
    sa.CheckConstraint("level BETWEEN 0 AND 14", name="level"),
    sa.CheckConstraint("bucket >= 0", name="bucket"),
)
"""Facts: what the dated entries (effective at another moment than they were recorded) of one stretch of effective time
add up to, up to and including a version of the account. A stretch is 16^level microseconds long; `bucket` counts them
from 1900 on. See `domain.stretches` and ADR 0059."""

holds = sa.Table(
    "holds",
    METADATA,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("account_id", sa.Uuid, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("amount_minor", sa.BigInteger, nullable=False),
    sa.Column("captured_minor", sa.BigInteger, nullable=False),
    sa.Column("remaining_minor", sa.BigInteger, nullable=False),
    sa.Column("expires_at", MOMENT),
    sa.Column("on_behalf_of", sa.Text),
    sa.Column("reference", sa.Text),
    sa.Column("recorded_at", MOMENT, nullable=False),
    sa.CheckConstraint("state IN ('placed', 'captured', 'released', 'expired')", name="state"),
    amount("amount_minor", 1),
    sa.CheckConstraint("captured_minor >= 0", name="captured"),
    sa.CheckConstraint("captured_minor + remaining_minor <= amount_minor", name="never_above_the_amount"),
    sa.CheckConstraint("(state = 'placed') = (remaining_minor > 0) AND remaining_minor >= 0", name="placed_has_a_rest"),
)
sa.Index("ix_holds_expires_at", holds.c.expires_at, postgresql_where=holds.c.state == "placed")
sa.Index("ix_holds_state_recorded_at_id", holds.c.state, holds.c.recorded_at, holds.c.id)
sa.Index("ix_holds_account_id_state_recorded_at_id", holds.c.account_id, holds.c.state, holds.c.recorded_at, holds.c.id)

reversals = sa.Table(
    "reversals",
    METADATA,
    sa.Column("transfer_id", sa.Uuid, primary_key=True),
    sa.Column("posting", sa.SmallInteger, primary_key=True),
    sa.Column("posted_minor", sa.BigInteger, nullable=False),
    sa.Column("reversed_minor", sa.BigInteger, nullable=False),
    sa.CheckConstraint("reversed_minor BETWEEN 1 AND posted_minor", name="never_above_what_was_posted"),
)
"""How much of a posting has been reversed; a row is there from the first reversal on."""

outcomes = sa.Table(
    "outcomes",
    METADATA,
    sa.Column("id", sa.Uuid, primary_key=True),
    # Written by releases before 0.2 only; it goes when none of them can be running.
    sa.Column("fingerprint", sa.LargeBinary),
    sa.Column("fields", sa.LargeBinary),
    sa.Column("status", sa.SmallInteger, nullable=False),
    sa.Column("body", sa.LargeBinary),
    sa.Column("recorded_at", MOMENT, nullable=False),
    sa.CheckConstraint("(fields IS NULL) = (body IS NULL)", name="told_whole_or_by_the_transfer"),
)
"""What an id was answered: the request as JSON, and the answer's status and bytes. One id has one outcome: its key is
what two processes that decide on one id at once meet at, so a refusal cannot stand beside a transfer.

Of a plain transfer that was posted, the row keeps the id alone: the transfer tells what was asked and answered.
"""
sa.Index("ix_outcomes_recorded_at", outcomes.c.recorded_at, postgresql_using="brin")

_HASH: Final = "octet_length(hash) = 32"

leaves = sa.Table(
    "leaves",
    METADATA,
    sa.Column("leaf_index", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("transfer_id", sa.Uuid),
    sa.Column("wallet_id", sa.Uuid),
    sa.Column("hash", sa.LargeBinary, nullable=False),
    sa.Column("promise_id", sa.Uuid),
    sa.CheckConstraint("leaf_index >= 0", name="leaf_index"),
    sa.CheckConstraint("num_nonnulls(transfer_id, wallet_id, promise_id) = 1", name="one_fact"),
    sa.CheckConstraint(_HASH, name="hash"),
)
"""Facts: the leaves of the Merkle tree, each of a transfer, a wallet's opening or a promise, with its SHA-256."""
sa.Index("uq_leaves_transfer_id", leaves.c.transfer_id, unique=True, postgresql_where=leaves.c.transfer_id.is_not(None))
sa.Index("uq_leaves_wallet_id", leaves.c.wallet_id, unique=True, postgresql_where=leaves.c.wallet_id.is_not(None))
sa.Index("uq_leaves_promise_id", leaves.c.promise_id, unique=True, postgresql_where=leaves.c.promise_id.is_not(None))

blocks = sa.Table(
    "blocks",
    METADATA,
    sa.Column("level", sa.SmallInteger, primary_key=True, autoincrement=False),
    sa.Column("position", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("hash", sa.LargeBinary, nullable=False),
    sa.CheckConstraint("level >= 1", name="level"),
    sa.CheckConstraint(_HASH, name="hash"),
)
"""Facts: at level 1 the root over each full 256 leaves, at level 2 over each 65,536, and so on."""

checkpoints = sa.Table(
    "checkpoints",
    METADATA,
    sa.Column("size", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("root", sa.LargeBinary, nullable=False),
    sa.Column("note", sa.Text, nullable=False),
    sa.Column("signed_at", MOMENT, nullable=False),
    sa.CheckConstraint("size >= 1", name="size"),
    sa.CheckConstraint("octet_length(root) = 32", name="root"),
)
"""Facts: the signed states of the tree."""

unsealed = sa.Table(
    "unsealed",
    METADATA,
    sa.Column("recorded_at", MOMENT, nullable=False),
    sa.Column("transfers", sa.Integer, nullable=False),
    sa.Column("wallet_id", sa.Uuid),
    sa.Column("promises", sa.Integer, nullable=False, server_default="0"),
    postgresql_with={"autovacuum_vacuum_scale_factor": 0, "autovacuum_vacuum_threshold": 1000},
)
"""The sealer's queue: one row per commit, with the moment that all its transfers and promises carry and how many they
are; or one per wallet that was opened."""

imports = sa.Table(
    "imports",
    METADATA,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("opened_by", sa.Text, nullable=False),
    sa.Column("label", sa.Text),
    sa.Column("total_lines", sa.BigInteger),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("next_line", sa.BigInteger, nullable=False),
    sa.Column("posted", sa.BigInteger, nullable=False),
    sa.Column("replayed", sa.BigInteger, nullable=False),
    sa.Column("refused", sa.BigInteger, nullable=False),
    sa.Column("malformed", sa.BigInteger, nullable=False),
    sa.Column("blank", sa.BigInteger, nullable=False),
    sa.Column("busy_ms", sa.BigInteger, nullable=False),
    sa.Column("opened_at", MOMENT, nullable=False),
    sa.Column("progressed_at", MOMENT),
    sa.Column("closed_at", MOMENT),
    sa.Column("upload", sa.Uuid),
    sa.Column("upload_until", MOMENT),
    sa.CheckConstraint("state IN ('open', 'closed')", name="state"),
    sa.CheckConstraint("(state = 'closed') = (closed_at IS NOT NULL)", name="closed_has_a_moment"),
    sa.CheckConstraint("least(posted, replayed, refused, malformed, blank, busy_ms) >= 0", name="never_below_zero"),
    sa.CheckConstraint("replayed <= posted", name="replayed_were_posted"),
    # Every line that the cursor has passed is counted once, as one thing.
    sa.CheckConstraint("next_line = posted + refused + malformed + blank", name="every_line_has_one_end"),
    sa.CheckConstraint("(upload IS NULL) = (upload_until IS NULL)", name="an_upload_has_an_end"),
    postgresql_with={"fillfactor": 70},
)
"""How far an import has come: `next_line` moves when what became of the lines before it is durable. `upload` is the one
request that may move it, until `upload_until` unless it says that it is still there."""
sa.Index("ix_imports_opened_at_id", imports.c.opened_at, imports.c.id)
sa.Index("ix_imports_state_opened_at_id", imports.c.state, imports.c.opened_at, imports.c.id)

import_problems = sa.Table(
    "import_problems",
    METADATA,
    sa.Column("import_id", sa.Uuid, primary_key=True),
    sa.Column("line", sa.BigInteger, primary_key=True),
    sa.Column("outcome", sa.Text, nullable=False),
    sa.Column("code", sa.Text, nullable=False),
    sa.Column("problem", pg.JSONB, nullable=False),
    sa.CheckConstraint("line >= 0", name="line"),
    sa.CheckConstraint("outcome IN ('refused', 'malformed')", name="outcome"),
)
"""Facts: the lines of an import that were not posted, and why; written with the cursor's step past them."""

wallet_profiles = sa.Table(
    "wallet_profiles",
    METADATA,
    sa.Column("wallet_id", sa.Uuid, primary_key=True),
    sa.Column("standing", sa.Text, nullable=False),
    sa.Column("role", sa.Text, nullable=False, server_default="customer"),
    sa.CheckConstraint(_STANDINGS, name="standing"),
)
"""What may change about a wallet: its standing as a whole, and the role whose limits it has.

A wallet without a row is open. Its accounts carry its standing, so that postings ask nothing here; the row tells those
that open later.
"""

spending_limits = sa.Table(
    "spending_limits",
    METADATA,
    sa.Column("scope", sa.Text, primary_key=True),
    sa.Column("currency", sa.Text, primary_key=True),
    *(sa.Column(name, sa.BigInteger) for name in ("transfer_minor", "day_minor", "month_minor")),
    *(amount(name) for name in ("transfer_minor", "day_minor", "month_minor")),
)
"""What owners may spend by transfer, day and month: ``scope`` is `everybody`, a role, or a wallet's id as PostgreSQL
writes it."""

spending = sa.Table(
    "spending",
    METADATA,
    sa.Column("account_id", sa.Uuid, primary_key=True),
    sa.Column("day", sa.Date, nullable=False),
    sa.Column("day_minor", sa.BigInteger, nullable=False),
    sa.Column("month", sa.Date, nullable=False),
    sa.Column("month_minor", sa.BigInteger, nullable=False),
    sa.CheckConstraint(
        "month = day - (extract(day FROM day)::int - 1) AND day_minor BETWEEN 0 AND month_minor",
        name="a_day_lies_in_its_month",
    ),
)
"""What an owner spent from a limited account in the latest day and month (its first day), UTC."""

exchange_rates = sa.Table(
    "exchange_rates",
    METADATA,
    sa.Column("base", sa.Text, primary_key=True),
    sa.Column("quote", sa.Text, primary_key=True),
    sa.Column("mid", sa.Numeric, nullable=False),
    sa.Column("spread_bp", sa.Integer, nullable=False),
    sa.Column("source", sa.Text, nullable=False),
    sa.Column("valid_until", MOMENT, nullable=False),
    sa.Column("recorded_at", MOMENT, nullable=False),
    sa.CheckConstraint("mid > 0 AND spread_bp BETWEEN 0 AND 5000 AND base <> quote", name="a_rate"),
)
"""What one whole unit of `base` buys of `quote` in the middle of the market."""

exchange_quotes = sa.Table(
    "exchange_quotes",
    METADATA,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("wallet_id", sa.Uuid, nullable=False),
    sa.Column("sell_currency", sa.Text, nullable=False),
    sa.Column("sell_minor", sa.BigInteger, nullable=False),
    sa.Column("buy_currency", sa.Text, nullable=False),
    sa.Column("buy_minor", sa.BigInteger, nullable=False),
    sa.Column("rate", sa.Numeric, nullable=False),
    sa.Column("mid", sa.Numeric, nullable=False),
    sa.Column("spread_bp", sa.Integer, nullable=False),
    sa.Column("source", sa.Text, nullable=False),
    sa.Column("expires_at", MOMENT, nullable=False),
    sa.Column("recorded_at", MOMENT, nullable=False),
    sa.Column("transfer_id", sa.Uuid, nullable=False),
    amount("sell_minor", 1),
    amount("buy_minor", 1),
)
"""Facts: what was offered, and the id that the transfer has if the quote is accepted. Never changed."""

balance_alerts = sa.Table(
    "balance_alerts",
    METADATA,
    sa.Column("wallet_id", sa.Uuid, primary_key=True),
    sa.Column("currency", sa.Text, primary_key=True),
    sa.Column("account_id", sa.Uuid, nullable=False),
    sa.Column("below_minor", sa.BigInteger),
    sa.Column("above_minor", sa.BigInteger),
    sa.Column("is_below", sa.Boolean, nullable=False),
    sa.Column("is_above", sa.Boolean, nullable=False),
    sa.Column("seen_version", sa.BigInteger, nullable=False),
)
"""What to tell about a wallet's available balance, and up to which version of its account that has been looked at."""
