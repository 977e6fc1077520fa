"""Proves that every problem code of identity can be met over HTTP, with its status, as problem+json."""

import asyncio
import base64
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio

from ledgerlink_identity.app import make_app
from ledgerlink_identity.commands.keys import rotate_keys
from ledgerlink_identity.runtime import Runtime
from ledgerlink_kit.testing import client_for

EMAIL, PASSWORD = "ada@example.com", "a long enough secret"
ADMIN = "root@ledgerlink.test"
NOBODY = "usr_00000000000000000000000000"
BASIC = "Basic " + base64.b64encode(b"payments:" + b"p" * 32).decode()


async def bearer(http: httpx.AsyncClient, email: str) -> dict[str, str]:
    answer = await http.post("/auth/token", data={"username": email, "password": PASSWORD})
    assert answer.status_code == 200, answer.text
    return {"Authorization": f"Bearer {answer.json()['access_token']}"}


@pytest_asyncio.fixture
async def ada(http: httpx.AsyncClient) -> AsyncIterator[dict[str, str]]:
    """Ada has an account; these are her headers."""
    await http.post("/auth/register", json={"email": EMAIL, "password": PASSWORD})
    yield await bearer(http, EMAIL)


@pytest_asyncio.fixture
async def admin(http: httpx.AsyncClient) -> AsyncIterator[dict[str, str]]:
    yield await bearer(http, ADMIN)


def problem(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    assert (answer.status_code, answer.json().get("code")) == (status, code), answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["request_id"] == answer.headers["x-request-id"]
    return answer.json()


REGISTER = {"email": "new@example.com", "password": PASSWORD}


async def test_a_registration_that_does_not_fit(http: httpx.AsyncClient) -> None:
    for change, code in (
        ({"email": None}, "invalid-request"),
        ({"roles": ["admin"]}, "invalid-request"),
        ({"email": 5}, "invalid-request"),
        ({"full_name": ""}, "invalid-request"),
        ({"full_name": "a\u0000b"}, "invalid-request"),
        ({"email": "not an address"}, "invalid-email"),
        ({"password": "hunter2"}, "weak-password"),
        ({"password": "new@example.com"}, "weak-password"),
    ):
        body = problem(await http.post("/auth/register", json={**REGISTER, **change}), 422, code)
        assert "hunter2" not in str(body)
    problem(await http.post("/auth/register", json={}), 422, "invalid-request")


async def test_bad_json_a_wrong_type_and_a_large_body(http: httpx.AsyncClient) -> None:
    json_type = {"Content-Type": "application/json"}
    problem(await http.post("/auth/register", content=b"{", headers=json_type), 400, "malformed-body")
    xml = {"Content-Type": "application/xml"}
    problem(await http.post("/auth/register", content=b"<a/>", headers=xml), 415, "unsupported-media-type")
    large = b'{"email": "' + b"a" * (1024 * 1024) + b'"}'
    problem(await http.post("/auth/register", content=large, headers=json_type), 413, "body-too-large")


@pytest.mark.usefixtures("ada")
async def test_an_address_that_is_taken(http: httpx.AsyncClient) -> None:
    problem(await http.post("/auth/register", json={"email": EMAIL, "password": PASSWORD}), 409, "email-taken")


@pytest.mark.usefixtures("ada")
async def test_a_wrong_password_and_then_too_many(http: httpx.AsyncClient) -> None:
    for email in (EMAIL, "nobody@example.com", "not an address"):
        await guess(http, email)


async def guess(http: httpx.AsyncClient, email: str) -> None:
    for _ in range(5):
        answer = await http.post("/auth/token", data={"username": email, "password": "wrong"})
        body = problem(answer, 400, "invalid-grant")
        assert body["error"] == "invalid_grant"
        assert body["error_description"] == body["detail"] == "The address or the password is wrong."
    answer = await http.post("/auth/token", data={"username": email, "password": PASSWORD})
    assert problem(answer, 429, "too-many-attempts")["error"] == "temporarily_unavailable"
    assert answer.headers["retry-after"] == "2"
    elsewhere = {"X-Forwarded-For": "203.0.113.50"}
    answer = await http.post("/auth/token", data={"username": email, "password": PASSWORD}, headers=elsewhere)
    assert answer.status_code == (200 if email == EMAIL else 400)


UNREADABLE = (
    (b"", "application/x-www-form-urlencoded"),
    (b"a=1&a=2", "application/x-www-form-urlencoded"),
    (b"a=%ff", "application/x-www-form-urlencoded"),
    ("ä=1".encode(), "application/x-www-form-urlencoded"),
    (b"&".join(b"a%d=1" % number for number in range(60)), "application/x-www-form-urlencoded"),
    (b"{", "application/json"),
    (b"[]", "application/json"),
    (b'{"grant_type": 5, "refresh_token": 5, "token": []}', "application/json"),
)


async def test_an_oauth_request_that_cannot_be_read(http: httpx.AsyncClient) -> None:
    for path in ("/auth/token", "/auth/refresh", "/oauth/token", "/oauth/revoke", "/oauth/introspect"):
        for content, media_type in UNREADABLE:
            answer = await http.post(path, content=content, headers={"Content-Type": media_type})
            assert answer.status_code == 400, (path, content, answer.text)
            assert answer.json()["error"] in ("invalid_request", "unsupported_grant_type")


async def test_a_field_that_no_grant_knows_is_named_and_not_repeated(http: httpx.AsyncClient) -> None:
    form = {"username": EMAIL, "password": PASSWORD, "otp": "123456"}
    body = problem(await http.post("/auth/token", data=form), 400, "invalid-request")
    assert body["errors"] == [{"path": "otp", "message": "Extra inputs are not permitted"}]
    assert "123456" not in str(body)


async def test_grants_that_are_not_offered(http: httpx.AsyncClient) -> None:
    for kind in ("authorization_code", "password"):
        body = problem(await http.post("/oauth/token", data={"grant_type": kind}), 400, "unsupported-grant-type")
        assert body["error"] == "unsupported_grant_type"
    form = {"grant_type": "implicit", "username": EMAIL, "password": PASSWORD}
    problem(await http.post("/auth/token", data=form), 400, "invalid-request")


@pytest.mark.usefixtures("ada")
async def test_a_scope_that_cannot_be_had(http: httpx.AsyncClient) -> None:
    for scope in ("identity:admin", "no:such"):
        form = {"username": EMAIL, "password": PASSWORD, "scope": scope}
        assert problem(await http.post("/auth/token", data=form), 400, "invalid-scope")["error"] == "invalid_scope"


async def test_codes_that_were_never_mailed(http: httpx.AsyncClient) -> None:
    problem(await http.post("/auth/verification/confirm", json={"token": "x"}), 400, "one-time-token-invalid")
    body = {"token": "x", "new_password": PASSWORD}
    problem(await http.post("/auth/password-reset/confirm", json=body), 400, "one-time-token-invalid")


@pytest.mark.usefixtures("ada")
async def test_everybody_who_asks_for_a_mail_gets_the_same_answer(http: httpx.AsyncClient) -> None:
    for path in ("/auth/verification/request", "/auth/password-reset/request"):
        answers = [
            await http.post(path, json={"email": email}, headers={"X-Request-ID": "same"})
            for email in (EMAIL, "nobody@example.com")
        ]
        assert answers[0].status_code == answers[1].status_code == 202
        assert answers[0].content == answers[1].content
        assert answers[0].headers == answers[1].headers
        problem(await http.post(path, json={"email": "not an address"}), 422, "invalid-email")


async def test_people_sessions_and_roles_that_are_not_there(http: httpx.AsyncClient, admin: dict[str, str]) -> None:
    problem(await http.get(f"/auth/users/{NOBODY}", headers=admin), 404, "user-unknown")
    body = {"roles": ["customer"]}
    problem(await http.post(f"/auth/users/{NOBODY}/roles", json=body, headers=admin), 404, "user-unknown")
    session = "ses_00000000000000000000000000"
    problem(await http.delete(f"/auth/sessions/{session}", headers=admin), 404, "session-unknown")
    problem(await http.get("/auth/users?cursor=nonsense", headers=admin), 400, "invalid-cursor")
    cursor = base64.urlsafe_b64encode(b'{"after":"wal_0"}').decode().rstrip("=")
    problem(await http.get(f"/auth/users?cursor={cursor}", headers=admin), 400, "invalid-cursor")
    for bad in ("limit=0", "limit=101", "role=emperor", "email=%00"):
        problem(await http.get(f"/auth/users?{bad}", headers=admin), 422, "invalid-request")


async def test_the_last_admin_keeps_the_role(http: httpx.AsyncClient, admin: dict[str, str]) -> None:
    me = (await http.get("/auth/me", headers=admin)).json()["id"]
    path = f"/auth/users/{me}/roles"
    problem(await http.post(path, json={"roles": ["customer"]}, headers=admin), 409, "last-admin")
    problem(await http.post(path, json={"roles": []}, headers=admin), 422, "invalid-request")
    problem(await http.post(path, json={"roles": ["emperor"]}, headers=admin), 422, "invalid-request")


async def test_a_key_that_verifiers_do_not_know_yet(
    http: httpx.AsyncClient, admin: dict[str, str], rt: Runtime
) -> None:
    body = problem(await http.post("/auth/signing-keys/rotate", json={}, headers=admin), 409, "signing-key-too-young")
    assert body["ready_at"]
    forced = await http.post("/auth/signing-keys/rotate", json={"force": True}, headers=admin)
    assert [key["state"] for key in forced.json()["items"]].count("retired") == 1
    await rotate_keys(rt, force=True, actor="test")


async def test_a_client_that_is_not_who_it_says(http: httpx.AsyncClient) -> None:
    grant = {"grant_type": "client_credentials"}
    for more, headers in (
        ({"client_id": "payments", "client_secret": "wrong"}, {}),
        ({"client_id": "nobody", "client_secret": "p" * 32}, {}),
        ({}, {"Authorization": "Basic " + base64.b64encode(b"payments:wrong").decode()}),
        ({}, {}),
    ):
        answer = await http.post("/oauth/token", data={**grant, **more}, headers=headers)
        assert problem(answer, 401, "invalid-client")["error"] == "invalid_client"
        assert answer.headers["www-authenticate"] == 'Basic realm="ledgerlink"'
    both = await http.post("/oauth/token", data={**grant, "client_secret": "x"}, headers={"Authorization": BASIC})
    problem(both, 400, "invalid-request")
    for broken in ("Basic !", "Basic " + base64.b64encode(b"no colon").decode(), "Basic /w=="):
        answer = await http.post("/oauth/token", data=grant, headers={"Authorization": broken})
        problem(answer, 400, "invalid-request")


async def test_an_unverified_person_where_that_is_demanded(make_rt: Any) -> None:
    async with client_for(make_app(await make_rt(require_verified_email=True))) as http:
        await http.post("/auth/register", json={"email": EMAIL, "password": PASSWORD})
        answer = await http.post("/auth/token", data={"username": EMAIL, "password": PASSWORD})
        problem(answer, 403, "email-not-verified")
        assert (await http.post("/auth/token", data={"username": ADMIN, "password": PASSWORD})).status_code == 200


async def test_too_many_passwords_at_once(make_rt: Any) -> None:
    async with client_for(make_app(await make_rt(hash_threads=1, hash_waiting_max=2))) as http:
        # One thread, two in line: of a dozen at once most must come back later.
        tries = [http.post("/auth/token", data={"username": f"u{n}@example.com", "password": "x"}) for n in range(12)]
        answers = await asyncio.gather(*tries)
    busy = next(answer for answer in answers if answer.status_code != 400)
    problem(busy, 503, "sign-in-busy")
    assert busy.headers["retry-after"] == "2"
