"""The overview: one answer out of four questions to three services, asked side by side, each with its own deadline."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Final, Literal, cast

from pydantic import Field

from ledgerlink_gateway.connectors.upstream import Upstream
from ledgerlink_gateway.connectors.upstream_json import Missing, get_json
from ledgerlink_gateway.routes import IDENTITY, PAYMENTS, WALLET
from ledgerlink_kit.wire import ResponseModel

PART_S: Final = 2.0
"""How long one part may take; the whole takes no longer, since all are asked at once."""
WALLETS_MAX: Final = 100
TRANSFERS_SHOWN: Final = 10
INTENTS_ASKED: Final = 100
OPEN_INTENTS: Final = frozenset(
    {"requires_payment_method", "requires_confirmation", "requires_action", "processing", "requires_capture"}
)
"""States of an intent in which something is still to happen."""

Json = dict[str, Any]


class PartState(ResponseModel):
    """Whether a part is there; if not, the code that says why (`upstream-timeout`, `scope-missing`…)."""

    state: Literal["present", "missing"]
    reason: str | None = None


class Overview(ResponseModel):
    """What a caller has. A part that could not be had is null, and `parts` says why; never silently left out."""

    is_complete: Annotated[bool, Field(description="Whether every part is present")]
    me: Annotated[Json | None, Field(description="The caller's profile, as `/api/v1/auth/me` gives it")]
    wallets: Annotated[
        list[Json] | None, Field(description="Wallets with their balances, as `/api/v1/wallets` gives them")
    ]
    recent_transfers: Annotated[list[Json] | None, Field(description="The latest transfers, newest first")]
    open_intents: Annotated[list[Json] | None, Field(description="Payment intents that are neither done nor canceled")]
    parts: dict[Literal["me", "wallets", "recent_transfers", "open_intents"], PartState]


async def overview(upstreams: Mapping[str, Upstream], headers: tuple[tuple[bytes, bytes], ...]) -> Overview:
    """Compose the overview of whoever the forwarded ``headers`` (Authorization, ids, trace) speak for."""
    results = await asyncio.gather(
        _part(upstreams[IDENTITY], "/auth/me", headers, _whole),
        _part(upstreams[WALLET], f"/wallets?limit={WALLETS_MAX}", headers, _items),
        _part(upstreams[WALLET], f"/transfers?limit={TRANSFERS_SHOWN}", headers, _items),
        _part(upstreams[PAYMENTS], f"/v1/payment_intents?limit={INTENTS_ASKED}", headers, _open_intents),
    )
    (me, me_state), (wallets, wallets_state), (transfers, transfers_state), (intents, intents_state) = results
    states = (me_state, wallets_state, transfers_state, intents_state)
    return Overview(
        is_complete=all(state.state == "present" for state in states),
        me=cast("Json | None", me),
        wallets=cast("list[Json] | None", wallets),
        recent_transfers=cast("list[Json] | None", transfers),
        open_intents=cast("list[Json] | None", intents),
        parts=dict(zip(("me", "wallets", "recent_transfers", "open_intents"), states, strict=True)),
    )


async def _part(
    upstream: Upstream, target: str, headers: tuple[tuple[bytes, bytes], ...], read: Callable[[Json], Json | list[Json]]
) -> tuple[Json | list[Json] | None, PartState]:
    try:
        return read(await get_json(upstream, target, headers, PART_S)), PartState(state="present")
    except Missing as missing:
        return None, PartState(state="missing", reason=missing.reason)


def _whole(document: Json) -> Json:
    return document


def _items(document: Json) -> list[Json]:
    """Take the list out of a page: `items` as our services name it, `data` in Stripe's dialect."""
    items = document.get("items", document.get("data"))
    if not isinstance(items, list):
        raise Missing("upstream-invalid")
    return cast("list[Json]", items)


def _open_intents(document: Json) -> list[Json]:
    return [intent for intent in _items(document) if intent.get("status") in OPEN_INTENTS]
