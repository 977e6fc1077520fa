"""Lookups by key: the things as they now stand."""

from ledgerlink_kit.errors import Kind, Refused
from ledgerlink_sandbox import store
from ledgerlink_sandbox.domain.authorizations import Authorization
from ledgerlink_sandbox.domain.movements import Capture, Payout, Refund
from ledgerlink_sandbox.runtime import Runtime


async def authorization(runtime: Runtime, key: str) -> Authorization:
    """Look up an authorization. Raises `Refused` (``authorization-unknown``)."""
    async with runtime.db.reading() as view:
        found = await store.find_authorization(view, key)
    if found is None:
        raise _unknown("authorization")
    return found


async def capture(runtime: Runtime, key: str) -> Capture:
    """Look up a capture. Raises `Refused` (``capture-unknown``)."""
    async with runtime.db.reading() as view:
        found = await store.find_capture(view, key)
    if found is None:
        raise _unknown("capture")
    return found


async def refund(runtime: Runtime, key: str) -> Refund:
    """Look up a refund. Raises `Refused` (``refund-unknown``)."""
    async with runtime.db.reading() as view:
        found = await store.find_refund(view, key)
    if found is None:
        raise _unknown("refund")
    return found


async def payout(runtime: Runtime, key: str) -> Payout:
    """Look up a payout. Raises `Refused` (``payout-unknown``)."""
    async with runtime.db.reading() as view:
        found = await store.find_payout(view, key)
    if found is None:
        raise _unknown("payout")
    return found


def _unknown(thing: str) -> Refused:
    return Refused(Kind.NOT_FOUND, f"{thing}-unknown", f"No {thing} has this key.")
