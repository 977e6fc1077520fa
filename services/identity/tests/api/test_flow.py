"""Proves the brief's flow over HTTP: register, sign in, who am I, refresh, sessions, log out; and its idempotence."""

from typing import Any

import httpx

EMAIL, PASSWORD = "ada@example.com", "a long enough secret"


async def register(http: httpx.AsyncClient, email: str = EMAIL) -> httpx.Response:
    return await http.post("/auth/register", json={"email": email, "password": PASSWORD, "full_name": "Ada"})


async def tokens(http: httpx.AsyncClient, email: str = EMAIL, **more: str) -> dict[str, Any]:
    answer = await http.post("/auth/token", data={"username": email, "password": PASSWORD, **more})
    assert answer.status_code == 200, answer.text
    return answer.json()


def bearer(given: dict[str, Any]) -> dict[str, str]:
    return {"Authorization": f"Bearer {given['access_token']}"}


async def test_registering_answers_201_with_the_person_and_then_409(http: httpx.AsyncClient) -> None:
    first, second = await register(http), await register(http, "Ada@Example.com")
    assert first.status_code == 201
    body = first.json()
    assert body["id"].startswith("usr_")
    assert (body["email"], body["full_name"], body["roles"]) == (EMAIL, "Ada", ["customer"])
    assert (body["email_verified"], body["last_login_at"]) == (False, None)
    assert "password" not in first.text
    assert second.status_code == 409
    assert second.headers["content-type"] == "application/problem+json"
    assert second.json()["code"] == "email-taken"


async def test_a_password_gives_tokens_as_a_form_and_as_json(http: httpx.AsyncClient) -> None:
    await register(http)
    form = await http.post(
        "/auth/token", data={"grant_type": "password", "username": EMAIL, "password": PASSWORD, "scope": ""}
    )
    assert form.status_code == 200
    assert form.headers["cache-control"] == "no-store"
    body = form.json()
    assert (body["token_type"], body["expires_in"]) == ("Bearer", 600)
    assert body["refresh_token"].startswith("llrt_")
    assert "wallet:write" in body["scope"].split()
    as_json = await http.post("/auth/token", json={"email": EMAIL, "password": PASSWORD})
    assert as_json.status_code == 200


async def test_me_tells_who_the_token_speaks_for(http: httpx.AsyncClient) -> None:
    person = (await register(http)).json()
    given = await tokens(http, scope="profile:read wallet:read")
    answer = await http.get("/auth/me", headers=bearer(given))
    assert answer.status_code == 200
    body = answer.json()
    assert body["id"] == person["id"]
    assert body["scope"] == ["profile:read", "wallet:read"]
    assert body["session"].startswith("ses_")
    assert body["last_login_at"] is not None


async def test_a_refresh_token_gives_a_successor_and_is_spent(http: httpx.AsyncClient) -> None:
    await register(http)
    first = await tokens(http)
    second = await http.post("/auth/refresh", json={"refresh_token": first["refresh_token"]})
    assert second.status_code == 200
    assert second.json()["refresh_token"] != first["refresh_token"]
    assert (await http.get("/auth/me", headers=bearer(second.json()))).status_code == 200
    third = await http.post(
        "/oauth/token", data={"grant_type": "refresh_token", "refresh_token": second.json()["refresh_token"]}
    )
    assert third.status_code == 200
    stale = await http.post("/auth/refresh", json={"refresh_token": first["refresh_token"]})
    assert (stale.status_code, stale.json()["error"]) == (400, "invalid_grant")
    # The stale one ended the session, the newest token with it.
    assert (await http.get("/auth/me", headers=bearer(third.json()))).json()["code"] == "session-ended"


async def test_logging_out_ends_the_session_at_once(http: httpx.AsyncClient) -> None:
    await register(http)
    given = await tokens(http)
    assert (await http.post("/auth/logout", headers=bearer(given))).status_code == 204
    answer = await http.get("/auth/me", headers=bearer(given))
    assert (answer.status_code, answer.json()["code"]) == (401, "session-ended")
    again = await http.post("/auth/refresh", json={"refresh_token": given["refresh_token"]})
    assert again.json()["code"] == "invalid-grant"


async def test_sessions_are_listed_and_ended_one_by_one_or_all_at_once(http: httpx.AsyncClient) -> None:
    await register(http)
    phone, laptop = await tokens(http, client_id="phone"), await tokens(http, client_id="laptop")
    listed = (await http.get("/auth/sessions", headers=bearer(laptop))).json()["items"]
    assert {(item["client_id"], item["current"]) for item in listed} == {("phone", False), ("laptop", True)}
    other = next(item["id"] for item in listed if not item["current"])
    for _ in range(2):
        assert (await http.delete(f"/auth/sessions/{other}", headers=bearer(laptop))).status_code == 204
    assert (await http.get("/auth/me", headers=bearer(phone))).status_code == 401
    await tokens(http)
    everywhere = await http.post("/auth/logout-all", headers=bearer(laptop))
    assert everywhere.json() == {"revoked": 2}
    assert (await http.get("/auth/me", headers=bearer(laptop))).status_code == 401


async def test_somebody_elses_session_is_not_found(http: httpx.AsyncClient) -> None:
    await register(http)
    await register(http, "eve@example.com")
    mine, eves = await tokens(http), await tokens(http, "eve@example.com")
    session = (await http.get("/auth/me", headers=bearer(mine))).json()["session"]
    answer = await http.delete(f"/auth/sessions/{session}", headers=bearer(eves))
    assert (answer.status_code, answer.json()["code"]) == (404, "session-unknown")
    assert (await http.get("/auth/me", headers=bearer(mine))).status_code == 200


async def test_a_refresh_token_can_be_revoked_by_the_standard_way(http: httpx.AsyncClient) -> None:
    await register(http)
    given = await tokens(http)
    for text in (given["refresh_token"], given["refresh_token"], "llrt_nonsense", "x"):
        assert (await http.post("/oauth/revoke", data={"token": text})).status_code == 200
    assert (await http.get("/auth/me", headers=bearer(given))).status_code == 401
