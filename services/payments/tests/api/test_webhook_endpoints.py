"""Proves what owners of webhook endpoints see: Stripe's dialect, the secret once, only their own, every refusal."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
import pytest_asyncio
import stripe

from ledgerlink_contracts.ids import EventId, UserId, WebhookEndpointId
from ledgerlink_contracts.risk.fake import FakeRisk
from ledgerlink_contracts.wallet.fake import FakeWallet
from ledgerlink_kit.db import Database
from ledgerlink_kit.testing import ManualClock, TokenMint, client_for
from ledgerlink_payments import store as core
from ledgerlink_payments.app import make_app
from ledgerlink_payments.commands.webhook_delivery import Couriers
from ledgerlink_payments.connectors.fake import FakeConnector
from ledgerlink_payments.connectors.outgoing import Try
from ledgerlink_payments.domain.webhooks import ENDPOINTS_MAX, Outcome
from ledgerlink_payments.runtime import Open, Runtime, Settings

SCOPES = ("payments:read", "payments:write")
BASE = "/v1/webhook_endpoints"


class Deaf:
    """A sender whose receivers all answer 500."""

    async def send(self, url: str, headers: Any, body: bytes) -> Try:
        return Try(Outcome(500), f"deaf {headers['webhook-id']}", 3)

    async def close(self) -> None:
        """Nothing is open."""


@dataclass
class House:
    """The app, a client that speaks for ``me``, and ways to be somebody else."""

    client: httpx.AsyncClient
    rt: Runtime
    clock: ManualClock
    mint: TokenMint
    me: str

    def as_(self, subject: str, *scopes: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.mint.token(subject, scopes or SCOPES)}"}

    async def make(self, **form: Any) -> dict[str, Any]:
        made = await self.client.post(
            BASE, data={"url": "https://a.test/hook", "enabled_events[]": "*", **form}, headers=self.as_(self.me)
        )
        assert made.status_code == 200, made.text
        return made.json()

    async def event(self, owner: str | None = None) -> str:
        async with self.rt.db.transaction() as tx:
            await core.add_events(tx, [("payout.paid", {"id": "po_1"}, owner or self.me, None)], self.clock.now())
        listed = await self.client.get("/v1/events", headers=self.as_(owner or self.me))
        return listed.json()["data"][0]["id"]


@pytest_asyncio.fixture
async def house(
    make_database: Callable[[str], Awaitable[Database]], clock: ManualClock, mint: TokenMint
) -> AsyncGenerator[House]:
    db = await make_database("ledgerlink_payments")
    rt = Runtime(db, clock, FakeWallet(clock), FakeRisk(clock), {"fake": FakeConnector(clock)}, "fake")
    settings = Settings.model_validate({"environment": "test", "database_url": db.url})
    async with client_for(make_app(settings, Open(rt, ()), mint.verifier())) as client:
        yield House(client, rt, clock, mint, str(UserId.new(clock.now())))


async def test_the_secret_is_shown_when_it_is_made_and_never_again(house: House) -> None:
    made = await house.make(description="books", **{"metadata[team]": "x"})
    assert made["secret"].startswith("whsec_")
    assert (made["object"], made["status"], made["enabled_events"], made["metadata"]) == (
        "webhook_endpoint",
        "enabled",
        ["*"],
        {"team": "x"},
    )
    seen = (await house.client.get(f"{BASE}/{made['id']}", headers=house.as_(house.me))).json()
    assert seen == {name: value for name, value in made.items() if name != "secret"}
    listed = (await house.client.get(BASE, headers=house.as_(house.me))).json()
    assert (listed["object"], listed["data"]) == ("list", [seen])


async def test_what_is_shown_reads_as_stripes_own_object(house: House) -> None:
    shown = stripe.WebhookEndpoint.construct_from(await house.make(), "key")  # pyright: ignore[reportUnknownMemberType]
    assert (shown.object, shown.url, shown.secret) == ("webhook_endpoint", "https://a.test/hook", shown["secret"])


async def test_json_is_read_as_well_as_forms(house: House) -> None:
    body = {"url": "https://a.test/", "enabled_events": ["payout.paid"], "metadata": {"a": "b"}}
    made = await house.client.post(BASE, json=body, headers=house.as_(house.me))
    assert (made.status_code, made.json()["enabled_events"]) == (200, ["payout.paid"])


async def test_one_key_makes_one_endpoint_with_one_secret(house: House) -> None:
    headers = {**house.as_(house.me), "Idempotency-Key": "k1"}
    form = {"url": "https://a.test/", "enabled_events[]": "*"}
    first, second = [await house.client.post(BASE, data=form, headers=headers) for _ in range(2)]
    assert first.content == second.content
    assert second.headers["Idempotency-Replayed"] == "true"
    other = await house.client.post(BASE, data={**form, "url": "https://b.test/"}, headers=headers)
    assert (other.status_code, other.json()["differs"]) == (422, ["url"])


async def test_an_endpoint_is_changed_disabled_and_enabled(house: House) -> None:
    made = await house.make(**{"metadata[a]": "1"})
    form = {"url": "https://b.test/", "enabled_events[0]": "payout.paid", "metadata[a]": "", "description": "new"}
    changed = await house.client.post(f"{BASE}/{made['id']}", data=form, headers=house.as_(house.me))
    shown = changed.json()
    assert (shown["url"], shown["enabled_events"], shown["metadata"], shown["description"]) == (
        "https://b.test/",
        ["payout.paid"],
        {},
        "new",
    )
    assert "secret" not in shown
    for flag, status in (("true", "disabled"), ("false", "enabled")):
        answer = await house.client.post(f"{BASE}/{made['id']}", data={"disabled": flag}, headers=house.as_(house.me))
        assert answer.json()["status"] == status


async def test_a_rotated_secret_is_new_and_shown_once(house: House) -> None:
    made = await house.make()
    path = f"{BASE}/{made['id']}/rotate_secret"
    rotated = (await house.client.post(path, data={"overlap": "60"}, headers=house.as_(house.me))).json()
    assert rotated["secret"] != made["secret"]
    async with house.rt.db.reading() as view:
        [(row,)] = [(row,) for row in (await view.exec_driver_sql("SELECT * FROM webhook_endpoints")).all()]
    assert (row.secret, row.old_secret) == (rotated["secret"], made["secret"])
    assert (row.old_secret_until - house.clock.now()).total_seconds() == 60
    too_long = await house.client.post(path, data={"overlap": str(8 * 86_400)}, headers=house.as_(house.me))
    assert (too_long.status_code, too_long.json()["error"]["param"]) == (400, "overlap")


async def test_a_deleted_endpoint_is_gone(house: House) -> None:
    made = await house.make()
    deleted = await house.client.delete(f"{BASE}/{made['id']}", headers=house.as_(house.me))
    assert deleted.json() == {"id": made["id"], "object": "webhook_endpoint", "deleted": True}
    again = await house.client.delete(f"{BASE}/{made['id']}", headers=house.as_(house.me))
    assert (again.status_code, again.json()["code"]) == (404, "resource-missing")


async def test_deliveries_are_listed_with_their_tries_and_an_event_is_sent_once_more(house: House) -> None:
    made = await house.make()
    event = await house.event()
    couriers = Couriers(house.rt.db, house.clock, Deaf())
    while await couriers.run_once():
        await couriers.finish()
    path = f"{BASE}/{made['id']}/deliveries"
    house.clock.advance(1)
    replayed = await house.client.post(path, data={"event": event}, headers=house.as_(house.me))
    assert (replayed.status_code, replayed.json()["status"]) == (200, "pending")
    listed = (await house.client.get(path, headers=house.as_(house.me))).json()
    assert [(one["event"], one["replay"], len(one["tries"])) for one in listed["data"]] == [
        (event, 1, 0),
        (event, 0, 1),
    ]
    assert listed["data"][0]["id"] == replayed.json()["id"]
    tried = listed["data"][1]["tries"][0]
    assert (tried["http_status"], tried["error"], tried["response_body"]) == (500, None, f"deaf {event}")
    first = (await house.client.get(path, params={"limit": 1}, headers=house.as_(house.me))).json()
    assert (first["has_more"], len(first["data"])) == (True, 1)
    after = {"limit": 1, "starting_after": first["data"][0]["id"]}
    rest = (await house.client.get(path, params=after, headers=house.as_(house.me))).json()
    assert (rest["has_more"], rest["data"][0]["replay"]) == (False, 0)


async def test_a_disabled_endpoint_is_not_sent_an_event_once_more(house: House) -> None:
    made, event = await house.make(), await house.event()
    await house.client.post(f"{BASE}/{made['id']}", data={"disabled": "true"}, headers=house.as_(house.me))
    refused = await house.client.post(
        f"{BASE}/{made['id']}/deliveries", data={"event": event}, headers=house.as_(house.me)
    )
    assert (refused.status_code, refused.json()["code"]) == (400, "webhook-endpoint-unexpected-state")


async def test_somebody_elses_endpoint_and_event_are_missing(house: House) -> None:
    made, other = await house.make(), str(UserId.new(house.clock.now()))
    theirs = await house.event(other)
    paths = [("GET", ""), ("POST", ""), ("DELETE", ""), ("POST", "/rotate_secret"), ("GET", "/deliveries")]
    for method, path in paths:
        answer = await house.client.request(method, f"{BASE}/{made['id']}{path}", headers=house.as_(other))
        assert (method, path, answer.status_code) == (method, path, 404)
    replay = await house.client.post(
        f"{BASE}/{made['id']}/deliveries", data={"event": theirs}, headers=house.as_(house.me)
    )
    assert (replay.status_code, replay.json()["error"]["param"]) == (404, "event")
    assert (await house.client.get(BASE, headers=house.as_(other))).json()["data"] == []


@pytest.mark.parametrize("missing", [str(WebhookEndpointId.derive("nobody")), "we_x", "evt_1", "%00"])
async def test_an_endpoint_that_never_was_is_missing(house: House, missing: str) -> None:
    for method, path in (("GET", ""), ("POST", ""), ("DELETE", ""), ("POST", "/rotate_secret"), ("GET", "/deliveries")):
        answer = await house.client.request(method, f"{BASE}/{missing}{path}", headers=house.as_(house.me))
        assert (answer.status_code, answer.json()["error"]["type"]) == (404, "invalid_request_error")


async def test_an_event_or_a_cursor_that_never_was_is_missing(house: House) -> None:
    path = f"{BASE}/{(await house.make())['id']}/deliveries"
    for event in (str(EventId.derive("nobody")), "nonsense"):
        answer = await house.client.post(path, data={"event": event}, headers=house.as_(house.me))
        assert answer.status_code == 404
    for cursor in ("whd_" + "0" * 26, "nonsense"):
        answer = await house.client.get(path, params={"starting_after": cursor}, headers=house.as_(house.me))
        assert (answer.status_code, answer.json()["error"]["param"]) == (404, "starting_after")


@pytest.mark.parametrize(
    ("form", "param", "code"),
    [
        ({"enabled_events[]": "*"}, "url", "parameter-missing"),
        ({"url": "https://a.test/"}, "enabled_events", "parameter-missing"),
        ({"url": "http://a.test/", "enabled_events[]": "*"}, "url", "url-invalid"),
        ({"url": "https://127.0.0.1/", "enabled_events[]": "*"}, "url", "url-invalid"),
        ({"url": "https://a.test/", "enabled_events[]": "weather.changed"}, "enabled_events", "parameter-invalid"),
        ({"url": "https://a.test/", "enabled_events": "*"}, "enabled_events", "parameter-invalid"),
        ({"url": "https://a.test/", "enabled_events[]": "*", "color": "red"}, "color", "parameter-unknown"),
        (
            {"url": "https://a.test/", "enabled_events[]": "*", "description": "x" * 1001},
            "description",
            "parameter-invalid",
        ),
    ],
)
async def test_an_endpoint_that_does_not_fit_is_refused_by_name(
    house: House, form: dict[str, str], param: str, code: str
) -> None:
    refused = await house.client.post(BASE, data=form, headers=house.as_(house.me))
    assert (refused.status_code, refused.json()["error"]["param"], refused.json()["code"]) == (400, param, code)


async def test_an_owner_has_so_many_endpoints_and_no_more(house: House) -> None:
    for _ in range(ENDPOINTS_MAX):
        await house.make()
    refused = await house.client.post(
        BASE, data={"url": "https://a.test/", "enabled_events[]": "*"}, headers=house.as_(house.me)
    )
    assert refused.status_code == 400


async def test_reading_and_writing_need_their_permissions(house: House) -> None:
    form = {"url": "https://a.test/", "enabled_events[]": "*"}
    assert (await house.client.post(BASE, data=form)).status_code == 401
    reader, writer = house.as_(house.me, "payments:read"), house.as_(house.me, "payments:write")
    assert (await house.client.post(BASE, data=form, headers=reader)).status_code == 403
    assert (await house.client.post(BASE, data=form, headers=writer)).status_code == 200
    assert (await house.client.get(BASE, headers=writer)).status_code == 403
