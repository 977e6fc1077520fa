"""`/v1/webhook_endpoints`: where events are sent, and what became of sending them."""

from datetime import timedelta
from typing import Annotated, Final
from uuid import UUID

from fastapi import APIRouter, Request, Response
from pydantic import Field

from ledgerlink_kit.idempotency import Reply, json_reply
from ledgerlink_kit.wire import Metadata, RequestModel
from ledgerlink_payments import queries
from ledgerlink_payments.api.callers import PaymentsReader, PaymentsWriter
from ledgerlink_payments.api.dialect import (
    Flag,
    IdempotencyKey,
    actor_of,
    once,
    params,
    refusal_reply,
    takes,
)
from ledgerlink_payments.api.fields import LIMIT_DEFAULT, READ, WRITE, Cursor, Description, Limit
from ledgerlink_payments.commands import webhook_endpoints as commands
from ledgerlink_payments.commands import webhook_log as log
from ledgerlink_payments.domain.addresses import URL_CHARS_MAX
from ledgerlink_payments.domain.webhooks import EVENT_TYPES, ROTATION_OVERLAP, ROTATION_OVERLAP_MAX, Endpoint
from ledgerlink_payments.runtime import Runtime, Settings

router = APIRouter(prefix="/v1/webhook_endpoints", tags=["webhook endpoints"])
_URL: Final = "/v1/webhook_endpoints"
_OVERLAP_S: Final = int(ROTATION_OVERLAP.total_seconds())
_OVERLAP_S_MAX: Final = int(ROTATION_OVERLAP_MAX.total_seconds())

Url = Annotated[str, Field(min_length=1, max_length=URL_CHARS_MAX, examples=["https://example.com/hook"])]
EventTypes = Annotated[
    list[Annotated[str, Field(max_length=64)]],
    Field(min_length=1, max_length=len(EVENT_TYPES) + 1, examples=[["*"]]),
]


class CreateEndpoint(RequestModel):
    """Parameters of an endpoint."""

    url: Url
    enabled_events: EventTypes
    description: Description | None = None
    metadata: Metadata = Field(default_factory=dict)


class ChangeEndpoint(RequestModel):
    """What to change; an empty description or label takes it away."""

    url: Url | None = None
    enabled_events: EventTypes | None = None
    description: Description | None = None
    metadata: Metadata | None = None
    disabled: Flag | None = None


class RotateSecret(RequestModel):
    """How many seconds the present secret goes on signing beside the new one."""

    overlap: int = Field(default=_OVERLAP_S, ge=0, le=_OVERLAP_S_MAX)


class ReplayEvent(RequestModel):
    """Which event to send once more."""

    event: Annotated[str, Field(max_length=64, examples=["evt_00000000000000000000000000"])]


def _shown(endpoint: Endpoint) -> Reply:
    return json_reply(200, endpoint.wire())


def _revealed(endpoint: Endpoint) -> Reply:
    return json_reply(200, endpoint.wire(reveal=True))


def _begun(delivery: UUID) -> Reply:
    return json_reply(200, {"id": str(log.DeliveryId(delivery)), "object": "webhook_delivery", "status": "pending"})


def _given(request: Request) -> tuple[Runtime, bool]:
    settings: Settings = request.app.state.settings
    return request.app.state.runtime, settings.webhook_allow_loopback


@router.post("", responses=WRITE, openapi_extra=takes(CreateEndpoint))
async def create_webhook_endpoint(
    request: Request, caller: PaymentsWriter, idempotency_key: IdempotencyKey = None
) -> Response:
    """Make an endpoint. Its `secret` is shown in this answer and never again."""
    asked = await params(request, CreateEndpoint)
    rt, allow_loopback = _given(request)
    new = commands.NewEndpoint(asked.url, asked.enabled_events, asked.description, asked.metadata)
    key = once(request, caller, idempotency_key, asked)
    reply = await commands.create(
        rt, key, actor_of(caller), new, _revealed, refusal_reply, allow_loopback=allow_loopback
    )
    return reply.to_response()


@router.get("/{endpoint}", responses=READ)
async def retrieve_webhook_endpoint(request: Request, endpoint: str, caller: PaymentsReader) -> Response:
    """Give one endpoint of the caller's, without its secret."""
    shown = await queries.retrieve(request.app.state.runtime, log.ENDPOINTS, actor_of(caller), endpoint)
    return json_reply(200, shown).to_response()


@router.get("", responses=READ)
async def list_webhook_endpoints(
    request: Request,
    caller: PaymentsReader,
    limit: Limit = LIMIT_DEFAULT,
    starting_after: Cursor = None,
    ending_before: Cursor = None,
) -> Response:
    """List endpoints, newest first."""
    window = queries.Window(limit, starting_after, ending_before)
    rt, actor = request.app.state.runtime, actor_of(caller)
    return json_reply(200, await queries.listing(rt, log.ENDPOINTS, actor, window, {}, _URL)).to_response()


@router.post("/{endpoint}", responses=WRITE, openapi_extra=takes(ChangeEndpoint))
async def change_webhook_endpoint(
    request: Request, endpoint: str, caller: PaymentsWriter, idempotency_key: IdempotencyKey = None
) -> Response:
    """Change an endpoint; `disabled=false` enables one that was given up."""
    asked = await params(request, ChangeEndpoint)
    rt, allow_loopback = _given(request)
    changes = commands.Changes(asked.url, asked.enabled_events, asked.description, asked.metadata, asked.disabled)
    key = once(request, caller, idempotency_key, asked)
    reply = await commands.change(
        rt, key, actor_of(caller), endpoint, changes, _shown, refusal_reply, allow_loopback=allow_loopback
    )
    return reply.to_response()


@router.delete("/{endpoint}", responses=READ)
async def delete_webhook_endpoint(request: Request, endpoint: str, caller: PaymentsWriter) -> Response:
    """Forget an endpoint; what was still to be sent to it is not sent."""
    gone = await commands.delete(request.app.state.runtime, actor_of(caller), endpoint)
    return json_reply(200, {"id": str(gone.id), "object": "webhook_endpoint", "deleted": True}).to_response()


@router.post("/{endpoint}/rotate_secret", responses=WRITE, openapi_extra=takes(RotateSecret))
async def rotate_webhook_secret(
    request: Request, endpoint: str, caller: PaymentsWriter, idempotency_key: IdempotencyKey = None
) -> Response:
    """Make a new secret, shown in this answer; the present one goes on signing beside it for `overlap` seconds."""
    asked = await params(request, RotateSecret)
    key = once(request, caller, idempotency_key, asked)
    rt, overlap = request.app.state.runtime, timedelta(seconds=asked.overlap)
    reply = await commands.rotate_secret(rt, key, actor_of(caller), endpoint, overlap, _revealed, refusal_reply)
    return reply.to_response()


@router.post("/{endpoint}/deliveries", responses=WRITE, openapi_extra=takes(ReplayEvent))
async def replay_event(
    request: Request, endpoint: str, caller: PaymentsWriter, idempotency_key: IdempotencyKey = None
) -> Response:
    """Send one event to the endpoint once more, with the same id, so that a receiver knows it again."""
    asked = await params(request, ReplayEvent)
    key = once(request, caller, idempotency_key, asked)
    rt = request.app.state.runtime
    reply = await commands.replay(rt, key, actor_of(caller), endpoint, asked.event, _begun, refusal_reply)
    return reply.to_response()


@router.get("/{endpoint}/deliveries", responses=READ)
async def list_webhook_deliveries(
    request: Request, endpoint: str, caller: PaymentsReader, limit: Limit = LIMIT_DEFAULT, starting_after: Cursor = None
) -> Response:
    """List deliveries to an endpoint, newest first, each with its tries: when, how long, what came back."""
    rt, actor = request.app.state.runtime, actor_of(caller)
    shown = await log.deliveries(rt, actor, endpoint, limit, starting_after, f"{_URL}/{endpoint}/deliveries")
    return json_reply(200, shown).to_response()
