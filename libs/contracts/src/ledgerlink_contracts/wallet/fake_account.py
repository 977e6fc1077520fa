"""An account of the fake ledger: naive columns, its floor and its ceiling."""

from dataclasses import dataclass
from typing import Any

from ledgerlink_contracts.ids import AccountId, WalletId
from ledgerlink_contracts.wallet.chart import Root, Side
from ledgerlink_contracts.wallet.models import AccountView, BalanceView, EntryView, Layer, Standing
from ledgerlink_contracts.wallet.refusals import KINDS, RefusalCode
from ledgerlink_kit.clock import Clock
from ledgerlink_kit.errors import Refused
from ledgerlink_kit.money import MAX_MINOR


def refuse(code: RefusalCode, detail: str, **members: Any) -> Refused:
    """Make the refusal for ``code`` with its kind."""
    return Refused(KINDS[code], code.value, detail, **members)


@dataclass
class FakeAccount:
    """An account's code, currency, bounds and columns."""

    code: str
    currency: str
    root: Root
    wallet: WalletId | None
    posted: int = 0
    pending: int = 0
    debits: int = 0
    credits: int = 0
    version: int = 0
    floor: int | None = None
    ceiling: int | None = None

    @property
    def id(self) -> AccountId:
        """Its id."""
        return AccountId.derive("main", self.code, self.currency)

    @property
    def party(self) -> str:
        """How the wire names it."""
        return str(self.wallet) if self.wallet else self.code

    def balance(self) -> BalanceView:
        """Give its balances."""
        return BalanceView(
            currency=self.currency,
            posted_minor=self.posted,
            pending_minor=self.pending,
            available_minor=self.posted - self.pending,
        )

    def check_floor(self, amount: int) -> None:
        """Raise `Refused` when ``amount`` less would be below the floor."""
        available = self.posted - self.pending
        if self.root.may_overdraw and self.floor is None:
            return
        floor = self.floor or 0
        if available - amount >= floor:
            return
        if floor:
            raise refuse(RefusalCode.FLOOR, "Below the floor.", available_minor=available, floor_minor=floor)
        raise refuse(
            RefusalCode.INSUFFICIENT_FUNDS,
            f"The available amount is {available} minor units of {self.currency}.",
            available_minor=available,
            currency=self.currency,
        )

    def post(self, side: Side, amount: int) -> EntryView:
        """Post ``amount`` on ``side``. Raises `Refused`, and may then have been changed."""
        grows = self.root.normal_side is side
        if not grows:
            self.check_floor(amount)
        elif self.ceiling is not None and self.posted + amount > self.ceiling:
            raise refuse(
                RefusalCode.CEILING, "Above the ceiling.", posted_minor=self.posted, ceiling_minor=self.ceiling
            )
        self.posted += amount if grows else -amount
        self.debits += amount if side is Side.DEBIT else 0
        self.credits += amount if side is Side.CREDIT else 0
        if max(self.debits, self.credits) > MAX_MINOR:
            raise refuse(RefusalCode.BALANCE_LIMIT, "The account would pass its largest balance.")
        self.version += 1
        return EntryView(
            account=self.id,
            party=self.party,
            side=side,
            layer=Layer.POSTED,
            amount_minor=amount,
            version=self.version,
            **self.balance().model_dump(),
        )

    def view(self, clock: Clock) -> AccountView:
        """Show it as the ledger does."""
        return AccountView(
            id=self.id,
            code=self.code,
            wallet=self.wallet,
            normal_side=self.root.normal_side,
            may_overdraw=self.root.may_overdraw,
            floor_minor=self.floor,
            ceiling_minor=self.ceiling,
            state=Standing.OPEN,
            debits_posted_minor=self.debits,
            credits_posted_minor=self.credits,
            debits_pending_minor=self.pending,
            credits_pending_minor=0,
            version=self.version,
            opened_at=clock.now(),
            **self.balance().model_dump(),
        )
