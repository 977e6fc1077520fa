"""Proves that a wrong route table stops the start with every fault named, and that paths find the row they should."""

import pytest

from ledgerlink_gateway.domain.gcra import Per, Policy
from ledgerlink_gateway.domain.route_table import (
    OWN,
    Access,
    Route,
    RouteTableInvalid,
    compile_table,
    public_path,
    upstream_path,
)
from ledgerlink_gateway.routes import POLICIES, ROUTES, UPSTREAMS

POLICY = Policy(name="address", per=Per.ADDRESS, quota=10, window_s=1)
BY_CALLER = Policy(name="caller", per=Per.CALLER, quota=10, window_s=1)
GOOD = Route(name="things", prefix="/things", upstream="store", target="/things")


def _fault_of(row: Route, *more: Route) -> str:
    with pytest.raises(RouteTableInvalid) as caught:
        compile_table([row, *more], [POLICY, BY_CALLER], ["store"])
    return str(caught.value)


def test_the_shipped_table_is_valid() -> None:
    table = compile_table(ROUTES, POLICIES, UPSTREAMS)
    assert {route.upstream for route in table.routes} == {*UPSTREAMS, OWN}


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        (Route(name="x", prefix="/x", upstream="nowhere", target="/x"), "upstream nowhere is unknown"),
        (Route(name="x", prefix="x", upstream="store", target="/x"), "the prefix does not start with a slash"),
        (Route(name="x", prefix="/x/", upstream="store", target="/x"), "the prefix ends with a slash"),
        (Route(name="x", prefix="/x//y", upstream="store", target="/x"), "the prefix is not a plain path"),
        (Route(name="x", prefix="/x/../y", upstream="store", target="/x"), "the prefix is not a plain path"),
        (Route(name="x", prefix="/x", upstream="store", target="/x?y"), "the target is not a plain path"),
        (Route(name="x", prefix="", upstream="store", target="/x"), "the prefix is empty"),
        (Route(name="x", prefix="/x", upstream="store"), "without a target it would open the whole upstream"),
        (Route(name="x", prefix="/x", upstream="store", target="/x", timeout_s=0), "the timeout is not above zero"),
        (
            Route(name="x", prefix="/x", upstream="store", target="/x", body_bytes_max=-1),
            "the body limit is below zero",
        ),
        (Route(name="x", prefix="/x", upstream="store", target="/x", cost=0), "a cost is below one"),
        (Route(name="x", prefix="/x", upstream="store", target="/x", write_cost=11), "costs more than the whole quota"),
        (Route(name="x", prefix="/x", upstream="store", target="/x", policies=("no",)), "policy no is unknown"),
        (
            Route(name="x", prefix="/x", upstream="store", target="/x", access=Access.PUBLIC, policies=("caller",)),
            "policy caller counts by caller, but the route is public",
        ),
    ],
)
def test_a_faulty_row_is_named(row: Route, fault: str) -> None:
    assert f"route x: {fault}" in _fault_of(row)


def test_every_fault_is_named_at_once() -> None:
    text = _fault_of(Route(name="x", prefix="/x/", upstream="nowhere", target="/x", timeout_s=-1))
    assert len(text.splitlines()) == 3


def test_a_name_or_a_prefix_may_stand_once_only() -> None:
    text = _fault_of(GOOD, GOOD)
    assert "route things stands twice" in text
    assert "prefix /things stands twice" in text


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/api/v1/auth/token", "auth-token"),
        ("/api/v1/auth/me", "auth"),
        ("/api/v1/auth", "auth"),
        ("/api/v1/authx", None),
        ("/api/v1/auth/token/extra", "auth-token"),
        ("/api/v1/wallets/wal_1/balance", "wallets"),
        ("/api/v1/imports/imp_1/lines", "imports"),
        ("/v1/payment_intents/pi_1/confirm", "payments"),
        ("/v1/connectors/sandbox/webhook", "connectors"),
        ("/v10/payment_intents", None),
        ("/api/v1/risk/decisions", "risk-decisions"),
        ("/api/v1/risk/metrics", None),
        ("/api/v1/risk", None),
        ("/api/v1/overview", "overview"),
        ("/api/v1/overview/x", None),
        ("/metrics", "metrics"),
        ("/metrics/x", None),
        ("/", None),
        ("", None),
        ("/" + "a/" * 40, None),
    ],
)
def test_a_path_finds_the_row_with_the_longest_prefix_of_whole_segments(path: str, name: str | None) -> None:
    route = compile_table(ROUTES, POLICIES, UPSTREAMS).match(path)
    assert (route.name if route else None) == name


def test_the_prefix_is_replaced_and_the_rest_kept() -> None:
    row = Route(name="x", prefix="/api/v1/risk/cases", upstream="risk", target="/cases")
    assert upstream_path(row, "/api/v1/risk/cases/case_1/resolve") == "/cases/case_1/resolve"


def test_a_public_path_leads_back_to_the_upstream_path_that_it_was_made_of() -> None:
    table = compile_table(ROUTES, POLICIES, UPSTREAMS)
    for upstream, path in [
        ("identity", "/auth/token"),
        ("identity", "/auth/me"),
        ("identity", "/.well-known/jwks.json"),
        ("wallet", "/wallets/{wallet_id}/balance"),
        ("risk", "/cases/{case_id}"),
        ("payments", "/v1/payment_intents/{intent_id}"),
    ]:
        public = public_path(table.of_upstream(upstream), path)
        assert public is not None
        route = table.match(public)
        assert route is not None
        assert (route.upstream, upstream_path(route, public)) == (upstream, path)


@pytest.mark.parametrize("path", ["/metrics", "/readyz", "/openapi.json", "/docs"])
def test_no_service_shows_its_internals_to_the_public(path: str) -> None:
    table = compile_table(ROUTES, POLICIES, UPSTREAMS)
    assert all(public_path(table.of_upstream(upstream), path) is None for upstream in UPSTREAMS)
