"""The overview: one answer out of questions to three services, asked side by side, each with its own deadline."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Annotated, Any, Final, Literal, TypeVar, cast
from urllib.parse import urlencode

from pydantic import Field, TypeAdapter, ValidationError

from ledgerlink_contracts.wallet.models import TransferRecord, WalletView
from ledgerlink_gateway.connectors.upstream import Upstream
from ledgerlink_gateway.connectors.upstream_json import Missing, get_json
from ledgerlink_gateway.routes import IDENTITY, PAYMENTS, WALLET
from ledgerlink_kit.wire import ResponseModel

PART_S: Final = 2.0
"""How long one question may take. Transfers are asked per account, once the wallets are known: two in a row at most."""
WALLETS_MAX: Final = 100
ACCOUNTS_ASKED: Final = 8
"""Accounts (a wallet's currency each) whose transfers are asked for, those of the first wallets first."""
TRANSFERS_SHOWN: Final = 10
INTENTS_ASKED: Final = 100
OPEN_INTENTS: Final = frozenset(
    {"requires_payment_method", "requires_confirmation", "requires_action", "processing", "requires_capture"}
)
"""States of an intent in which something is still to happen."""

Json = dict[str, Any]
Headers = tuple[tuple[bytes, bytes], ...]
T = TypeVar("T")

_WALLETS: Final = TypeAdapter(list[WalletView])
_TRANSFERS: Final = TypeAdapter(list[TransferRecord])


class PartState(ResponseModel):
    """Whether a part is there; if not, the code that says why (`upstream-timeout`, `scope-missing`…)."""

    state: Literal["present", "missing"]
    reason: str | None = None


class PartStates(ResponseModel):
    """What became of each part."""

    me: PartState
    wallets: PartState
    recent_transfers: PartState
    open_intents: PartState


class Overview(ResponseModel):
    """What a caller has. A part that could not be had is null, and `parts` says why; never silently left out."""

    is_complete: Annotated[bool, Field(description="Whether every part is present")]
    me: Annotated[Json | None, Field(description="The caller's profile, as `/api/v1/auth/me` gives it")]
    wallets: Annotated[list[WalletView] | None, Field(description="The caller's wallets with their balances")]
    recent_transfers: Annotated[
        list[TransferRecord] | None, Field(description="The latest transfers of these wallets, newest first")
    ]
    open_intents: Annotated[list[Json] | None, Field(description="Payment intents that are neither done nor canceled")]
    parts: PartStates


async def overview(upstreams: Mapping[str, Upstream], headers: Headers) -> Overview:
    """Compose the overview of whoever the forwarded ``headers`` (Authorization, ids, trace) speak for."""
    (me, me_state), (books, books_states), (intents, intents_state) = await asyncio.gather(
        _part(_document(upstreams[IDENTITY], "/auth/me", headers, _whole)),
        _books(upstreams[WALLET], headers),
        _part(_document(upstreams[PAYMENTS], f"/v1/payment_intents?limit={INTENTS_ASKED}", headers, _open_intents)),
    )
    parts = PartStates(
        me=me_state, wallets=books_states[0], recent_transfers=books_states[1], open_intents=intents_state
    )
    return Overview(
        is_complete=all(each.state == "present" for each in (me_state, *books_states, intents_state)),
        me=me,
        wallets=books[0],
        recent_transfers=books[1],
        open_intents=intents,
        parts=parts,
    )


async def _books(
    wallet: Upstream, headers: Headers
) -> tuple[tuple[list[WalletView] | None, list[TransferRecord] | None], tuple[PartState, PartState]]:
    """Ask for the wallets, and then for the transfers of their accounts."""
    wallets, state = await _part(_document(wallet, f"/wallets?limit={WALLETS_MAX}", headers, _listed(_WALLETS)))
    if wallets is None:
        return (None, None), (state, state)
    transfers, transfers_state = await _part(_transfers(wallet, wallets, headers))
    return (wallets, transfers), (state, transfers_state)


async def _transfers(upstream: Upstream, wallets: Sequence[WalletView], headers: Headers) -> list[TransferRecord]:
    accounts = [(str(wallet.id), balance.currency) for wallet in wallets for balance in wallet.balances]
    pages = await asyncio.gather(
        *(
            _document(upstream, _transfers_of(account, currency), headers, _listed(_TRANSFERS))
            for account, currency in accounts[:ACCOUNTS_ASKED]
        )
    )
    # A transfer between two of the caller's wallets stands on two pages.
    found = {str(transfer.id): transfer for page in pages for transfer in page}
    newest = sorted(found.values(), key=lambda transfer: (transfer.recorded_at, str(transfer.id)), reverse=True)
    return newest[:TRANSFERS_SHOWN]


def _transfers_of(account: str, currency: str) -> str:
    return "/transfers?" + urlencode({"account": account, "currency": currency, "limit": TRANSFERS_SHOWN})


async def _part(asked: Awaitable[T]) -> tuple[T | None, PartState]:
    try:
        return await asked, PartState(state="present")
    except Missing as missing:
        return None, PartState(state="missing", reason=missing.reason)


async def _document(upstream: Upstream, target: str, headers: Headers, read: Callable[[Json], T]) -> T:
    return read(await get_json(upstream, target, headers, PART_S))


def _whole(document: Json) -> Json:
    return document


def _listed(kind: TypeAdapter[list[T]]) -> Callable[[Json], list[T]]:
    def read(document: Json) -> list[T]:
        try:
            return kind.validate_python(document.get("items"))
        except ValidationError:
            raise Missing("upstream-invalid") from None

    return read


def _open_intents(document: Json) -> list[Json]:
    intents = document.get("data")
    if not isinstance(intents, list):
        raise Missing("upstream-invalid")
    return [intent for intent in cast(list[Json], intents) if intent.get("status") in OPEN_INTENTS]
