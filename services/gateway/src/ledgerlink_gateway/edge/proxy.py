"""The edge: one ASGI callable in front of everything. It checks, limits, and passes requests on.

A request meets, in this order: its shape (headers, path), its row in the route table, its token, its limits, its body,
and then an upstream or the gateway's own FastAPI app. Whatever refuses it gives a problem with a reason that stands in
the access log as well. Nothing here waits but for the network.
"""

import asyncio
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from time import perf_counter
from typing import Any, Final

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ledgerlink_gateway.connectors.http1 import UpstreamSilent
from ledgerlink_gateway.connectors.limiter import Limiter
from ledgerlink_gateway.connectors.upstream import Upstream
from ledgerlink_gateway.domain.gcra import Charge, Per
from ledgerlink_gateway.domain.headers import (
    Network,
    Seen,
    check_path,
    client_address,
    is_trusted,
    kept_request_id,
    kept_traceparent,
    read_request,
)
from ledgerlink_gateway.domain.refusals import ClientGone, EdgeRefusal, Reason
from ledgerlink_gateway.domain.route_table import OWN, Access, Dialect, Route, RouteTable
from ledgerlink_gateway.edge.access_log import AccessLog
from ledgerlink_gateway.edge.answers import (
    SECURITY_HEADERS,
    TRANSPORT_SECURITY,
    cors_headers,
    header_of,
    limit_headers,
    preflight_headers,
    problem,
    retry_after_s,
)
from ledgerlink_gateway.edge.bodies import UNREAD_BYTES_KEPT, refuse_stated_length
from ledgerlink_gateway.edge.forward import Edges, forward
from ledgerlink_gateway.edge.visit import CLIENT_GONE, Visit
from ledgerlink_kit.auth import Caller, TokenVerifier, bearer_token
from ledgerlink_kit.errors import Refused, Unavailable
from ledgerlink_kit.telemetry import wire_span

METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
STRANGER_POLICY: Final = "address"
"""What a request is charged to that is refused before its own policies are known: unknown path, bad token."""

_LIMITS: Final = {"db.system.name": "redis", "db.operation.name": "EVALSHA"}
_LIMITS_UNTRACED: Final[AbstractContextManager[None]] = nullcontext()
_REASON_OF_CODE: Final = {
    "token-missing": Reason.TOKEN_MISSING,
    "token-invalid": Reason.TOKEN_INVALID,
    "token-expired": Reason.TOKEN_EXPIRED,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class EdgeRule:
    """What an operator chooses of the edge's behavior: proxies that are believed, and origins that may read."""

    trusted_proxies: tuple[Network, ...] = ()
    cors_origins: frozenset[bytes] = frozenset()


class Edge:
    """The gateway as an ASGI application."""

    def __init__(
        self,
        *,
        table: RouteTable,
        upstreams: Mapping[str, Upstream],
        verifier: TokenVerifier,
        limiter: Limiter,
        own: ASGIApp,
        log: AccessLog,
        rule: EdgeRule,
    ) -> None:
        """``own`` answers what the table gives to the gateway itself, and takes lifespan."""
        self._table = table
        self._upstreams = upstreams
        self._verifier = verifier
        self._limiter = limiter
        self._own = own
        self._log = log
        self._rule = rule
        self._stranger = table.policies[STRANGER_POLICY]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request (or the server's lifespan). Never raises but for cancellation."""
        if scope["type"] != "http":
            await self._own(scope, receive, send)
            return
        visit = Visit(scope["method"], scope["path"])
        try:
            await self._serve(visit, scope, receive, send)
        except EdgeRefusal as refusal:
            await self._refuse(visit, scope, send, refusal)
        except ClientGone:
            visit.status = visit.status or CLIENT_GONE
            visit.reason = "client-gone"
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if not visit.is_gone or task is None:
                visit.reason = "cancelled"
                raise
            task.uncancel()
            visit.status = visit.status or CLIENT_GONE
            visit.reason = "client-gone"
        except Exception as error:  # noqa: BLE001 - the last resort: whatever happened, the caller gets a problem
            structlog.get_logger().exception("edge_broke", path=visit.path, error=type(error).__name__)
            await self._refuse(visit, scope, send, _defect())
        finally:
            visit.end_trace()
            self._log.account(visit, perf_counter() - visit.started)

    async def _serve(self, visit: Visit, scope: Scope, receive: Receive, send: Send) -> None:
        client = scope.get("client")
        visit.client = peer = client[0] if client else ""
        seen = read_request(scope["headers"], scope["http_version"])
        visit.request_id = kept_request_id(seen.request_id, visit.request_id)
        visit.traceparent = kept_traceparent(seen.traceparent, visit.traceparent)
        visit.client = client_address(peer, seen.forwarded_for, self._rule.trusted_proxies)
        is_told = seen.forwarded_proto == b"https" and is_trusted(peer, self._rule.trusted_proxies)
        visit.scheme = "https" if is_told else scope["scheme"]
        visit.has_unread_body = seen.is_chunked or (seen.length or 0) > UNREAD_BYTES_KEPT
        path = check_path(scope["raw_path"], scope["query_string"])
        if visit.method not in METHODS:
            allowed = ", ".join(sorted(METHODS)).encode()
            raise EdgeRefusal(
                Reason.METHOD_UNSUPPORTED, f"{visit.method} is not spoken here.", headers=((b"allow", allowed),)
            )
        if visit.method == "OPTIONS" and await self._preflight(visit, seen, send):
            return
        route = visit.route = self._table.match(path)
        if route is None or route.upstream != OWN:  # the app of our own routes traces what it answers itself
            visit.trace(given=visit.traceparent == seen.traceparent)
        if route is None:
            await self._charge_stranger(visit)
            raise EdgeRefusal(Reason.PATH_UNKNOWN, "Nothing is served under this path.")
        if route.access is Access.CALLER:
            visit.caller = await self._caller(visit, seen)
        await self._charge(visit, route)
        refuse_stated_length(seen, route)
        if route.upstream == OWN:
            await self._serve_own(visit, seen, scope, receive, send)
            return
        edges = Edges(receive, send, self._answer_headers(visit, scope), scope)
        try:
            await forward(visit, seen, route, path, self._upstreams[route.upstream], edges)
        except UpstreamSilent as silent:
            if visit.is_answered:
                visit.reason = f"cut: {silent.reason.code}"  # the head is out; the server cuts the connection
                return
            raise silent.refusal(route.upstream) from None

    # Who asks, and how much

    async def _caller(self, visit: Visit, seen: Seen) -> Caller:
        header = None if seen.authorization is None else seen.authorization.decode("latin-1")
        try:
            return await self._verifier.verify(bearer_token(header))
        except Refused as refused:
            await self._charge_stranger(visit)
            raise EdgeRefusal(_REASON_OF_CODE.get(refused.code, Reason.TOKEN_INVALID), refused.detail) from None
        except Unavailable as unavailable:
            raise EdgeRefusal(
                Reason.KEYS_UNAVAILABLE, unavailable.detail, retry_after_s=unavailable.retry_after_s
            ) from None

    async def _charge(self, visit: Visit, route: Route) -> None:
        cost = route.cost if visit.method in SAFE_METHODS else route.write_cost
        policies = self._table.policies
        charges = [
            Charge(policies[name], f"{name}:{_counted(policies[name].per, visit, route)}", cost)
            for name in route.policies
        ]
        await self._take(visit, charges)

    async def _charge_stranger(self, visit: Visit) -> None:
        await self._take(visit, [Charge(self._stranger, f"{STRANGER_POLICY}:{visit.client}", 1)])

    async def _take(self, visit: Visit, charges: list[Charge]) -> None:
        with _LIMITS_UNTRACED if visit.span is None else wire_span("EVALSHA", "client", _LIMITS) as span:
            verdict = await self._limiter.charge(charges)
            if span is not None and verdict.is_local:
                span.fail("redis-lost")
        visit.limit_headers = limit_headers(verdict)
        if verdict.passes:
            return
        if verdict.lost_policy is not None:
            raise EdgeRefusal(
                Reason.LIMITS_UNAVAILABLE, "Requests of this kind wait until limits can be checked.", retry_after_s=1
            )
        wait_s = retry_after_s(verdict)
        names = [each.policy.name for each in verdict.standings if each.retry_us > 0]
        raise EdgeRefusal(
            Reason.RATE_LIMITED,
            f"The limit {', '.join(names)} is used up; try again in {wait_s} s.",
            retry_after_s=wait_s,
            policies=names,
        )

    # Answers

    async def _preflight(self, visit: Visit, seen: Seen, send: Send) -> bool:
        allowed, origin = self._rule.cors_origins, seen.origin
        asked = header_of(seen.passed, b"access-control-request-method")
        if origin is None or origin not in allowed or asked is None:
            return False
        await self._charge_stranger(visit)
        headers = [*preflight_headers(origin, allowed), (b"x-request-id", visit.request_id)]
        visit.status = 204
        await send({"type": "http.response.start", "status": 204, "headers": headers})
        await send({"type": "http.response.body", "body": b""})
        return True

    def _answer_headers(self, visit: Visit, scope: Scope) -> tuple[tuple[bytes, bytes], ...]:
        headers = SECURITY_HEADERS
        if self._rule.cors_origins:
            headers += cors_headers(header_of(scope["headers"], b"origin"), self._rule.cors_origins)
        if visit.scheme == "https":
            headers += (TRANSPORT_SECURITY,)
        return headers

    async def _refuse(self, visit: Visit, scope: Scope, send: Send, refusal: EdgeRefusal) -> None:
        visit.reason = refusal.reason.code
        if visit.is_answered:
            return  # too late to say so; the server cuts the connection, which the caller notices
        visit.status = refusal.reason.status
        dialect = Dialect.PROBLEM if visit.route is None else visit.route.dialect
        headers, body = problem(refusal, visit.request_id, dialect)
        headers += (*self._answer_headers(visit, scope), *visit.limit_headers, (b"x-request-id", visit.request_id))
        if visit.has_unread_body:
            headers += ((b"connection", b"close"),)  # rather than reading a body that nobody wants
        await send({"type": "http.response.start", "status": visit.status, "headers": list(headers)})
        await send({"type": "http.response.body", "body": b"" if visit.method == "HEAD" else body})

    async def _serve_own(self, visit: Visit, seen: Seen, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the FastAPI app answer, under our ids, with our headers where it has none of its own."""
        ours = [(b"x-request-id", visit.request_id), (b"traceparent", visit.traceparent)]
        state: dict[str, Any] = {**scope.get("state", {}), "caller": visit.caller}
        if visit.caller is None:
            del state["caller"]
        inner = {**scope, "headers": [(b"host", seen.host), *seen.passed, *ours], "state": state}
        extra = (*self._answer_headers(visit, scope), *visit.limit_headers)

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                visit.status = message["status"]
                own = list(message.get("headers", []))
                names = {name for name, _ in own}
                message["headers"] = own + [pair for pair in extra if pair[0] not in names]
            await send(message)

        await self._own(inner, receive, sending)


def _counted(per: Per, visit: Visit, route: Route) -> str:
    if per is Per.ADDRESS:
        return visit.client
    if per is Per.CALLER and visit.caller is not None:
        return visit.caller.subject
    return route.name


def _defect() -> EdgeRefusal:
    return EdgeRefusal(Reason.DEFECT, "Something broke on our side; the request id finds it in our logs.")
