"""Proves who may do what: each route is guarded or public by name, and a guard lets in exactly those it should."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import httpx
import pytest_asyncio

from ledgerlink_contracts.ids import SessionId, UserId
from ledgerlink_contracts.permissions import Role
from ledgerlink_identity.app import PUBLIC_ROUTES, make_app
from ledgerlink_identity.commands.accounts import Registration, register
from ledgerlink_identity.commands.sign_ins import SignIn, give_service_token, sign_in
from ledgerlink_identity.runtime import Runtime
from ledgerlink_identity.store import people
from ledgerlink_identity.store.sessions import Origin
from ledgerlink_kit.testing import ManualClock, TokenMint, assert_every_route_is_guarded

HOME = Origin("203.0.113.7", "test-agent/1")
PASSWORD = "a long enough secret"
NOBODY = "usr_00000000000000000000000000"
NO_SESSION = "ses_00000000000000000000000000"

ROUTES: dict[str, tuple[str, str, Any]] = {
    "me": ("GET", "/auth/me", None),
    "sessions": ("GET", "/auth/sessions", None),
    "end-session": ("DELETE", f"/auth/sessions/{NO_SESSION}", None),
    "log-out": ("POST", "/auth/logout", None),
    "log-out-all": ("POST", "/auth/logout-all", None),
    "users": ("GET", "/auth/users", None),
    "user": ("GET", f"/auth/users/{NOBODY}", None),
    "roles": ("POST", f"/auth/users/{NOBODY}/roles", {"roles": ["customer"]}),
    "keys": ("GET", "/auth/signing-keys", None),
    "rotate": ("POST", "/auth/signing-keys/rotate", {}),
    "audit": ("GET", "/auth/audit/verification", None),
}
OWN = {"me", "sessions", "end-session", "log-out", "log-out-all"}
MATRIX: dict[str, set[str]] = {
    "customer": OWN,
    "merchant": OWN,
    "support": OWN,
    "risk_analyst": OWN,
    "operator": OWN,
    "auditor": OWN,
    "admin": set(ROUTES),
    "wallet-only": {"log-out", "log-out-all"},
    "reader": {"me", "sessions", "log-out", "log-out-all"},
    "service": set(),
}
"""Who may use which route; `wallet-only` and `reader` are customers whose tokens were narrowed."""
NARROWED = {"wallet-only": "wallet:read", "reader": "profile:read"}


@dataclass
class Visitor:
    """Somebody with a token."""

    http: httpx.AsyncClient
    token: str

    async def try_route(self, name: str) -> httpx.Response:
        method, path, body = ROUTES[name]
        return await self.http.request(method, path, json=body, headers={"Authorization": f"Bearer {self.token}"})


@pytest_asyncio.fixture
async def visit(rt: Runtime, http: httpx.AsyncClient) -> AsyncIterator[Callable[[str], Any]]:
    async def make(who: str) -> Visitor:
        if who == "service":
            return Visitor(http, (await give_service_token(rt, "payments", "p" * 32, None)).access_token)
        role = Role(who) if who in {role.value for role in Role} else Role.CUSTOMER
        user = await register(rt, Registration(f"{who}@example.com", PASSWORD, None), HOME)
        async with rt.db.transaction() as tx:
            await people.set_roles(tx, user.id, [role])
        given = await sign_in(rt, SignIn(f"{who}@example.com", PASSWORD, NARROWED.get(who), None), HOME)
        return Visitor(http, given.access_token)

    yield make


def test_every_route_is_guarded_or_public_by_name(rt: Runtime) -> None:
    assert_every_route_is_guarded(make_app(rt), PUBLIC_ROUTES)


async def test_each_caller_may_do_exactly_what_the_matrix_says(visit: Callable[[str], Any]) -> None:
    for who in MATRIX:
        await try_all(who, visit)


async def try_all(who: str, visit: Callable[[str], Any]) -> None:
    visitor = await visit(who)
    # What ends the session comes last.
    for name in sorted(ROUTES, key=lambda name: ("log-out" in name, name)):
        if name == "log-out-all" and "log-out" in MATRIX[who]:
            visitor = await visit_again(visitor, who)
        answer = await visitor.try_route(name)
        if name in MATRIX[who]:
            assert answer.status_code not in (401, 403), (who, name, answer.text)
        else:
            assert answer.status_code == 403, (who, name, answer.text)
            assert answer.json()["code"] in ("scope-missing", "person-required")


async def visit_again(visitor: Visitor, who: str) -> Visitor:
    answer = await visitor.http.post(
        "/auth/token",
        data={"username": f"{who}@example.com", "password": PASSWORD, "scope": NARROWED.get(who, "")},
    )
    return Visitor(visitor.http, answer.json()["access_token"])


async def test_without_a_token_nothing_is_open(http: httpx.AsyncClient) -> None:
    for method, path, body in ROUTES.values():
        answer = await http.request(method, path, json=body)
        assert (answer.status_code, answer.json()["code"]) == (401, "token-missing"), path
        assert answer.headers["www-authenticate"].startswith("Bearer ")


async def test_a_token_of_somebody_else_is_worth_nothing(http: httpx.AsyncClient) -> None:
    scopes = ["profile:read", "profile:write", "identity:admin"]
    forged = TokenMint().token(NOBODY, scopes, iss="http://issuer.test", sid=NO_SESSION)
    for name in ROUTES:
        answer = await Visitor(http, forged).try_route(name)
        assert (answer.status_code, answer.json()["code"]) == (401, "token-invalid"), name


async def test_a_good_token_of_an_ended_session_is_worth_nothing_here(visit: Callable[[str], Any], rt: Runtime) -> None:
    visitor = await visit("admin")
    assert (await visitor.try_route("log-out")).status_code == 204
    for name in ROUTES:
        answer = await visitor.try_route(name)
        assert (answer.status_code, answer.json()["code"]) == (401, "session-ended"), name


async def test_a_token_expires_after_ten_minutes(visit: Callable[[str], Any], clock: ManualClock) -> None:
    visitor = await visit("customer")
    clock.advance(599)
    assert (await visitor.try_route("me")).status_code == 200
    clock.advance(1)
    answer = await visitor.try_route("me")
    assert (answer.status_code, answer.json()["code"]) == (401, "token-expired")


async def test_ids_of_the_wrong_kind_are_refused(visit: Callable[[str], Any]) -> None:
    visitor = await visit("admin")
    user, session = UserId.parse(NOBODY), SessionId.parse(NO_SESSION)
    headers = {"Authorization": f"Bearer {visitor.token}"}
    for path in (f"/auth/users/{SessionId(user.uuid)}", f"/auth/users/{session.uuid}"):
        answer = await visitor.http.get(path, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid-request")
