"""Proves that no text breaks identity: surrogates, NUL and controls are refused or harmless, any script is kept."""

import json

import httpx

PASSWORD = "a long enough secret"
STRANGE = ("\ud800", "a\ud800b", "\x00", "a\x00b", "\u202e", "\uffff", "\x1b[31m")


async def test_strange_text_in_any_field_is_never_a_500(http: httpx.AsyncClient) -> None:
    headers = {"Content-Type": "application/json"}
    requests = [
        ("/auth/register", {"email": "ada@example.com", "password": PASSWORD, "full_name": "Ada"}),
        ("/auth/token", {"username": "ada@example.com", "password": PASSWORD, "client_id": "x", "scope": "a"}),
        ("/auth/refresh", {"refresh_token": "x", "client_id": "x"}),
        ("/auth/verification/request", {"email": "ada@example.com"}),
        ("/auth/verification/confirm", {"token": "x"}),
        ("/auth/password-reset/confirm", {"token": "x", "new_password": PASSWORD}),
        ("/oauth/token", {"grant_type": "client_credentials", "client_id": "x", "client_secret": "x"}),
        ("/oauth/revoke", {"token": "x"}),
        ("/oauth/introspect", {"token": "x", "client_id": "payments", "client_secret": "p" * 32}),
    ]
    for path, body in requests:
        for field in body:
            for text in STRANGE:
                content = json.dumps({**body, field: body[field] + text}).encode()
                answer = await http.post(path, content=content, headers=headers)
                assert answer.status_code < 500, (path, field, text.encode("unicode_escape"), answer.text)


async def test_a_name_in_any_script_is_kept_whole(http: httpx.AsyncClient) -> None:
    body = {"email": "ada@example.com", "password": PASSWORD, "full_name": "Ада Лавлейс 👩‍💻 ليلى"}
    assert (await http.post("/auth/register", json=body)).json()["full_name"] == body["full_name"]
