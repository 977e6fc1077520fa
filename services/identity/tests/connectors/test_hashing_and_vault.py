"""Proves the password hashes (cost, pool, imported ones), the vault's encryption, and the shape of a signed token."""

import asyncio
import base64
from typing import Any

import bcrypt
import pytest
from joserfc import jwt
from joserfc.jwk import ECKey

from ledgerlink_identity.connectors.hashing import Hasher
from ledgerlink_identity.connectors.signing import ActiveSigner, Signer, make_key
from ledgerlink_identity.connectors.vault import Vault, read_key
from ledgerlink_identity.runtime import ServiceSecrets, read_common_passwords
from ledgerlink_kit.errors import Defect, Unavailable
from ledgerlink_kit.testing import ManualClock


@pytest.fixture
def hasher() -> Any:
    made = Hasher(threads=2, waiting_max=4)
    yield made
    made.close()


async def test_a_hash_is_argon2id_at_the_stated_cost_and_its_own_every_time(hasher: Hasher) -> None:
    first, second = await hasher.hash("a password"), await hasher.hash("a password")
    assert first.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert first != second
    assert await hasher.verify(first, "a password")
    assert not await hasher.verify(first, "another password")
    assert not hasher.is_outdated(first)


async def test_nobodys_password_is_never_right(hasher: Hasher) -> None:
    assert not await hasher.verify(None, "the password of nobody")


async def test_a_hash_that_cannot_be_read_is_never_right(hasher: Hasher) -> None:
    assert not await hasher.verify("$argon2id$broken", "a password")


@pytest.mark.parametrize("password", ["short", "ä" * 40, "x" * 200])
async def test_imported_bcrypt_hashes_are_checked_and_are_due_for_replacement(hasher: Hasher, password: str) -> None:
    stored = bcrypt.hashpw(password.encode()[:72], bcrypt.gensalt(4)).decode()
    assert await hasher.verify(stored, password)
    assert not await hasher.verify(stored, "no" + password)
    assert hasher.is_outdated(stored)


async def test_a_weaker_argon2_hash_is_due_for_replacement(hasher: Hasher) -> None:
    assert hasher.is_outdated("$argon2id$v=19$m=8,t=1,p=1$c29tZXNhbHRzb21lc2FsdA$H2hNUTbhfrMn1Wf3VWQm9w")


async def test_too_many_in_line_are_told_to_come_back(hasher: Hasher) -> None:
    results = await asyncio.gather(*(hasher.hash("a password") for _ in range(10)), return_exceptions=True)
    refused = [result for result in results if isinstance(result, Unavailable)]
    assert len(refused) == 6
    assert {refusal.code for refusal in refused} == {"sign-in-busy"}
    assert await hasher.hash("a password")


async def test_the_event_loop_runs_on_while_passwords_are_hashed(hasher: Hasher) -> None:
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            ticks += 1
            await asyncio.sleep(0.001)

    ticking = asyncio.create_task(tick())
    await asyncio.gather(*(hasher.hash("a password") for _ in range(4)))
    ticking.cancel()
    assert ticks > 5


def test_what_the_vault_sealed_only_the_same_key_and_name_open() -> None:
    vault = Vault(b"k" * 32)
    sealed = vault.seal(b"a private key", "name")
    assert b"private" not in sealed
    assert vault.open(sealed, "name") == b"a private key"
    assert vault.seal(b"a private key", "name") != sealed
    for opener, data, name in (
        (Vault(b"x" * 32), sealed, "name"),
        (vault, sealed, "other"),
        (vault, sealed[:-1] + bytes([sealed[-1] ^ 1]), "name"),
    ):
        with pytest.raises(Defect):
            opener.open(data, name)


def test_each_purpose_has_its_own_key() -> None:
    vault = Vault(b"k" * 32)
    assert vault.derive("one") == vault.derive("one")
    assert vault.derive("one") != vault.derive("two")


@pytest.mark.parametrize("text", ["", "not base64!", base64.b64encode(b"short").decode()])
def test_a_key_encryption_key_that_is_none_is_refused_at_start(text: str) -> None:
    with pytest.raises(ValueError, match="KEY_ENCRYPTION_KEY"):
        read_key(text)


def test_a_vault_needs_a_whole_key() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        Vault(b"short")


def test_a_key_is_named_by_its_thumbprint_and_its_public_half_is_public() -> None:
    made = make_key()
    assert made.kid == ECKey.import_key({k: made.public_jwk[k] for k in ("kty", "crv", "x", "y")}).thumbprint()
    assert "d" not in made.public_jwk
    assert (made.public_jwk["use"], made.public_jwk["alg"]) == ("sig", "ES256")
    assert "private" not in repr(made)


def test_a_token_is_an_es256_access_token_with_the_keys_name() -> None:
    made = make_key()
    token = Signer(made.kid, made.private).sign({"sub": "usr_1"})
    decoded = jwt.decode(token, ECKey.import_key(made.public_jwk), algorithms=["ES256"])
    assert decoded.header == {"alg": "ES256", "typ": "at+jwt", "kid": made.kid}
    assert decoded.claims == {"sub": "usr_1"}


async def test_one_load_of_the_active_key_serves_everybody_for_half_a_minute(clock: ManualClock) -> None:
    loads = 0

    async def load() -> Signer:
        nonlocal loads
        loads += 1
        await asyncio.sleep(0)
        made = make_key()
        return Signer(made.kid, made.private)

    active = ActiveSigner(load, clock)
    signers = await asyncio.gather(*(active.current() for _ in range(20)))
    assert len({id(signer) for signer in signers}) == 1
    clock.advance(29)
    await active.current()
    assert loads == 1
    clock.advance(1)
    await active.current()
    active.forget()
    await active.current()
    assert loads == 3


def test_a_services_secret_matches_only_itself(make_settings: Any) -> None:
    secrets = ServiceSecrets.of(make_settings().service_clients)
    assert secrets.match("payments", "p" * 32)
    assert not secrets.match("payments", "g" * 32)
    assert not secrets.match("nobody", "p" * 32)
    assert not secrets.match("", "")


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"service_clients": {"stranger": "s" * 32}}, "no permissions are defined"),
        ({"service_clients": {"payments": "short"}}, "shorter than"),
        ({"key_encryption_key": "nonsense"}, "KEY_ENCRYPTION_KEY"),
        ({"trusted_proxies": "10.0.0.0/8, the gateway"}, "does not appear to be an IPv4 or IPv6 network"),
    ],
)
def test_settings_that_cannot_work_are_refused_at_start(make_settings: Any, change: dict[str, Any], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        make_settings(**change)


def test_settings_are_shown_without_their_secrets(make_settings: Any) -> None:
    shown = str(make_settings(database_url="postgresql://identity:hunter2@h/db").redacted())
    for secret in ("hunter2", "p" * 32, base64.b64encode(b"k" * 32).decode(), "a long enough secret"):
        assert secret not in shown


def test_the_shipped_list_holds_passwords_that_would_be_long_enough() -> None:
    common = read_common_passwords()
    assert {"qwertyuiop", "1234567890", "password123"} <= common
    assert len(common) > 1000
    assert all(len(password) >= 10 and password == password.casefold() for password in common)
