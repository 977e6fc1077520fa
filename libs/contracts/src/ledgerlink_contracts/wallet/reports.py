"""Reports about the whole of the books: trial balance, ledgers, audit."""

from pydantic import AwareDatetime

from ledgerlink_contracts.wallet.chart import Side
from ledgerlink_kit.wire import ResponseModel


class RootBalance(ResponseModel):
    """The sums of all accounts below one root of the chart, in one currency."""

    root: str
    currency: str
    normal_side: Side
    accounts: int
    debits_posted_minor: int
    credits_posted_minor: int
    posted_minor: int


class CurrencyTotal(ResponseModel):
    """All debits and credits of one currency; they are equal, or something is broken."""

    currency: str
    debits_posted_minor: int
    credits_posted_minor: int
    balanced: bool


class TrialBalanceView(ResponseModel):
    """The trial balance, by root and currency, made at ``as_of``: of all there is, or as effective and as known at."""

    as_of: AwareDatetime
    effective_at: AwareDatetime | None = None
    recorded_at: AwareDatetime | None = None
    balanced: bool
    totals: list[CurrencyTotal]
    roots: list[RootBalance]


class LedgerView(ResponseModel):
    """What a ledger holds."""

    name: str
    as_of: AwareDatetime
    currencies: list[str]
    accounts: int
    entries: int


class LedgersView(ResponseModel):
    """All ledgers; there is one."""

    items: list[LedgerView]


class AuditCheckView(ResponseModel):
    """One check of the audit: how many rows it looked at, and the first differences that it found."""

    name: str
    description: str
    examined: int
    differences: list[str]
    seconds: float


class AuditView(ResponseModel):
    """The audit: ``clean`` when no check found a difference."""

    clean: bool
    as_of: AwareDatetime
    checks: list[AuditCheckView]
