"""Proves each refusal of the edge: who may not pass, how much, what not, and what is said when a service is away."""

import asyncio
import base64
import hmac
from typing import Any

import orjson
import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet

from ledgerlink_gateway.domain.gcra import Per, Policy, WhenLost
from ledgerlink_gateway.domain.route_table import Route, compile_table
from ledgerlink_gateway.testing import MakeStand, RawReply, Stand, ask, raw, raw_upstream, request
from ledgerlink_kit.errors import Unavailable
from ledgerlink_kit.testing.tokens import TokenMint


def _problem(reply: RawReply) -> dict[str, Any]:
    body = orjson.loads(reply.body)
    assert reply.header("content-type") == "application/problem+json"
    assert reply.header("x-request-id") == body["request_id"]
    assert body["status"] == reply.status
    assert body["type"].endswith(f"/{body['code']}")
    return body


def _encode(part: dict[str, Any] | bytes) -> str:
    data = part if isinstance(part, bytes) else orjson.dumps(part)
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


async def _code_of(stand: Stand, token: str | None) -> tuple[int, str]:
    reply = await ask(stand.port, request("GET", "/api/v1/wallets", token=token))
    assert reply.header("www-authenticate") is not None
    return reply.status, _problem(reply)["code"]


async def test_without_a_token_nothing_passes(stand: Stand) -> None:
    assert await _code_of(stand, None) == (401, "token-missing")
    reply = await ask(stand.port, request("GET", "/api/v1/wallets", headers=[("authorization", "Basic YTpi")]))
    assert (reply.status, _problem(reply)["code"]) == (401, "token-missing")
    assert stand.upstream.requests == []


async def test_a_token_of_no_algorithm_is_refused(stand: Stand) -> None:
    claims = orjson.loads(base64.urlsafe_b64decode(stand.token.split(".")[1] + "=="))
    for algorithm in ("none", "None", "NONE", ""):
        forged = f"{_encode({'alg': algorithm, 'typ': 'at+jwt'})}.{_encode(claims)}."
        assert await _code_of(stand, forged) == (401, "token-invalid")


async def test_a_token_signed_with_the_public_key_as_a_shared_secret_is_refused(stand: Stand) -> None:
    keys = await stand.mint.jwks.keys(fresh=False)
    public = orjson.dumps(keys.as_dict(private=False))
    pem = keys.keys[0].as_pem(private=False)  # pyright: ignore[reportUnknownMemberType, reportAttributeAccessIssue, reportUnknownVariableType]
    claims = stand.token.split(".")[1]
    for secret in (public, bytes(pem)):  # pyright: ignore[reportUnknownArgumentType]
        head = _encode({"alg": "HS256", "typ": "at+jwt", "kid": keys.keys[0].kid})
        signature = hmac.digest(secret, f"{head}.{claims}".encode(), "sha256")
        assert await _code_of(stand, f"{head}.{claims}.{_encode(signature)}") == (401, "token-invalid")


async def test_tokens_that_are_not_for_us_or_not_for_now_are_refused(stand: Stand) -> None:
    mint = stand.mint
    cases = [
        (mint.token("usr_a", aud="other"), "token-invalid"),
        (mint.token("usr_a", iss="http://other"), "token-invalid"),
        (mint.token("usr_a", life_s=-1), "token-expired"),
        (mint.token("usr_a", nbf=4_000_000_000), "token-invalid"),
        (mint.token("usr_a", header={"typ": "JWT"}), "token-invalid"),
        (mint.token("usr_a", exp=None), "token-invalid"),
        (TokenMint().token("usr_a"), "token-invalid"),
        (stand.token[:-4] + "AAAA", "token-invalid"),
        (stand.token + "x" * 9000, "token-invalid"),
        ("not.a.token", "token-invalid"),
    ]
    for token, code in cases:
        assert await _code_of(stand, token) == (401, code)
    assert stand.upstream.requests == []


async def test_a_key_carried_in_the_token_itself_counts_for_nothing(stand: Stand) -> None:
    key = ECKey.generate_key("P-256", auto_kid=True)
    claims = orjson.loads(base64.urlsafe_b64decode(stand.token.split(".")[1] + "=="))
    head = {"alg": "ES256", "typ": "at+jwt", "jwk": key.as_dict(private=False)}
    assert await _code_of(stand, jwt.encode(head, claims, key)) == (401, "token-invalid")


async def test_a_token_that_was_good_is_refused_once_it_has_expired(stand: Stand) -> None:
    token = stand.mint.token("usr_a", life_s=2)
    assert (await ask(stand.port, request("GET", "/api/v1/wallets", token=token))).status == 200
    await asyncio.sleep(2.1)
    assert await _code_of(stand, token) == (401, "token-expired")


class NoKeys:
    """An issuer that is away."""

    async def keys(self, *, fresh: bool) -> KeySet:
        raise Unavailable("keys-unavailable", "The issuer's keys cannot be read now; try again.")


async def test_without_the_issuers_keys_the_answer_is_503_and_not_401(make_stand: MakeStand) -> None:
    stand = await make_stand(jwks=NoKeys())
    reply = await ask(stand.port, request("GET", "/api/v1/wallets", token=stand.token))
    assert (reply.status, _problem(reply)["code"], reply.header("retry-after")) == (503, "keys-unavailable", "1")


async def test_public_routes_need_no_token(stand: Stand) -> None:
    for method, path in [("POST", "/api/v1/auth/token"), ("GET", "/.well-known/jwks.json"), ("POST", "/oauth/token")]:
        assert (await ask(stand.port, request(method, path))).status == 200


async def test_an_unknown_path_and_an_unspoken_method_are_refused(stand: Stand) -> None:
    for path in ("/", "/api/v1/risk/metrics", "/api/v2/wallets", "/wallets"):
        reply = await ask(stand.port, request("GET", path, token=stand.token))
        assert (reply.status, _problem(reply)["code"]) == (404, "unknown-path")
    reply = await ask(stand.port, request("TRACE", "/api/v1/wallets", token=stand.token))
    assert (reply.status, _problem(reply)["code"]) == (405, "method-not-allowed")
    assert "GET" in (reply.header("allow") or "")


async def test_a_caller_is_limited_told_so_and_let_in_again(make_stand: MakeStand, redis_url: str) -> None:
    policies = [
        Policy(name="address", per=Per.ADDRESS, quota=100, window_s=60),
        Policy(name="caller", per=Per.CALLER, quota=2, window_s=2),
    ]
    row = Route(name="w", prefix="/w", upstream="wallet", target="/w", policies=("address", "caller"))
    stand = await make_stand(redis_url=redis_url, table=compile_table([row], policies, ["wallet"]))
    replies = [await ask(stand.port, request("GET", "/w", token=stand.token)) for _ in range(3)]
    assert [reply.status for reply in replies] == [200, 200, 429]
    assert replies[0].header("ratelimit-policy") == '"address";q=100;w=60, "caller";q=2;w=2'
    assert replies[0].header("ratelimit") == '"address";r=99;t=1, "caller";r=1;t=1'
    refused = _problem(replies[2])
    assert (refused["code"], refused["policies"]) == ("rate-limited", ["caller"])
    assert replies[2].header("retry-after") == "1"
    assert replies[2].header("ratelimit") is not None
    bob = stand.mint.token("usr_bob")
    assert (await ask(stand.port, request("GET", "/w", token=bob))).status == 200
    await asyncio.sleep(1.05)
    assert (await ask(stand.port, request("GET", "/w", token=stand.token))).status == 200


async def test_a_write_is_charged_more_than_a_read(make_stand: MakeStand) -> None:
    policies = [Policy(name="address", per=Per.ADDRESS, quota=100, window_s=60)]
    row = Route(name="w", prefix="/w", upstream="wallet", target="/w", cost=1, write_cost=5)
    stand = await make_stand(table=compile_table([row], policies, ["wallet"]))
    read = await ask(stand.port, request("GET", "/w", token=stand.token))
    write = await ask(stand.port, request("POST", "/w", token=stand.token, body=b"{}"))
    assert (read.header("ratelimit") or "").startswith('"address";r=99')
    assert (write.header("ratelimit") or "").startswith('"address";r=94')


async def test_guessing_tokens_and_paths_is_limited_by_address(make_stand: MakeStand) -> None:
    policies = [Policy(name="address", per=Per.ADDRESS, quota=3, window_s=60)]
    row = Route(name="w", prefix="/w", upstream="wallet", target="/w")
    stand = await make_stand(table=compile_table([row], policies, ["wallet"]))
    paths = ["/w", "/nowhere", "/w", "/w", "/nowhere"]
    assert [(await ask(stand.port, request("GET", path))).status for path in paths] == [401, 404, 401, 429, 429]


async def test_a_policy_that_closes_without_redis_says_503_and_never_500(make_stand: MakeStand) -> None:
    policies = [
        Policy(name="address", per=Per.ADDRESS, quota=3, window_s=60),
        Policy(name="strict", per=Per.ADDRESS, quota=3, window_s=60, when_lost=WhenLost.CLOSED),
    ]
    row = Route(name="w", prefix="/w", upstream="wallet", target="/w", policies=("strict",))
    stand = await make_stand(table=compile_table([row], policies, ["wallet"]))
    reply = await ask(stand.port, request("GET", "/w", token=stand.token))
    assert (reply.status, _problem(reply)["code"], reply.header("retry-after")) == (503, "limits-unavailable", "1")


async def test_a_body_beyond_the_limit_is_refused_by_its_head_or_by_its_length(stand: Stand) -> None:
    stated = request("POST", "/api/v1/wallets", token=stand.token, headers=[("content-length", "9999999")])
    reply = await ask(stand.port, stated)
    assert (reply.status, _problem(reply)["code"], reply.header("connection")) == (413, "body-too-large", "close")
    head = request(
        "POST",
        "/v1/payouts",
        token=stand.token,
        headers=[("transfer-encoding", "chunked"), ("content-type", "application/json")],
    )
    reply = await ask(stand.port, head + (b"10000\r\n" + b"x" * 65536 + b"\r\n") * 20)
    assert (reply.status, _problem(reply)["code"]) == (413, "body-too-large")
    head = request("POST", "/api/v1/wallets", token=stand.token, headers=[("transfer-encoding", "chunked")])
    reply = await ask(stand.port, head + (b"10000\r\n" + b"x" * 65536 + b"\r\n") * 20)
    assert (reply.status, _problem(reply)["code"]) == (413, "body-too-large")


@pytest.mark.parametrize(
    ("body", "media_type", "code"),
    [
        (b'{"card": "4242424242424242"}', "application/json", "card_data_not_allowed"),
        (b'{"card": {"cvc": "123"}}', "application/json; charset=utf-8", "card_data_not_allowed"),
        (b"card[number]=4242+4242+4242+4242", "application/x-www-form-urlencoded", "card_data_not_allowed"),
        (b"4242424242424242", "text/plain", "unsupported-media-type"),
    ],
)
async def test_card_data_never_reaches_a_service(stand: Stand, body: bytes, media_type: str, code: str) -> None:
    sent = request("POST", "/v1/payment_intents", token=stand.token, body=body, headers=[("content-type", media_type)])
    reply = await ask(stand.port, sent)
    problem = _problem(reply)
    assert problem["code"] == problem["error"]["code"] == code
    assert b"4242" not in reply.body
    assert stand.upstream.requests == []


async def test_card_data_in_a_query_or_a_packed_body_never_reaches_a_service(stand: Stand) -> None:
    reply = await ask(stand.port, request("GET", "/v1/charges?number=4242424242424242", token=stand.token))
    assert (reply.status, _problem(reply)["code"]) == (400, "card_data_not_allowed")
    packed = request(
        "POST", "/v1/payment_intents", token=stand.token, body=b"x", headers=[("content-encoding", "gzip")]
    )
    assert _problem(await ask(stand.port, packed))["code"] == "unsupported-media-type"
    assert stand.upstream.requests == []


async def test_a_payment_without_card_data_passes(stand: Stand) -> None:
    body = b"amount=1000&currency=gbp&payment_method=pm_card_visa&confirm=true"
    form = [("content-type", "application/x-www-form-urlencoded"), ("idempotency-key", "k")]
    reply = await ask(stand.port, request("POST", "/v1/payment_intents", token=stand.token, body=body, headers=form))
    assert reply.status == 200
    assert stand.upstream.requests[0].body == body


async def test_a_service_that_is_down_gives_503_with_a_time_to_come_back(make_stand: MakeStand) -> None:
    async with raw_upstream() as gone:
        pass
    stand = await make_stand(wallet_url=gone.url)
    reply = await ask(stand.port, request("POST", "/api/v1/transfers", token=stand.token, body=b"{}"))
    problem = _problem(reply)
    assert (reply.status, problem["code"], problem["upstream"]) == (503, "upstream-unavailable", "wallet")
    assert reply.header("retry-after") == "1"
    assert "outcome_unknown" not in problem
    assert str(gone.port).encode() not in reply.body


@pytest.mark.parametrize(
    ("answer", "status", "code"),
    [
        (raw(b"", close=True), 502, "upstream-lost"),
        (raw(b"HTTP/1.1 200 OK\r\nx", close=True), 502, "upstream-lost"),
        (raw(b"nonsense\r\n\r\n"), 502, "upstream-invalid"),
    ],
)
async def test_a_service_that_breaks_off_gives_502_and_says_that_the_outcome_is_unknown(
    stand: Stand, answer: Any, status: int, code: str
) -> None:
    stand.upstream.otherwise = answer
    reply = await ask(stand.port, request("POST", "/api/v1/transfers", token=stand.token, body=b"{}"))
    problem = _problem(reply)
    assert (reply.status, problem["code"], problem["outcome_unknown"]) == (status, code, True)


async def test_a_service_that_does_not_answer_gives_504(make_stand: MakeStand) -> None:
    policies = [Policy(name="address", per=Per.ADDRESS, quota=100, window_s=60)]
    row = Route(name="w", prefix="/w", upstream="wallet", target="/w", timeout_s=0.1)
    stand = await make_stand(table=compile_table([row], policies, ["wallet"]))
    stand.upstream.otherwise = raw(b"", wait_s=5)
    reply = await ask(stand.port, request("GET", "/w", token=stand.token))
    assert (reply.status, _problem(reply)["code"]) == (504, "upstream-timeout")


async def test_a_keyed_post_survives_a_service_that_closed_its_idle_connection(stand: Stand) -> None:
    await ask(stand.port, request("GET", "/api/v1/wallets", token=stand.token))
    stand.upstream.answers = [raw(b"", close=True)]
    key = [("idempotency-key", "k1")]
    reply = await ask(stand.port, request("POST", "/api/v1/transfers", token=stand.token, body=b"{}", headers=key))
    assert reply.status == 200
    assert [seen.header("idempotency-key") for seen in stand.upstream.requests] == [None, "k1", "k1"]
