"""The ledger in memory, for tests of those who call it: the same outcomes as the service, written naively.

Idempotent by id, refusals remembered; wallets never below zero; ownership by ``on_behalf_of``. It keeps no clock of its
own and no database: give it the test's clock. The contract suite runs over this and over the real client.
"""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any, TypeVar

from ledgerlink_contracts.ids import HoldId, TransferId, UserId, WalletId
from ledgerlink_contracts.wallet.chart import WALLET_ROOT, Side, root_of
from ledgerlink_contracts.wallet.fake_account import FakeAccount, refuse
from ledgerlink_contracts.wallet.groups import GroupItem, GroupItemView, GroupOrder, GroupView
from ledgerlink_contracts.wallet.models import (
    AccountOrder,
    AccountView,
    CaptureOrder,
    CaptureView,
    ConditionOrder,
    EntryView,
    HoldOrder,
    HoldState,
    HoldView,
    PostingOrder,
    PostingView,
    ReversalOrder,
    ReversalPart,
    Standing,
    TransferOrder,
    TransferView,
    WalletView,
    named,
)
from ledgerlink_contracts.wallet.refusals import RefusalCode
from ledgerlink_kit.clock import Clock
from ledgerlink_kit.errors import Refused
from ledgerlink_kit.wire import RequestModel

Answer = TypeVar("Answer")


@dataclass
class _Wallet:
    owner: str
    currency: str
    label: str | None
    opened_at: Any
    currencies: list[str] = field(default_factory=list[str])


@dataclass(frozen=True)
class _Remembered:
    fields: dict[str, Any]
    answer: Any


class FakeWallet:
    """`WalletClient` in memory."""

    def __init__(self, clock: Clock) -> None:
        """Start with empty books on ``clock``'s time."""
        self._clock = clock
        self._accounts: dict[tuple[str, str], FakeAccount] = {}
        self._wallets: dict[WalletId, _Wallet] = {}
        self._transfers: dict[TransferId, TransferView] = {}
        self._reversed: dict[TransferId, dict[int, int]] = {}
        self._holds: dict[HoldId, HoldView] = {}
        self._outcomes: dict[str, _Remembered] = {}

    def open_wallet(self, owner: UserId | str, currency: str, label: str | None = None) -> WalletId:
        """Open a wallet for ``owner``, as `POST /wallets` does with the owner's own token."""
        wallet = WalletId.new(self._clock.now())
        self._wallets[wallet] = _Wallet(str(owner), currency, label, self._clock.now(), [currency])
        return wallet

    def fund(self, wallet: WalletId, amount_minor: int, currency: str) -> None:
        """Put money into a wallet from `world`."""
        debit, credit = self._account("world", currency), self._account(str(wallet), currency)
        self._move(debit, credit, amount_minor)

    async def post_transfer(self, order: TransferOrder) -> TransferView:
        """Post a transfer, or give the outcome that ``order.id`` had before. Raises `Refused`."""

        def work() -> TransferView:
            entries = self._post(order.postings, order.on_behalf_of, order.conditions)
            return self._store(
                order,
                entries,
                on_behalf_of=order.on_behalf_of and str(order.on_behalf_of),
                effective_at=order.effective_at,
            )

        return self._once("transfer", named(order.id), order, work)

    async def transfer(self, transfer: TransferId) -> TransferView:
        """Give a posted transfer. Raises `Refused` (`transfer-not-found`)."""
        found = self._transfers.get(transfer)
        if found is None:
            raise refuse(RefusalCode.TRANSFER_NOT_FOUND, "No such transfer.")
        return found

    async def reverse_transfer(self, transfer: TransferId, order: ReversalOrder) -> TransferView:
        """Reverse a transfer, whole or in part. Raises `Refused`."""

        def work() -> TransferView:
            original = self._transfers.get(transfer)
            if original is None:
                raise refuse(RefusalCode.TRANSFER_NOT_FOUND, "No such transfer.")
            if original.reverses is not None:
                raise refuse(RefusalCode.REVERSAL_OF_REVERSAL, "A reversal is not reversed.")
            postings, parts = self._opposite(original, order.parts)
            entries = self._post(postings, None, order.conditions)
            done = self._reversed.setdefault(transfer, {})
            for part in parts:
                done[part.posting] = done.get(part.posting, 0) + part.amount_minor
            return self._store(order, entries, postings=postings, reverses=transfer)

        return self._once(f"reverse {transfer}", named(order.id), order, work)

    async def post_group(self, order: GroupOrder) -> GroupView:
        """Carry out all items of ``order``, or none. Raises `Refused`, whose ``item`` is the first refused."""
        ids = [named(item.order().id) for item in order.items]
        before = self._outcomes.get(f"group {ids[0]}")
        whole = order.model_dump(mode="json")
        if before is not None and before.fields == whole:
            if isinstance(before.answer, Refused):
                raise before.answer
            replayed: GroupView = before.answer
            return replayed
        known = set(self._outcomes)
        saved = deepcopy((self._accounts, self._wallets, self._transfers, self._reversed, self._holds))
        items: list[GroupItemView] = []
        answer: GroupView | Refused
        try:
            for id_, item in zip(ids, order.items, strict=True):
                if id_ in self._outcomes:
                    raise refuse(RefusalCode.ID_REUSED, "The id was used for something else.", differs=["group"])
                items.append(await self._item(item))
        except Refused as refusal:
            self._accounts, self._wallets, self._transfers, self._reversed, self._holds = saved
            answer = Refused(refusal.kind, refusal.code, refusal.detail, **refusal.members, item=len(items))
        else:
            answer = GroupView(items=items)
        for id_ in ids:
            if id_ not in known:
                # An item's id stands for its place in the group alone.
                self._outcomes[id_] = _Remembered({"group": whole}, None)
        self._outcomes[f"group {ids[0]}"] = _Remembered(whole, answer)
        if isinstance(answer, Refused):
            raise answer
        return answer

    async def _item(self, item: GroupItem) -> GroupItemView:
        if item.transfer is not None:
            return GroupItemView(transfer=await self.post_transfer(item.transfer))
        if item.hold is not None:
            return GroupItemView(hold=await self.place_hold(item.hold))
        if item.capture is not None:
            return GroupItemView(capture=await self.capture_hold(item.capture.hold, item.capture))
        assert item.reversal is not None
        return GroupItemView(reversal=await self.reverse_transfer(item.reversal.transfer, item.reversal))

    async def place_hold(self, order: HoldOrder) -> HoldView:
        """Reserve funds in a wallet. Raises `Refused`."""

        def work() -> HoldView:
            wallet = self._wallets.get(order.wallet)
            if wallet is None or (order.on_behalf_of and wallet.owner != str(order.on_behalf_of)):
                raise refuse(RefusalCode.WALLET_NOT_FOUND, "No such wallet.")
            if order.expires_at is not None and order.expires_at <= self._clock.now():
                raise refuse(RefusalCode.HOLD_EXPIRES_IN_THE_PAST, "A hold expires in the future.")
            self._check(order.conditions, order.on_behalf_of)
            account = self._account(str(order.wallet), order.currency)
            account.check_floor(order.amount_minor)
            account.pending += order.amount_minor
            account.version += 1
            return self._show_hold(
                HoldView(
                    id=HoldId.parse(named(order.id)),
                    wallet=order.wallet,
                    account=account.id,
                    state=HoldState.PLACED,
                    amount_minor=order.amount_minor,
                    captured_minor=0,
                    remaining_minor=order.amount_minor,
                    currency=order.currency,
                    expires_at=order.expires_at,
                    on_behalf_of=order.on_behalf_of and str(order.on_behalf_of),
                    reference=order.reference,
                    recorded_at=self._clock.now(),
                    balance=account.balance(),
                )
            )

        return self._once("hold", named(order.id), order, work)

    async def hold(self, hold: HoldId) -> HoldView:
        """Give a hold. Raises `Refused` (`hold-not-found`)."""
        found = self._holds.get(hold)
        if found is None:
            raise refuse(RefusalCode.HOLD_NOT_FOUND, "No such hold.")
        return self._show_hold(found)

    async def capture_hold(self, hold: HoldId, order: CaptureOrder) -> CaptureView:
        """Collect a hold, whole or in part; ``order.id`` is the transfer's. Raises `Refused`."""

        def work() -> CaptureView:
            found = self._due(hold)
            amount = order.amount_minor or found.remaining_minor
            if amount > found.remaining_minor:
                raise refuse(RefusalCode.HOLD_EXCEEDED, "Above what is left.", remaining_minor=found.remaining_minor)
            debit = str(found.wallet)
            first = PostingOrder(debit=debit, credit=order.credit, amount_minor=amount, currency=found.currency)
            postings = [first, *order.postings]
            self._check(order.conditions, None)
            account = self._account(debit, found.currency)
            given_back = found.remaining_minor if order.final else amount
            account.pending -= given_back
            try:
                entries = self._post(postings, None)
            except Refused:
                account.pending += given_back
                raise
            left = 0 if order.final else found.remaining_minor - amount
            after = found.model_copy(
                update={
                    "captured_minor": found.captured_minor + amount,
                    "remaining_minor": left,
                    "state": HoldState.PLACED if left else HoldState.CAPTURED,
                }
            )
            view = self._store(order, entries, postings=postings, on_behalf_of=found.on_behalf_of, hold=hold)
            return CaptureView(hold=self._show_hold(after), transfer=view)

        return self._once(f"capture {hold}", named(order.id), order, work)

    async def release_hold(self, hold: HoldId) -> HoldView:
        """Give back what is left of a hold; releasing a released hold changes nothing. Raises `Refused`."""
        found = await self.hold(hold)
        if found.state is HoldState.RELEASED:
            return found
        return self._end(self._due(hold), HoldState.RELEASED)

    async def expire_holds(self) -> int:
        """Expire what is due, as the worker does; give how many."""
        now = self._clock.now()
        due = [h for h in self._holds.values() if h.state is HoldState.PLACED and h.expires_at and h.expires_at <= now]
        for hold in due:
            self._end(hold, HoldState.EXPIRED)
        return len(due)

    async def wallet(self, wallet: WalletId) -> WalletView:
        """Give a wallet with its balances. Raises `Refused` (`wallet-not-found`)."""
        found = self._wallets.get(wallet)
        if found is None:
            raise refuse(RefusalCode.WALLET_NOT_FOUND, "No such wallet.")
        return WalletView(
            id=wallet,
            owner=found.owner,
            currency=found.currency,
            label=found.label,
            state=Standing.OPEN,
            balances=[self._account(str(wallet), currency).balance() for currency in found.currencies],
            opened_at=found.opened_at,
        )

    async def accounts(self, code: str) -> list[AccountView]:
        """Give the accounts of ``code`` and below it, one per currency in use; none is an empty list."""
        return [
            account.view(self._clock)
            for account in self._accounts.values()
            if account.code == code or account.code.startswith(f"{code}:")
        ]

    async def open_account(self, order: AccountOrder) -> AccountView:
        """Open an account with its bounds; one that stands so already stays so. Raises `Refused`."""
        known = set(self._accounts)
        account = self._account(order.code, order.currency)
        if account.wallet is not None and order.floor_minor:
            raise refuse(RefusalCode.WALLET_FLOOR, "A wallet never goes below zero.")
        if (account.code, account.currency) not in known:
            account.floor, account.ceiling = order.floor_minor, order.ceiling_minor
        if (account.floor, account.ceiling) != (order.floor_minor, order.ceiling_minor):
            raise refuse(
                RefusalCode.ACCOUNT_EXISTS,
                "It is open with other bounds.",
                floor_minor=account.floor,
                ceiling_minor=account.ceiling,
            )
        return account.view(self._clock)

    def _check(self, conditions: list[ConditionOrder] | None, on_behalf_of: UserId | None) -> None:
        for number, condition in enumerate(conditions or ()):
            account = self._account(condition.account, condition.currency)
            if on_behalf_of and account.wallet and self._wallets[account.wallet].owner != str(on_behalf_of):
                raise refuse(RefusalCode.WALLET_NOT_FOUND, "No such wallet.")
            predicate, value = condition.said()
            word = predicate.value.partition("_")[0]
            balances = {"available": account.posted - account.pending, "version": account.version}
            actual = {"posted": account.posted, "pending": account.pending, **balances}[word]
            low, high = not predicate.endswith("at_most"), not predicate.endswith("at_least")
            if (low and actual < value) or (high and actual > value):
                raise refuse(
                    RefusalCode.CONDITION_FAILED,
                    f"Condition {number} failed: {word} is {actual}.",
                    condition=number,
                    party=account.party,
                    currency=account.currency,
                    predicate=predicate.value,
                    expected=value,
                    actual=actual,
                )

    def _once(self, operation: str, key: str, order: RequestModel, work: Callable[[], Answer]) -> Answer:
        fields = order.model_dump(mode="json") | {"operation": operation}
        before = self._outcomes.get(key)
        if before is not None:
            differs = sorted(name for name in fields | before.fields if fields.get(name) != before.fields.get(name))
            if differs:
                raise refuse(RefusalCode.ID_REUSED, "The id was used for something else.", differs=differs)
            if isinstance(before.answer, Refused):
                raise before.answer
            return before.answer
        try:
            answer = work()
        except Refused as refusal:
            self._outcomes[key] = _Remembered(fields, refusal)
            raise
        self._outcomes[key] = _Remembered(fields, answer)
        return answer

    def _account(self, party: str, currency: str) -> FakeAccount:
        if party.startswith("acc_"):
            account = next((a for a in self._accounts.values() if str(a.id) == party), None)
            if account is None:
                raise refuse(RefusalCode.ACCOUNT_NOT_FOUND, "No such account.")
            if account.currency != currency:
                raise refuse(RefusalCode.CURRENCY_MISMATCH, "The account is in another currency.")
            return account
        wallet = WalletId.parse(party) if party.startswith("wal_") else None
        if wallet is not None and wallet not in self._wallets:
            raise refuse(RefusalCode.WALLET_NOT_FOUND, "No such wallet.")
        code = f"{WALLET_ROOT}:{party}" if wallet else party
        root = root_of(code)
        if root is None or (root.code == WALLET_ROOT and wallet is None):
            raise refuse(RefusalCode.UNKNOWN_ACCOUNT_CODE, "No such code in the chart of accounts.")
        if wallet is not None and currency not in self._wallets[wallet].currencies:
            self._wallets[wallet].currencies.append(currency)
        return self._accounts.setdefault((code, currency), FakeAccount(code, currency, root, wallet))

    def _post(
        self,
        postings: list[PostingOrder],
        on_behalf_of: UserId | None,
        conditions: list[ConditionOrder] | None = None,
    ) -> list[EntryView]:
        sides = [(self._account(p.debit, p.currency), self._account(p.credit, p.currency), p) for p in postings]
        for debit, credit, _ in sides:
            if debit is credit:
                raise refuse(RefusalCode.SAME_ACCOUNT, "Debit and credit are one account.")
            if on_behalf_of and debit.wallet and self._wallets[debit.wallet].owner != str(on_behalf_of):
                raise refuse(RefusalCode.WALLET_NOT_FOUND, "No such wallet.")
        self._check(conditions, on_behalf_of)
        touched = {id(account): account for debit, credit, _ in sides for account in (debit, credit)}
        before = [(account, dict(vars(account))) for account in touched.values()]
        try:
            return [entry for debit, credit, p in sides for entry in self._move(debit, credit, p.amount_minor)]
        except Refused:
            for account, columns in before:
                vars(account).update(columns)
            raise

    def _move(self, debit: FakeAccount, credit: FakeAccount, amount: int) -> list[EntryView]:
        return [debit.post(Side.DEBIT, amount), credit.post(Side.CREDIT, amount)]

    def _opposite(
        self, original: TransferView, parts: list[ReversalPart] | None
    ) -> tuple[list[PostingOrder], list[ReversalPart]]:
        done = self._reversed.get(original.id, {})
        left = [p.amount_minor - done.get(i, 0) for i, p in enumerate(original.postings)]
        if parts is None:
            parts = [ReversalPart(posting=i, amount_minor=amount) for i, amount in enumerate(left) if amount]
        asked: dict[int, int] = {}
        for part in parts:
            asked[part.posting] = asked.get(part.posting, 0) + part.amount_minor
        for posting, amount in asked.items():
            reversible = left[posting] if posting < len(left) else 0
            if amount > reversible:
                raise refuse(RefusalCode.REVERSAL_EXCEEDED, "Above what was posted.", reversible_minor=reversible)
        if not parts:
            raise refuse(RefusalCode.REVERSAL_EXCEEDED, "All of it has been reversed.", reversible_minor=0)
        postings = [
            PostingOrder(
                debit=original.postings[part.posting].credit,
                credit=original.postings[part.posting].debit,
                amount_minor=part.amount_minor,
                currency=original.postings[part.posting].currency,
            )
            for part in reversed(parts)
        ]
        return postings, parts

    def _store(
        self,
        order: TransferOrder | ReversalOrder | CaptureOrder,
        entries: list[EntryView],
        *,
        postings: list[PostingOrder] | None = None,
        **rest: Any,
    ) -> TransferView:
        now = self._clock.now()
        asked = postings if postings is not None else order.postings if isinstance(order, TransferOrder) else []
        view = TransferView(
            id=TransferId.parse(named(order.id)),
            kind=order.kind,
            state="posted",
            postings=[PostingView(**posting.model_dump()) for posting in asked],
            entries=entries,
            on_behalf_of=rest.get("on_behalf_of"),
            reference=order.reference,
            metadata=order.metadata,
            reverses=rest.get("reverses"),
            hold=rest.get("hold"),
            effective_at=rest.get("effective_at") or now,
            recorded_at=now,
        )
        self._transfers[view.id] = view
        return view

    def _due(self, hold: HoldId) -> HoldView:
        found = self._holds.get(hold)
        if found is None:
            raise refuse(RefusalCode.HOLD_NOT_FOUND, "No such hold.")
        if found.state is HoldState.PLACED and found.expires_at and found.expires_at <= self._clock.now():
            raise refuse(RefusalCode.HOLD_NOT_PLACED, "The hold has expired.", state=HoldState.EXPIRED.value)
        if found.state is not HoldState.PLACED:
            raise refuse(RefusalCode.HOLD_NOT_PLACED, f"The hold is {found.state}.", state=found.state.value)
        return found

    def _end(self, found: HoldView, state: HoldState) -> HoldView:
        account = self._account(str(found.wallet), found.currency)
        account.pending -= found.remaining_minor
        account.version += 1
        return self._show_hold(found.model_copy(update={"remaining_minor": 0, "state": state}))

    def _show_hold(self, hold: HoldView) -> HoldView:
        balance = self._account(str(hold.wallet), hold.currency).balance()
        self._holds[hold.id] = hold.model_copy(update={"balance": balance})
        return self._holds[hold.id]
