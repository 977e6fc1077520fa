"""From the wire's orders to the ledger's commands, and back to answers that show a caller what they may see.

Who may: a caller with ledger:write may name any party, and may post on behalf of a user. Everybody else moves money out
of their own wallets into wallets, and nothing else.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

import orjson
from pydantic import BaseModel

from ledgerlink_contracts.ids import AccountId, HoldId, TransferId, WalletId
from ledgerlink_contracts.wallet.models import (
    AccountOrder,
    CaptureOrder,
    ConditionOrder,
    HoldOrder,
    PostingOrder,
    ReversalOrder,
    Standing,
    TransferOrder,
)
from ledgerlink_contracts.wallet.refusals import RefusalCode
from ledgerlink_kit.errors import Kind, Refused
from ledgerlink_kit.ids import TypedId
from ledgerlink_kit.telemetry import span
from ledgerlink_wallet.commands.rendering import dumps
from ledgerlink_wallet.domain.books import AccountKey, HoldKey, Posting, TransferKey, WalletKey, ordered
from ledgerlink_wallet.domain.orders import (
    CaptureHold,
    ChangeStanding,
    ChangeWalletStanding,
    Command,
    Condition,
    Content,
    DryRun,
    LinkedGroup,
    OpenAccount,
    PlaceHold,
    PostTransfer,
    ReleaseHold,
    RememberedCommand,
    ReverseTransfer,
)
from ledgerlink_wallet.domain.parties import party_of
from ledgerlink_wallet.runtime import Answer, Owners, Runtime

_FIRST_ERROR: Final = 400
_OPTIONS: Final = orjson.OPT_SORT_KEYS | orjson.OPT_UTC_Z


@dataclass(frozen=True, slots=True)
class Mandate:
    """For whom a command is carried out, and how far they may go.

    ``key`` is the Idempotency-Key, if one was sent; ``trusted`` holders of ledger:write may name any party.
    """

    subject: str
    trusted: bool
    key: str | None = None

    def named(self, given: TypedId | None, kind: type[TypedId], operation: str) -> TypedId:
        """Give the id of the command: the caller's own, or the one that their Idempotency-Key makes."""
        if given is not None:
            return given
        if self.key is None:
            raise Refused(
                Kind.INVALID,
                "idempotency-key-missing",
                "Send an Idempotency-Key header, or an `id` of your own making: the same for a retry.",
            )
        return kind.derive(self.subject, operation, self.key)


def content(operation: str, order: BaseModel, include: set[str] | None = None, **more: Any) -> Content:
    """Tell what was asked; the id is not part of it, absent fields are left out, and all but ``include`` if given."""

    def write() -> bytes:
        fields = order.model_dump(mode="json", exclude_none=True, include=include, exclude={"id"})
        return orjson.dumps({**fields, **more, "operation": operation}, option=_OPTIONS)

    return Content(write)


def postings(orders: Iterable[PostingOrder]) -> tuple[Posting, ...]:
    """Find the parties of ``orders``."""
    return tuple(
        [
            Posting(
                party_of(order.debit, order.currency),
                party_of(order.credit, order.currency),
                order.amount_minor,
                order.currency,
            )
            for order in orders
        ]
    )


def conditions(orders: Iterable[ConditionOrder] | None) -> tuple[Condition, ...]:
    """Find the accounts of ``orders``; most commands have none."""
    if orders is None:
        return ()
    return tuple(Condition(party_of(one.account, one.currency), one.currency, *one.said()) for one in orders)


def transfer_from(
    order: TransferOrder, id_: TypedId, owner: str | None, *, spends: bool = False, **linked: Any
) -> PostTransfer:
    """Make the command of ``order``; ``owner`` is on whose behalf, ``linked`` what else belongs to its content.

    The limits of the debited wallets hold when there is an ``owner``, or when the order ``spends``.
    """
    known = {"on_behalf_of": owner} if owner else {}
    made = postings(order.postings)
    return PostTransfer(
        TransferKey(id_.uuid),
        content("transfer", order, **known, **linked),
        order.kind,
        made,
        owner,
        order.reference,
        ordered(order.metadata),
        order.effective_at,
        conditions(order.conditions),
        plain=not linked and _is_plain(order, made),
        spends=owner is not None or spends,
    )


def reversal_from(transfer: TransferId, order: ReversalOrder, id_: TypedId, **linked: Any) -> ReverseTransfer:
    """Make the command that reverses ``transfer``."""
    return ReverseTransfer(
        TransferKey(id_.uuid),
        content("reversal", order, transfer=str(transfer), **linked),
        TransferKey(transfer.uuid),
        order.kind,
        None if order.parts is None else tuple((part.posting, part.amount_minor) for part in order.parts),
        order.reference,
        ordered(order.metadata),
        conditions(order.conditions),
    )


def hold_from(order: HoldOrder, id_: TypedId, **linked: Any) -> PlaceHold:
    """Make the command that places a hold."""
    return PlaceHold(
        HoldKey(id_.uuid),
        content("hold", order, **linked),
        party_of(str(order.wallet), order.currency),
        order.amount_minor,
        order.currency,
        order.expires_at,
        None if order.on_behalf_of is None else str(order.on_behalf_of),
        order.reference,
        conditions(order.conditions),
        spends=order.on_behalf_of is not None,
    )


def capture_from(hold: HoldId, order: CaptureOrder, id_: TypedId, **linked: Any) -> CaptureHold:
    """Make the command that captures ``hold``."""
    return CaptureHold(
        TransferKey(id_.uuid),
        content("capture", order, hold=str(hold), **linked),
        HoldKey(hold.uuid),
        order.kind,
        order.credit,
        order.amount_minor,
        order.final,
        postings(order.postings),
        order.reference,
        ordered(order.metadata),
        conditions(order.conditions),
    )


async def post_transfer(
    runtime: Runtime,
    mandate: Mandate,
    order: TransferOrder,
    *,
    from_key: bool = False,
    dry_run: bool = False,
    spends: bool = False,
) -> Answer:
    """Post a transfer; ``from_key`` says that the order's id was made from an Idempotency-Key already.

    ``spends`` says that an owner spends although the order is on nobody's behalf.
    """
    owner = str(order.on_behalf_of) if order.on_behalf_of is not None else None
    if not mandate.trusted:
        _within_wallets(mandate, order, owner)
        owner = mandate.subject
    command = transfer_from(order, mandate.named(order.id, TransferId, "transfer"), owner, spends=spends)
    with span("post_transfer"):
        return await submit(runtime, mandate, command, derived=from_key or order.id is None, dry_run=dry_run)


def _is_plain(order: TransferOrder, postings: Iterable[Posting]) -> bool:
    """Say whether the posted transfer will tell all of ``order``: its own moment, and parties by their names."""
    if order.effective_at is not None or order.conditions:
        return False
    for posting in postings:  # noqa: SIM110 - `all` of a generator costs as much as what it looks at
        if posting.debit.opens is None or posting.credit.opens is None:
            return False
    return True


def _within_wallets(mandate: Mandate, order: TransferOrder, owner: str | None) -> None:
    """Refuse what needs ledger:write: other parties than wallets, somebody else's behalf, a chosen effective date."""
    parties = [party for posting in order.postings for party in (posting.debit, posting.credit)]
    parties += [condition.account for condition in order.conditions or ()]
    outside = sorted({party for party in parties if not party.startswith("wal_")})
    if outside or owner not in {None, mandate.subject} or order.effective_at is not None:
        raise Refused(
            Kind.FORBIDDEN,
            "ledger-write-needed",
            "Only a caller with ledger:write may name other parties than wallets, act on another's behalf or choose "
            "`effective_at`.",
            parties=outside,
        )


async def reverse_transfer(
    runtime: Runtime, mandate: Mandate, transfer: TransferId, order: ReversalOrder, *, dry_run: bool = False
) -> Answer:
    """Reverse a transfer, whole or in part."""
    command = reversal_from(transfer, order, mandate.named(order.id, TransferId, f"reverse {transfer}"))
    with span("reverse_transfer"):
        return await submit(runtime, mandate, command, derived=order.id is None, dry_run=dry_run)


async def place_hold(runtime: Runtime, mandate: Mandate, order: HoldOrder, *, dry_run: bool = False) -> Answer:
    """Reserve funds in a wallet."""
    command = hold_from(order, mandate.named(order.id, HoldId, "hold"))
    with span("place_hold"):
        return await submit(runtime, mandate, command, derived=order.id is None, dry_run=dry_run)


async def capture_hold(
    runtime: Runtime, mandate: Mandate, hold: HoldId, order: CaptureOrder, *, dry_run: bool = False
) -> Answer:
    """Collect a hold, whole or in part."""
    command = capture_from(hold, order, mandate.named(order.id, TransferId, f"capture {hold}"))
    with span("capture_hold"):
        return await submit(runtime, mandate, command, derived=order.id is None, dry_run=dry_run)


async def release_hold(runtime: Runtime, mandate: Mandate, hold: HoldId) -> Answer:
    """Give back what is left of a hold."""
    with span("release_hold"):
        return await submit(runtime, mandate, ReleaseHold(HoldKey(hold.uuid)), derived=False)


async def open_account(runtime: Runtime, mandate: Mandate, order: AccountOrder) -> Answer:
    """Open an account of the chart; one that stands so already stays so."""
    with span("open_account"):
        command = OpenAccount(
            party_of(order.code, order.currency), order.currency, order.floor_minor, order.ceiling_minor
        )
        return await submit(runtime, mandate, command, derived=False)


async def change_standing(runtime: Runtime, mandate: Mandate, account: AccountId, standing: Standing) -> Answer:
    """Open, freeze or close an account."""
    with span("change_standing"):
        command = ChangeStanding(AccountKey(account.uuid), standing)
        return await submit(runtime, mandate, command, derived=False)


async def change_wallet(runtime: Runtime, mandate: Mandate, wallet: WalletId, standing: Standing) -> Answer:
    """Open, freeze or close a whole wallet: all its accounts, also those that open later."""
    with span("change_wallet"):
        command = ChangeWalletStanding(WalletKey(wallet.uuid), standing)
        return await submit(runtime, mandate, command, derived=False)


async def submit(
    runtime: Runtime,
    mandate: Mandate,
    command: Command,
    *,
    derived: bool,
    dry_run: bool = False,
) -> Answer:
    """Have ``command`` carried out, or tried (``dry_run``); ``derived`` says that the Idempotency-Key made its id."""
    if dry_run:
        assert isinstance(command, RememberedCommand | LinkedGroup)
        command = DryRun(command)
    answer = await runtime.ledger.submit(command)
    if derived and answer.refusal is RefusalCode.ID_REUSED:
        differs = orjson.loads(answer.body)["differs"]
        raise Refused(
            Kind.UNPROCESSABLE,
            "idempotency-key-reused",
            "This Idempotency-Key was used for another request; what differs: " + ", ".join(differs[:10]) + ".",
            differs=differs,
        )
    return answer if mandate.trusted else hide_others(answer, mandate.subject, runtime.owners)


def hide_others(answer: Answer, subject: str, owners: Owners) -> Answer:
    """Leave out of a transfer's answer the entries, and so the balances, of accounts that are not ``subject``'s."""
    if answer.status >= _FIRST_ERROR:
        return answer
    body = orjson.loads(answer.body)
    body["entries"] = [entry for entry in body["entries"] if owns(owners, subject, entry["party"])]
    return answer.telling(dumps(body))


def owns(owners: Owners, subject: str, party: str) -> bool:
    """Say whether ``party`` is a wallet of ``subject``; the committer has learned the owners of all that it touched."""
    if not party.startswith("wal_"):
        return False
    return owners.get(WalletKey(WalletId.parse(party).uuid)) == subject
