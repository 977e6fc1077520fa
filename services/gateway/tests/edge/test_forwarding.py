"""Proves what passes through the gateway and how: methods, bodies, headers, both ways, over real sockets."""

from ledgerlink_gateway.testing import ask, request


async def test_a_get_reaches_its_service_under_its_own_path_with_its_query(stand) -> None:
    reply = await ask(stand.port, request("GET", "/api/v1/wallets/wal_1/balance?currency=GBP", token=stand.token))
    assert (reply.status, reply.body) == (200, b'{"upstream":"ok"}')
    seen = stand.upstream.requests[0]
    assert (seen.method, seen.target) == ("GET", "/wallets/wal_1/balance?currency=GBP")
