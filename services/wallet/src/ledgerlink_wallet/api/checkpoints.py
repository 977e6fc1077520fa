"""Checkpoints of the ledger's Merkle tree, the proof that one goes on from another, and the key that verifies them."""

from typing import Annotated, Final

from fastapi import APIRouter, Path, Query

from ledgerlink_contracts.wallet.receipts import CheckpointKeyView, CheckpointPage, CheckpointView, ConsistencyView
from ledgerlink_kit.merkle import SIZE_MAX
from ledgerlink_kit.pagination import PAGE_DEFAULT, PageCursor
from ledgerlink_kit.problem import responses
from ledgerlink_wallet.api.callers import AnyReader, GivenRuntime, LedgerLimit
from ledgerlink_wallet.queries import tree

router = APIRouter(prefix="/checkpoints", tags=["checkpoints"])

PUBLIC_ROUTES: Final = frozenset({"/checkpoints/key"})
"""Whoever verifies a receipt needs the key, and nobody's leave for it."""


@router.get("", name="list_checkpoints")
async def list_checkpoints(
    _caller: AnyReader, runtime: GivenRuntime, limit: LedgerLimit = PAGE_DEFAULT, cursor: PageCursor = None
) -> CheckpointPage:
    """List signed states of the ledger's Merkle tree, the latest first."""
    async with runtime.db.reading() as view:
        return await tree.checkpoint_page(view, cursor=cursor, limit=limit)


@router.get("/key", name="get_checkpoint_key")
async def get_checkpoint_key(runtime: GivenRuntime) -> CheckpointKeyView:
    """Give the key that verifies checkpoints, as c2sp.org/signed-note writes it. Needs no token."""
    return CheckpointKeyView(origin=runtime.checkpoint_key.name, key=str(runtime.checkpoint_key))


@router.get("/consistency", name="get_consistency", responses=responses(404))
async def get_consistency(
    _caller: AnyReader,
    runtime: GivenRuntime,
    older: Annotated[int, Query(alias="from", ge=1, le=SIZE_MAX, description="Size of the older checkpoint")],
    newer: Annotated[int, Query(alias="to", ge=1, le=SIZE_MAX, description="Size of the newer checkpoint")],
) -> ConsistencyView:
    """Prove that the newer tree begins with the older one: nothing was changed, removed or reordered in between."""
    async with runtime.db.reading() as view:
        return await tree.consistency(view, older, newer, runtime.checkpoint_key)


@router.get("/{size}", name="get_checkpoint", responses=responses(404))
async def get_checkpoint(
    size: Annotated[int, Path(ge=1, le=SIZE_MAX)], _caller: AnyReader, runtime: GivenRuntime
) -> CheckpointView:
    """Give the checkpoint that was signed at ``size`` leaves."""
    async with runtime.db.reading() as view:
        return await tree.checkpoint(view, size)
