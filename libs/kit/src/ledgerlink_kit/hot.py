"""Hot routes: the few that carry most of the load, answered without the framework's own way to a route.

Finding a route, solving its dependencies and reading its body through the framework cost more than most of the work
behind it. A hot route is matched by method and path alone, is given its whole body once, and gives bytes back. The
route that it stands for stays declared, for its documentation and its guard, and answers whenever there is a query;
both must demand the same of the caller and refuse the same.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from fastapi import FastAPI, Response
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from ledgerlink_kit import problem
from ledgerlink_kit.auth import Caller, Requirement, TokenVerifier, bearer_token


class Reply(NamedTuple):
    """An answer as bytes; ``headers`` come beside its length and ``media_type``."""

    status: int
    body: bytes
    media_type: bytes = b"application/json"
    headers: tuple[tuple[bytes, bytes], ...] = ()

    def response(self) -> Response:
        """Give the same answer as the declared route gives it."""
        headers = {name.decode(): value.decode() for name, value in self.headers}
        return Response(self.body, self.status, headers, self.media_type.decode())


class HotRequest:
    """A request whose body has come; ``runtime`` is what the app's routes work with."""

    __slots__ = ("_headers", "_state", "_verifier", "body", "runtime")

    def __init__(
        self, headers: Mapping[bytes, bytes], body: bytes, runtime: Any, verifier: TokenVerifier, state: dict[str, Any]
    ) -> None:
        """Hold the parts; the verified caller is kept in ``state``, where the access log finds it."""
        self._headers = headers
        self._state = state
        self._verifier = verifier
        self.body = body
        self.runtime = runtime

    def header(self, name: bytes) -> str | None:
        """Give a header by its lower-case name; the first when it came several times."""
        value = self._headers.get(name)
        return None if value is None else value.decode("latin-1")

    async def caller(self, demanded: Requirement) -> Caller:
        """Give the verified caller, if they have what is demanded. Raises `Refused` with 401 or 403."""
        caller = self._state["caller"] = await self._verifier.verify(bearer_token(self.header(b"authorization")))
        return demanded.check(caller)


@dataclass(frozen=True, slots=True)
class HotRoute:
    """A method and path, and what answers them; ``answer`` raises what the declared route would raise."""

    method: str
    path: str
    answer: Callable[[HotRequest], Awaitable[Reply]]


class HotApp:
    """The ASGI app of one hot route, over the state of the whole app."""

    def __init__(self, route: HotRoute, app: FastAPI, body_bytes_max: int) -> None:
        """Answer ``route`` with what ``app`` works with; its state may be filled later."""
        self._route = route
        self._app = app
        self._body_bytes_max = body_bytes_max

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, with a problem where the route refuses."""
        scope["route"] = self._route
        # Backwards, so that of several headers with one name the first counts, as it does everywhere else.
        headers = dict(scope["headers"][::-1])
        state = self._app.state
        try:
            body = await _body(receive, self._body_bytes_max)
            request = HotRequest(headers, body, state.runtime, state.verifier, scope["state"])
            reply = await self._route.answer(request)
        except problem.KNOWN as error:
            await problem.response_to(error)(scope, receive, send)
            return
        start = [
            (b"content-length", str(len(reply.body)).encode()),
            (b"content-type", reply.media_type),
            *reply.headers,
        ]
        await send({"type": "http.response.start", "status": reply.status, "headers": start})
        await send({"type": "http.response.body", "body": reply.body})


def body_too_large(bytes_max: int) -> HTTPException:
    """Refuse a body that is larger than ``bytes_max``."""
    return HTTPException(413, f"The body is larger than {bytes_max} bytes.")


async def _body(receive: Receive, bytes_max: int) -> bytes:
    """Read the whole body; a length that was told has been looked at already."""
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        part = message.get("body", b"")
        size += len(part)
        if size > bytes_max:
            raise body_too_large(bytes_max)
        parts.append(part)
        if not message.get("more_body", False):
            return parts[0] if len(parts) == 1 else b"".join(parts)
