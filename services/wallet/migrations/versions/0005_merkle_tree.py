"""The Merkle tree over transfers and wallets: leaves, blocks, checkpoints, and the sealer's queue.

Revision id: 0005
"""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

TREE = """
CREATE TABLE leaves (
    leaf_index bigint CONSTRAINT pk_leaves PRIMARY KEY CONSTRAINT ck_leaves_leaf_index CHECK (leaf_index >= 0),
    transfer_id uuid,
    wallet_id uuid,
    hash bytea NOT NULL CONSTRAINT ck_leaves_hash CHECK (octet_length(hash) = 32),
    CONSTRAINT ck_leaves_one_fact CHECK (num_nonnulls(transfer_id, wallet_id) = 1)
);
CREATE UNIQUE INDEX uq_leaves_transfer_id ON leaves (transfer_id) WHERE transfer_id IS NOT NULL;
CREATE UNIQUE INDEX uq_leaves_wallet_id ON leaves (wallet_id) WHERE wallet_id IS NOT NULL;

CREATE TABLE blocks (
    level smallint NOT NULL CONSTRAINT ck_blocks_level CHECK (level >= 1),
    position bigint NOT NULL,
    hash bytea NOT NULL CONSTRAINT ck_blocks_hash CHECK (octet_length(hash) = 32),
    CONSTRAINT pk_blocks PRIMARY KEY (level, position)
);

CREATE TABLE checkpoints (
    size bigint CONSTRAINT pk_checkpoints PRIMARY KEY CONSTRAINT ck_checkpoints_size CHECK (size >= 1),
    root bytea NOT NULL CONSTRAINT ck_checkpoints_root CHECK (octet_length(root) = 32),
    note text NOT NULL,
    signed_at timestamptz NOT NULL
);
"""

# Rows live for seconds: vacuum by their number, not by their share.
QUEUE = """
CREATE TABLE unsealed (
    recorded_at timestamptz NOT NULL,
    transfers integer NOT NULL,
    wallet_id uuid
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);
"""

# What was there before the tree is sealed like all that comes.
BEFORE = """
INSERT INTO unsealed (recorded_at, transfers) SELECT recorded_at, count(*) FROM transfers GROUP BY recorded_at;
INSERT INTO unsealed (recorded_at, transfers, wallet_id) SELECT opened_at, 0, id FROM wallets;
"""

APPEND_ONLY = "REVOKE UPDATE, DELETE, TRUNCATE ON leaves, blocks, checkpoints FROM CURRENT_USER"


def upgrade() -> None:
    for statements in (TREE, QUEUE, BEFORE, APPEND_ONLY):
        op.execute(statements)


def downgrade() -> None:
    for table in ("unsealed", "checkpoints", "blocks", "leaves"):
        op.drop_table(table)
