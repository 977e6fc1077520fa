"""Proves that only tokens of the pinned issuer, audience, type, algorithm and time are believed."""

import base64
import hmac
import json
from typing import Any

import pytest

from ledgerlink_kit.auth import ServiceTokens, bearer_token
from ledgerlink_kit.errors import Refused
from ledgerlink_kit.testing import ManualClock, TokenMint


def encoded(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


@pytest.fixture
def minting(clock: ManualClock) -> TokenMint:
    return TokenMint(clock)


async def test_a_good_token_gives_its_caller(minting: TokenMint) -> None:
    caller = await minting.verifier().verify(minting.token("usr_1", ["wallet:read"], sid="ses_1", roles=["customer"]))
    assert (caller.subject, caller.kind, caller.session_id, caller.roles) == ("usr_1", "user", "ses_1", {"customer"})
    assert caller.has("wallet:read")
    assert not caller.has("wallet:write")


@pytest.mark.parametrize(
    "flaw",
    [
        {"iss": "http://evil.test"},
        {"aud": "others"},
        {"exp": "soon"},
        {"sub": 7},
        {"iat": 4_000_000_000},
        {"nbf": 4_000_000_000},
        {"header": {"typ": "JWT"}},
        {"header": {"kid": "unknown"}},
        {"header": {"crit": ["b64"], "b64": True}},
    ],
)
async def test_a_token_with_one_flaw_is_refused(minting: TokenMint, flaw: dict[str, Any]) -> None:
    with pytest.raises(Refused, match="token-invalid"):
        await minting.verifier().verify(minting.token("usr_1", **flaw))


async def test_an_expired_token_is_refused_even_when_it_was_good_before(minting: TokenMint, clock: ManualClock) -> None:
    verifier, token = minting.verifier(), minting.token("usr_1", life_s=60)
    await verifier.verify(token)
    clock.advance(61)
    with pytest.raises(Refused, match="token-expired"):
        await verifier.verify(token)


async def test_an_unsigned_token_is_refused(minting: TokenMint) -> None:
    head, body, _ = minting.token("usr_1").split(".")
    none = encoded(json.dumps({"alg": "none", "typ": "at+jwt"}).encode())
    for forged in (f"{none}.{body}.", f"{head}.{body}.", f"{none}.{body}", "x", "", "ä" * 10, "a" * 9000):
        with pytest.raises(Refused, match="token-invalid"):
            await minting.verifier().verify(forged)


async def test_the_public_key_is_no_hmac_secret(minting: TokenMint) -> None:
    keys = await minting.jwks.keys(fresh=False)
    _, body, _ = minting.token("usr_1", ["ledger:write"]).split(".")
    head = encoded(json.dumps({"alg": "HS256", "typ": "at+jwt", "kid": keys.keys[0].kid}).encode())
    key: Any = keys.keys[0]
    public: bytes = key.as_pem(private=False)
    # What a verifier that takes any key for any algorithm would compute.
    forged = hmac.digest(public, f"{head}.{body}".encode(), "sha256")
    with pytest.raises(Refused, match="token-invalid"):
        await minting.verifier().verify(f"{head}.{body}.{encoded(forged)}")


async def test_a_token_of_another_key_is_refused(minting: TokenMint, clock: ManualClock) -> None:
    with pytest.raises(Refused, match="token-invalid"):
        await minting.verifier().verify(TokenMint(clock).token("usr_1"))


@pytest.mark.parametrize("header", [None, "", "Basic abc", "Bearer", "Bearer  ", "token"])
def test_a_header_without_a_bearer_token_is_refused(header: str | None) -> None:
    with pytest.raises(Refused, match="token-missing"):
        bearer_token(header)


async def test_a_service_fetches_its_token_once_and_again_before_it_ends(clock: ManualClock) -> None:
    fetched: list[int] = []

    async def fetch() -> tuple[str, float]:
        fetched.append(1)
        return f"token-{len(fetched)}", 600

    tokens = ServiceTokens(fetch, clock)
    assert [await tokens.token(), await tokens.token()] == ["token-1", "token-1"]
    clock.advance(571)
    assert await tokens.token() == "token-2"
    tokens.forget()
    assert await tokens.token() == "token-3"
