"""Proves that the migrations run up, down and up again, equal the tables in the code, and guard their rows."""

import psycopg
import pytest

from ledgerlink_identity.tables import METADATA
from ledgerlink_kit import migrations

PACKAGE = "ledgerlink_identity"


def test_migrations_run_up_down_and_up_and_equal_the_tables(empty_database_url: str) -> None:
    migrations.upgrade(PACKAGE, empty_database_url)
    migrations.downgrade(PACKAGE, empty_database_url, "base")
    assert migrations.differences(PACKAGE, empty_database_url, METADATA) == []


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE security_events SET actor = 'nobody'",
        "DELETE FROM security_events",
        "TRUNCATE security_events CASCADE",
        "UPDATE security_seals SET position = 7",
        "DELETE FROM security_seals",
        "TRUNCATE security_seals",
    ],
)
def test_the_rows_of_the_audit_chain_are_append_only(empty_database_url: str, statement: str) -> None:
    migrations.upgrade(PACKAGE, empty_database_url)
    with psycopg.connect(empty_database_url) as connection, pytest.raises(psycopg.errors.RestrictViolation):
        connection.execute(statement.encode())


USER = (
    "INSERT INTO users (id, email, email_key, password_hash, password_changed_at, roles, created_at)"
    " VALUES (gen_random_uuid(), 'a@b.c', 'a@b.c', 'x', now(), '{roles}', now())"
)
KEYS = (
    "INSERT INTO signing_keys (kid, algorithm, state, public_jwk, private_sealed, created_at, activated_at)"
    " SELECT n::text, 'ES256', 'active', '{jwk}', '', now(), now() FROM generate_series(1, {count}) n"
)


@pytest.mark.parametrize(
    ("statement", "constraint"),
    [
        (USER.replace("{roles}", "{emperor}"), "ck_users_roles"),
        (USER.replace("{roles}", "{}"), "ck_users_roles"),
        (KEYS.format(jwk='{"d": "the private half"}', count=1), "ck_signing_keys_public_jwk"),
        (KEYS.format(jwk="{}", count=2), "uq_signing_keys_one_of_each"),
    ],
)
def test_what_the_domain_forbids_the_database_refuses(empty_database_url: str, statement: str, constraint: str) -> None:
    migrations.upgrade(PACKAGE, empty_database_url)
    with psycopg.connect(empty_database_url) as connection, pytest.raises(psycopg.errors.IntegrityError) as error:
        connection.execute(statement.encode())
    assert error.value.diag.constraint_name == constraint
