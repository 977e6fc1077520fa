"""Proves what services, verifiers and admins get: tokens, introspection, the key set, metadata, lists of people."""

import base64
from typing import Any

import httpx
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet

from ledgerlink_contracts.permissions import SERVICE_SCOPES
from ledgerlink_kit.testing import ManualClock

PASSWORD = "a long enough secret"
ADMIN = "root@ledgerlink.test"
GRANT = {"grant_type": "client_credentials"}


def basic(client_id: str, secret: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{client_id}:{secret}".encode()).decode()}


async def admin(http: httpx.AsyncClient) -> dict[str, str]:
    answer = await http.post("/auth/token", data={"username": ADMIN, "password": PASSWORD})
    return {"Authorization": f"Bearer {answer.json()['access_token']}"}


async def claims_of(http: httpx.AsyncClient, token: str) -> dict[str, Any]:
    keys = KeySet.import_key_set((await http.get("/.well-known/jwks.json")).json())
    return jwt.decode(token, keys, algorithms=["ES256"]).claims


async def test_a_service_gets_a_token_that_names_it_and_no_refresh_token(http: httpx.AsyncClient) -> None:
    for way in ("basic", "post", "json"):
        await ask(http, way)


async def ask(http: httpx.AsyncClient, way: str) -> None:
    secret = {"client_id": "payments", "client_secret": "p" * 32}
    if way == "basic":
        answer = await http.post("/oauth/token", data=GRANT, headers=basic("payments", "p" * 32))
    elif way == "post":
        answer = await http.post("/oauth/token", data={**GRANT, **secret})
    else:
        answer = await http.post("/oauth/token", json={**GRANT, **secret})
    body = answer.json()
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    assert "refresh_token" not in body
    claims = await claims_of(http, body["access_token"])
    assert (claims["sub"], claims["client_id"], claims["typ_sub"]) == ("svc_payments", "payments", "service")
    assert set(claims["scope"].split()) == SERVICE_SCOPES["payments"]
    assert claims["exp"] - claims["iat"] == body["expires_in"] == 600
    assert (claims["iss"], claims["aud"]) == ("http://issuer.test", "ledgerlink")


async def test_a_service_may_ask_for_less_and_not_for_more(http: httpx.AsyncClient) -> None:
    headers = basic("payments", "p" * 32)
    less = await http.post("/oauth/token", data={**GRANT, "scope": "risk:decide"}, headers=headers)
    assert less.json()["scope"] == "risk:decide"
    more = await http.post("/oauth/token", data={**GRANT, "scope": "identity:admin"}, headers=headers)
    assert more.json()["error"] == "invalid_scope"
    nothing = await http.post("/oauth/token", data=GRANT, headers=basic("gateway", "g" * 32))
    assert (nothing.status_code, nothing.json()["scope"]) == (200, "")


async def test_introspection_knows_when_a_session_has_ended(http: httpx.AsyncClient) -> None:
    given = (await http.post("/auth/token", data={"username": ADMIN, "password": PASSWORD})).json()
    headers = basic("gateway", "g" * 32)

    async def told(token: str) -> dict[str, Any]:
        return (await http.post("/oauth/introspect", data={"token": token}, headers=headers)).json()

    alive = await told(given["access_token"])
    assert alive["active"] is True
    assert alive["sub"].startswith("usr_")
    service = await http.post("/oauth/token", data=GRANT, headers=headers)
    assert (await told(service.json()["access_token"]))["sub"] == "svc_gateway"
    bearer = {"Authorization": f"Bearer {given['access_token']}"}
    await http.post("/auth/logout", headers=bearer)
    assert await told(given["access_token"]) == {"active": False}
    assert await told("nonsense") == {"active": False}
    assert (await http.post("/oauth/introspect", data={"token": "x"})).status_code == 401


async def test_the_key_set_is_public_named_by_thumbprint_and_cacheable(http: httpx.AsyncClient) -> None:
    answer = await http.get("/.well-known/jwks.json")
    assert answer.headers["cache-control"] == "public, max-age=300"
    keys = answer.json()["keys"]
    assert len(keys) == 2
    for key in keys:
        assert set(key) == {"kty", "crv", "x", "y", "kid", "use", "alg"}
        assert ECKey.import_key({name: key[name] for name in ("kty", "crv", "x", "y")}).thumbprint() == key["kid"]


async def test_the_metadata_says_where_everything_is(http: httpx.AsyncClient) -> None:
    body = (await http.get("/.well-known/oauth-authorization-server")).json()
    assert body["issuer"] == "http://issuer.test"
    for name in ("token_endpoint", "jwks_uri", "revocation_endpoint", "introspection_endpoint"):
        path = body[name].removeprefix("http://issuer.test")
        answer = await http.get(path)
        assert answer.status_code == (200 if name == "jwks_uri" else 405), name
    assert "wallet:read" in body["scopes_supported"]


async def test_an_admin_pages_through_people_and_finds_one(http: httpx.AsyncClient, clock: ManualClock) -> None:
    for number in range(4):
        clock.advance(1)
        await http.post("/auth/register", json={"email": f"user{number}@example.com", "password": PASSWORD})
    headers, seen, cursor = await admin(http), list[str](), ""
    page: dict[str, Any] = {}
    for _ in range(3):
        page = (await http.get(f"/auth/users?limit=2{cursor}", headers=headers)).json()
        seen += [item["email"] for item in page["items"]]
        cursor = f"&cursor={page['next_cursor']}"
    assert page["next_cursor"] is None
    assert seen == [ADMIN, *(f"user{number}@example.com" for number in range(4))]
    one = (await http.get("/auth/users?email=USER2@example.com", headers=headers)).json()["items"]
    assert [item["email"] for item in one] == ["user2@example.com"]
    admins = (await http.get("/auth/users?role=admin", headers=headers)).json()["items"]
    assert [item["email"] for item in admins] == [ADMIN]
    assert (await http.get(f"/auth/users/{one[0]['id']}", headers=headers)).json() == one[0]


async def test_an_admin_gives_roles_that_the_next_token_carries(http: httpx.AsyncClient) -> None:
    ada = {"email": "ada@example.com", "password": PASSWORD}
    user = (await http.post("/auth/register", json=ada)).json()
    headers = await admin(http)
    path = f"/auth/users/{user['id']}/roles"
    for _ in range(2):
        changed = await http.post(path, json={"roles": ["risk_analyst", "customer", "customer"]}, headers=headers)
        assert changed.json()["roles"] == ["customer", "risk_analyst"]
    given = (await http.post("/auth/token", json=ada)).json()
    assert "risk:review" in given["scope"].split()
    claims = await claims_of(http, given["access_token"])
    assert (claims["roles"], claims["email_verified"]) == (["customer", "risk_analyst"], False)
    audit = (await http.get("/auth/audit/verification", headers=headers)).json()
    assert (audit["findings"], audit["checked"]) == ([], 0)
    assert audit["unsealed"] == 5


async def test_the_clients_address_is_taken_from_trusted_proxies_only(http: httpx.AsyncClient) -> None:
    form = {"username": ADMIN, "password": PASSWORD}
    for forwarded in (
        "203.0.113.9",
        "10.9.9.9, 203.0.113.9",
        "203.0.113.9, 127.0.0.1",
        "nonsense",
        "203.0.113.9, nonsense",
    ):
        answer = await http.post("/auth/token", data=form, headers={"X-Forwarded-For": forwarded})
        headers = {"Authorization": f"Bearer {answer.json()['access_token']}"}
        items = (await http.get("/auth/sessions", headers=headers)).json()["items"]
        address = next(item["address"] for item in items if item["current"])
        assert address == ("127.0.0.1" if "nonsense" in forwarded else "203.0.113.9"), forwarded


async def test_health_readiness_and_metrics_are_open(http: httpx.AsyncClient) -> None:
    assert (await http.get("/healthz")).status_code == 200
    assert (await http.get("/readyz")).json()["checks"] == {"database": "ok"}
    await http.post("/auth/token", data={"username": ADMIN, "password": "wrong"})
    assert 'ledgerlink_identity_sign_ins_total{outcome="failed"}' in (await http.get("/metrics")).text
