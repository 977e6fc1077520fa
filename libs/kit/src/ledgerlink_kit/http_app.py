"""The HTTP shell that all services share: health, metrics, request ids, traces, access log, limits, OpenAPI.

`create_app` gives the FastAPI app, `serve` and `run_worker` run a process until SIGTERM and let it finish its work.
"""

import asyncio
import gc
import re
import secrets
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from functools import lru_cache
from http import HTTPStatus
from types import FrameType
from typing import Any, Final, Literal

import orjson
import structlog
import uvicorn
from fastapi import APIRouter, FastAPI, Response
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute, RouteContext, iter_route_contexts
from prometheus_client import CONTENT_TYPE_LATEST, Counter, Gauge, Histogram, generate_latest
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.config import STARTUP_FAILURE

from ledgerlink_kit import problem
from ledgerlink_kit.auth import Requirement, TokenVerifier, authenticated
from ledgerlink_kit.errors import Defect, LedgerLinkError
from ledgerlink_kit.hot import HotApp, HotRoute, body_too_large
from ledgerlink_kit.http_spans import served
from ledgerlink_kit.limits import BODY_BYTES_MAX, REQUEST_ID_CHARS_MAX
from ledgerlink_kit.settings import ServiceSettings
from ledgerlink_kit.telemetry import Span, configure_logging, entry, new_traceparent, valid_traceparent
from ledgerlink_kit.tracing import TracingSettings, configure_tracing, stop_tracing

Check = Callable[[], Awaitable[None]]

KIT_ROUTES: Final = frozenset({"/healthz", "/readyz", "/metrics", "/openapi.json", "/docs", "/docs/oauth2-redirect"})
"""Paths that every service answers without a token."""

_QUIET: Final = frozenset({"/healthz", "/readyz", "/metrics"})
_REQUEST_ID: Final = re.compile(rf"[A-Za-z0-9._:-]{{1,{REQUEST_ID_CHARS_MAX}}}")
_WITH_BODY: Final = frozenset({"POST", "PUT", "PATCH"})
_CHECK_TIMEOUT_S: Final = 3.0
DRAIN_S: Final = 20
"""How long a process may finish its work after SIGTERM. Whoever stops it must wait longer before SIGKILL."""
_COLLECT_EVERY: Final = 20_000
"""Objects made, less those gone, before the garbage collector looks at the youngest (CPython's own choice is 700)."""

_requests = Counter("ledgerlink_http_requests_total", "Requests answered", ["method", "route", "status"])
_seconds = Histogram(
    "ledgerlink_http_request_duration_seconds",
    "Time from the request's head to the end of its answer",
    ["method", "route"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)


_ready = Gauge("ledgerlink_ready", "1 when a part answered the latest readiness check, 0 when not", ["part"])


@dataclass(frozen=True, slots=True)
class StreamedRoute:
    """A route whose body has no limit of the shell's: it reads its body piece by piece and bounds what it keeps.

    ``path`` is matched against the whole path; ``media_type`` is the one type that the route reads.
    """

    method: str
    path: re.Pattern[str]
    media_type: str


class _Shell:
    """Pure ASGI middleware: ids, trace context, body limit, media types, metrics, access log, the last resort."""

    def __init__(
        self, app: ASGIApp, media_types: frozenset[str], body_bytes_max: int, streamed: Sequence[StreamedRoute]
    ) -> None:
        self._app = app
        self._media_types = media_types
        self._body_bytes_max = body_bytes_max
        self._streamed = tuple(streamed)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        # A request's own copy: a server may hand the lifespan's dictionary to every request, and the verified caller
        # is kept here.
        scope["state"] = dict(scope.get("state") or {})
        headers: dict[bytes, bytes] = dict(scope["headers"])
        given = headers.get(b"x-request-id", b"").decode("latin-1")
        request = given if _REQUEST_ID.fullmatch(given) else secrets.token_hex(16)
        parent = headers.get(b"traceparent", b"").decode("latin-1")
        if scope["path"] in _QUIET:
            parent = new_traceparent()  # whoever watches us asks every few seconds; nobody reads a trace of that
        elif not valid_traceparent(parent):
            parent = ""
        with entry(request, parent, scope["method"], "server") as span:
            await self._serve(scope, receive, send, headers, request, span)

    async def _serve(
        self,
        scope: Scope,
        receive: Receive,
        send: Send,
        headers: Mapping[bytes, bytes],
        request: str,
        span: Span | None,
    ) -> None:
        started = time.perf_counter()
        status = 500
        answered = False

        async def sending(message: Message) -> None:
            nonlocal status, answered
            if message["type"] == "http.response.start":
                status, answered = message["status"], True
                message["headers"] = [*message.get("headers", []), (b"x-request-id", request.encode())]
            await send(message)

        try:
            streamed = self._streamed_route(scope) if self._streamed else None
            refused = self._refuse(scope, headers, streamed)
            if refused is not None:
                await problem.framework_response(refused)(scope, receive, sending)
            else:
                await self._app(scope, receive if streamed else self._bounded(receive), sending)
        except Exception as error:  # noqa: BLE001 - the last resort: whatever happened, the caller gets a problem
            structlog.get_logger().exception("request_broke", path=scope["path"])
            if not answered:
                ours = error if isinstance(error, LedgerLinkError) else Defect(str(error))
                await problem.problem_response(ours)(scope, receive, sending)
        finally:
            if span is not None:
                route = getattr(scope.get("route"), "path", None)
                served(span, scope["method"], scope["scheme"], scope["path"], route, status)
            self._account(scope, status, time.perf_counter() - started)

    def _streamed_route(self, scope: Scope) -> StreamedRoute | None:
        """Give the row of ``scope``'s request, if its route reads its body as it comes."""
        method, path = scope["method"], scope["path"]
        return next((row for row in self._streamed if row.method == method and row.path.fullmatch(path)), None)

    def _refuse(
        self, scope: Scope, headers: Mapping[bytes, bytes], streamed: StreamedRoute | None
    ) -> HTTPException | None:
        """Refuse by the head alone: a body that is too large, or of a type that the route does not read."""
        if scope["method"] not in _WITH_BODY:
            return None
        length = headers.get(b"content-length", b"0")
        if streamed is None and length.isdigit() and int(length) > self._body_bytes_max:
            return body_too_large(self._body_bytes_max)
        has_body = length != b"0" or b"transfer-encoding" in headers
        media_type = headers.get(b"content-type", b"").split(b";")[0].strip().lower().decode("latin-1")
        readable = self._media_types if streamed is None else {streamed.media_type}
        if has_body and media_type not in readable:
            allowed = " or ".join(sorted(readable))
            return HTTPException(415, f"Send the body as {allowed}.")
        return None

    def _bounded(self, receive: Receive) -> Receive:
        """Count a body that tells no length."""
        received = 0

        async def counting() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > self._body_bytes_max:
                raise body_too_large(self._body_bytes_max)
            return message

        return counting

    @staticmethod
    def _account(scope: Scope, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", "unmatched")
        account_request(scope["method"], route, status, seconds)
        if scope["path"] in _QUIET and status < HTTPStatus.BAD_REQUEST:
            return
        caller = scope.get("state", {}).get("caller")
        structlog.get_logger().info(
            "request",
            method=scope["method"],
            path=scope["path"],
            route=route,
            status=status,
            ms=round(seconds * 1000, 2),
            caller=caller.subject if caller else None,
        )


def account_request(method: str, route: str, status: int, seconds: float) -> None:
    """Count one answered request; ``route`` is a pattern or a name from a bounded set, never a path."""
    answered, duration = _series(method, route, status)
    answered.inc()
    duration.observe(seconds)


@lru_cache(maxsize=4096)
def _series(method: str, route: str, status: int) -> tuple[Counter, Histogram]:
    """Look two series up by their labels once: the look-up costs more than the counting."""
    return _requests.labels(method, route, str(status)), _seconds.labels(method, route)


class _App(FastAPI):
    """The framework's app, with the hot routes before it: each within a shell like its own."""

    hot: Mapping[tuple[str, str], ASGIApp]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        hot = None
        if scope["type"] == "http" and not scope["query_string"]:
            hot = self.hot.get((scope["method"], scope["path"]))
        await (super().__call__ if hot is None else hot)(scope, receive, send)


def create_app(  # noqa: PLR0913 - everything that differs between services, once each, by keyword
    *,
    title: str,
    version: str,
    settings: ServiceSettings,
    routers: Sequence[APIRouter],
    verifier: TokenVerifier | None,
    readiness: Mapping[str, Check],
    runtime: object,
    lifespan: Callable[[FastAPI], AbstractAsyncContextManager[Any]] | None = None,
    media_types: Sequence[str] = ("application/json",),
    body_bytes_max: int = BODY_BYTES_MAX,
    streamed: Sequence[StreamedRoute] = (),
    hot: Sequence[HotRoute] = (),
    summary: str = "",
) -> FastAPI:
    """Make a service's app; ``runtime`` is what its routes find at ``request.app.state.runtime``.

    ``app.state.stopping`` is set when the server is asked to stop: an answer without an end of its own ends then.

    ``readiness`` maps a part's name to a check that raises while the part is away. ``hot`` names routes that are
    answered on a shorter way (`HotRoute`). ``streamed`` names the routes whose
    bodies ``body_bytes_max`` does not bound.
    """
    if not __debug__:
        raise SystemExit("LedgerLink keeps its assertions on: start Python without -O.")
    app = _App(
        title=title,
        version=version,
        summary=summary,
        lifespan=lifespan,
        redoc_url=None,
        generate_unique_id_function=lambda route: route.name,
    )
    app.state.runtime = runtime
    app.state.verifier = verifier
    app.state.settings = settings
    app.state.stopping = asyncio.Event()
    problem.install(app)
    kinds = frozenset(media_types)
    app.add_middleware(_Shell, media_types=kinds, body_bytes_max=body_bytes_max, streamed=streamed)
    app.hot = {
        (route.method, route.path): _Shell(HotApp(route, app, body_bytes_max), kinds, body_bytes_max, ())
        for route in hot
    }
    app.include_router(_kit_router(readiness))
    for router in routers:
        app.include_router(router)
    app.openapi = lambda: _openapi(app)  # pyright: ignore[reportAttributeAccessIssue]
    return app


def _kit_router(readiness: Mapping[str, Check]) -> APIRouter:
    router = APIRouter(include_in_schema=False)

    @router.get("/healthz")
    async def healthz() -> dict[str, str]:  # pyright: ignore[reportUnusedFunction]
        return {"status": "alive"}

    @router.get("/readyz")
    async def readyz() -> Response:  # pyright: ignore[reportUnusedFunction]
        return await readiness_response(readiness)

    @router.get("/metrics")
    async def metrics() -> Response:  # pyright: ignore[reportUnusedFunction]
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)

    return router


async def readiness_response(readiness: Mapping[str, Check]) -> Response:
    """Run all checks side by side; 200 when all pass, else 503 that names the parts that do not."""

    async def run(check: Check) -> str:
        try:
            await asyncio.wait_for(check(), _CHECK_TIMEOUT_S)
        except Exception as error:  # noqa: BLE001 - any failure of a part is the answer
            return getattr(error, "detail", None) or type(error).__name__
        return "ok"

    results = await asyncio.gather(*(run(check) for check in readiness.values()))
    checks = dict(zip(readiness, results, strict=True))
    for part, result in checks.items():
        _ready.labels(part).set(1 if result == "ok" else 0)
    ready = all(result == "ok" for result in results)
    body = orjson.dumps({"status": "ready" if ready else "not ready", "checks": checks})
    return Response(body, 200 if ready else 503, media_type="application/json")


def _openapi(app: FastAPI) -> dict[str, Any]:
    """Describe the app, with the problems that any route may answer documented in one place."""
    if app.openapi_schema:
        return app.openapi_schema
    schema = get_openapi(title=app.title, version=app.version, summary=app.summary, routes=app.routes)
    components = schema.setdefault("components", {})
    components.setdefault("schemas", {})["Problem"] = problem.SCHEMA
    for unused in ("HTTPValidationError", "ValidationError"):
        components["schemas"].pop(unused, None)
    components["securitySchemes"] = {"bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}}
    for route in api_routes(app):
        if route.include_in_schema:
            for method in route.methods or ():
                _document(schema["paths"][route.path_format][method.lower()], route)
    app.openapi_schema = schema
    return schema


def api_routes(app: FastAPI) -> list[RouteContext]:
    """List the routes of ``app`` that are its API, those of included routers with their full paths."""
    return [route for route in iter_route_contexts(app.routes) if isinstance(route.original_route, APIRoute)]


def _document(operation: dict[str, Any], route: RouteContext) -> None:
    statuses = {400, 422, 503}
    scopes = guard_of(route)
    if scopes is not None:
        statuses |= {401, 403} if scopes else {401}
        operation["security"] = [{"bearer": []}]
        if scopes:
            needed = ", ".join(f"`{scope}`" for scope in scopes)
            operation["description"] = f"{operation.get('description', '')}\n\nNeeds {needed}.".strip()
    if "requestBody" in operation:
        statuses |= {413, 415}
    answers: dict[str, Any] = operation.setdefault("responses", {})
    if "HTTPValidationError" in str(answers.get("422", "")):
        del answers["422"]
    for status, answer in problem.responses(*sorted(statuses)).items():
        answers.setdefault(str(status), answer)


def guard_of(route: RouteContext) -> tuple[str, ...] | None:
    """Give the scopes that ``route`` demands; empty when any caller will do, none when it is open to all."""
    found: tuple[str, ...] | None = None
    pending = [route.dependant]
    while pending:
        dependant = pending.pop()
        pending.extend(dependant.dependencies)
        if isinstance(dependant.call, Requirement):
            found = (found or ()) + dependant.call.scopes
        elif dependant.call is authenticated:
            found = found or ()
    return found


class _Server(uvicorn.Server):
    """uvicorn's server, which tells the app at once that it is to stop, not only when all answers have ended."""

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        stopping = getattr(getattr(self.config.app, "state", None), "stopping", None)
        if isinstance(stopping, asyncio.Event):
            stopping.set()
        super().handle_exit(sig, frame)


def serve(
    app_factory: Callable[[], ASGIApp],
    settings: ServiceSettings,
    service: str,
    *,
    http: Literal["httptools"] | type[asyncio.Protocol] = "httptools",
    believes_local_proxies: bool = True,
) -> None:
    """Serve HTTP until SIGTERM; requests in flight are finished first.

    ``http`` is the server's HTTP/1.1 protocol. ``believes_local_proxies`` takes the client's address from
    X-Forwarded-For when the peer is this machine; the edge, which decides that itself, says no.
    """
    configure_logging(service, level=settings.log_level, log_format=settings.log_format)
    configure_tracing(service, settings.environment, TracingSettings())
    app = app_factory()
    rest_garbage_collection()
    try:
        config = uvicorn.Config(
            app,
            host=settings.host,
            port=settings.port,
            loop="uvloop",
            http=http,
            ws="none",
            proxy_headers=believes_local_proxies,
            access_log=False,
            log_config=None,
            server_header=False,
            timeout_graceful_shutdown=DRAIN_S,
            timeout_keep_alive=65,
        )
        server = _Server(config)
        server.run()
        if not server.started:
            sys.exit(STARTUP_FAILURE)
    finally:
        stop_tracing()


def rest_garbage_collection() -> None:
    """Let the collector pass over what was made until now, and look seldom at what is made from here on.

    All that a start makes stays: walking it again and again costs a busy service a tenth of its time. Requests make few
    cycles, so most of what they leave goes by reference counting.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_COLLECT_EVERY, 50, 100)


Task = Callable[[asyncio.Event], Awaitable[None]]


def run_worker(
    service: str,
    settings: ServiceSettings,
    *,
    tasks: Mapping[str, Task],
    readiness: Mapping[str, Check],
    close: Callable[[], Awaitable[None]],
) -> None:
    """Run ``tasks`` side by side until SIGTERM, with health and metrics on the worker's port.

    Each task is given the event that asks it to stop; one that goes on for longer than `DRAIN_S`, an audit say, is cut
    short. One that ends early, or raises, ends the process with status 1, so that whoever watches it starts it anew.
    """
    configure_logging(f"{service}-worker", level=settings.log_level, log_format=settings.log_format)
    configure_tracing(f"{service}-worker", settings.environment, TracingSettings())
    import uvloop  # noqa: PLC0415 - only a process that runs needs it

    rest_garbage_collection()
    try:
        sys.exit(uvloop.run(_work(settings, tasks, readiness, close)))
    finally:
        stop_tracing()


async def _work(
    settings: ServiceSettings,
    tasks: Mapping[str, Task],
    readiness: Mapping[str, Check],
    close: Callable[[], Awaitable[None]],
    drain_s: float = DRAIN_S,
) -> int:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    app = FastAPI(openapi_url=None)
    app.include_router(_kit_router(readiness))
    config = uvicorn.Config(
        app, host=settings.host, port=settings.worker_port, http="httptools", access_log=False, log_config=None
    )
    server = uvicorn.Server(config)
    server.install_signal_handlers = lambda: None  # pyright: ignore[reportAttributeAccessIssue]
    health = asyncio.create_task(server._serve(), name="health")  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
    running = [asyncio.create_task(_guarded(name, task, stop), name=name) for name, task in tasks.items()]
    await asyncio.wait([*running, asyncio.create_task(stop.wait())], return_when=asyncio.FIRST_COMPLETED)
    failed = not stop.is_set()
    stop.set()
    _, late = await asyncio.wait(running, timeout=drain_s)
    for task in late:  # what it was about is in the database; the next worker takes it up
        structlog.get_logger().warning("task_cut_short", task=task.get_name())
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)
    server.should_exit = True
    await asyncio.gather(health, return_exceptions=True)
    await close()
    return 1 if failed else 0


async def _guarded(name: str, task: Task, stop: asyncio.Event) -> None:
    try:
        await task(stop)
    except Exception:
        structlog.get_logger().exception("task_broke", task=name)
        raise
