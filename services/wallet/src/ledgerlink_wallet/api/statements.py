"""Statements of wallets and accounts: pages as JSON, the whole period as CSV, print-ready HTML or a journal."""

from collections.abc import AsyncGenerator
from enum import StrEnum
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Header, Query, Response
from fastapi.responses import StreamingResponse
from sqlalchemy.ext.asyncio import AsyncConnection

from ledgerlink_contracts.ids import AccountId, WalletId
from ledgerlink_contracts.wallet.models import Moment, StatementBasis, StatementView
from ledgerlink_kit.money import CurrencyCode
from ledgerlink_kit.pagination import PAGE_DEFAULT, PageCursor
from ledgerlink_kit.problem import responses
from ledgerlink_wallet.api import exports
from ledgerlink_wallet.api.callers import AnyReader, GivenRuntime, LedgerLimit, owner_filter
from ledgerlink_wallet.api.exports import Format, Sheet
from ledgerlink_wallet.domain.books import Account
from ledgerlink_wallet.queries import statements, visibility, wallets
from ledgerlink_wallet.queries.statements import Period
from ledgerlink_wallet.runtime import Runtime

router = APIRouter(tags=["statements"])


class StatementFormat(StrEnum):
    """The forms of a statement."""

    JSON = "json"
    CSV = "csv"
    HTML = "html"
    HLEDGER = "hledger"
    BEANCOUNT = "beancount"


_FORMATS: Final[dict[StatementFormat, Format]] = {
    StatementFormat.CSV: exports.CSV,
    StatementFormat.HTML: exports.HTML,
    StatementFormat.HLEDGER: exports.HLEDGER,
    StatementFormat.BEANCOUNT: exports.BEANCOUNT,
}
_OF_TYPE: Final = {"application/json": StatementFormat.JSON} | {one.media_type: name for name, one in _FORMATS.items()}
_ANSWERS: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "description": "A page as JSON, or the whole period as text",
        "content": {one.media_type: {"schema": {"type": "string"}} for one in _FORMATS.values()},
    },
    **responses(404),
}


class _Asked:
    """What is asked about a statement, whosever it is."""

    def __init__(
        self,
        since: Annotated[Moment | None, Query(alias="from", description="From this moment on")] = None,
        until: Annotated[Moment | None, Query(alias="to", description="Before this moment")] = None,
        by: Annotated[StatementBasis, Query(description="Which moment of an entry counts")] = StatementBasis.RECORDED,
        form: Annotated[
            StatementFormat | None, Query(alias="format", description="Before what `Accept` says; JSON unless told")
        ] = None,
        accept: Annotated[str | None, Header(include_in_schema=False)] = None,
        limit: LedgerLimit = PAGE_DEFAULT,
        cursor: PageCursor = None,
    ) -> None:
        """Keep it."""
        self.since, self.until, self.by = since, until, by
        self.form = form or accepted(accept)
        self.limit, self.cursor = limit, cursor


_Question = Annotated[_Asked, Depends()]


def accepted(accept: str | None) -> StatementFormat:
    """Give the form that an Accept header (RFC 9110, section 12.5.1) likes best; JSON when it names none of ours."""
    best, form = 0.0, StatementFormat.JSON
    for item in (accept or "").split(","):
        name, *parameters = (part.strip() for part in item.lower().split(";"))
        quality = 1.0
        for parameter in parameters:
            if parameter.startswith("q="):
                try:
                    quality = float(parameter[2:])
                except ValueError:
                    quality = 0.0
        if name in _OF_TYPE and quality > best:
            best, form = quality, _OF_TYPE[name]
    return form


@router.get(
    "/wallets/{wallet}/statement", name="get_wallet_statement", response_model=StatementView, responses=_ANSWERS
)
async def get_wallet_statement(
    wallet: WalletId,
    caller: AnyReader,
    runtime: GivenRuntime,
    asked: _Question,
    currency: Annotated[CurrencyCode | None, Query()] = None,
) -> Response:
    """Give a wallet's statement in a currency (its first one unless told), newest first; text forms oldest first."""
    async with runtime.db.reading() as view:
        account = await wallets.wallet_account(view, wallet, owner_filter(caller), currency)
        return await _answer(runtime, view, account, asked)


@router.get(
    "/accounts/{account}/statement", name="get_account_statement", response_model=StatementView, responses=_ANSWERS
)
async def get_account_statement(
    account: AccountId, caller: AnyReader, runtime: GivenRuntime, asked: _Question
) -> Response:
    """Give an account's statement, newest first; text forms oldest first. Owners see those of their wallets."""
    async with runtime.db.reading() as view:
        found = await visibility.visible_account(view, account, owner_filter(caller))
        return await _answer(runtime, view, found, asked)


async def _answer(runtime: Runtime, view: AsyncConnection, account: Account, asked: _Asked) -> Response:
    period = await statements.period_of(view, account, asked.by, asked.since, asked.until)
    if asked.form is StatementFormat.JSON:
        page = await statements.statement(view, period, cursor=asked.cursor, limit=asked.limit)
        return Response(page.model_dump_json(), media_type="application/json", headers={"Vary": "Accept"})
    form = _FORMATS[asked.form]
    sheet = Sheet(
        account,
        asked.by,
        asked.since,
        asked.until,
        await statements.posted_at(view, period, period.first),
        await statements.posted_at(view, period, period.last),
        runtime.clock.now(),
    )
    name = f"statement-{account.facts.party.replace(':', '-')}-{account.facts.currency}.{form.ending}"
    headers = {
        "Vary": "Accept",
        # To be saved and opened from there: the edge lets no page of ours have a style, which paper needs.
        "Content-Disposition": f'attachment; filename="{name}"',
        "X-Content-Type-Options": "nosniff",
    }
    if form is exports.HTML:
        headers["Content-Security-Policy"] = exports.HTML_POLICY
    return StreamingResponse(
        _written(runtime, period, form, sheet), media_type=f"{form.media_type}; charset=utf-8", headers=headers
    )


async def _written(runtime: Runtime, period: Period, form: Format, sheet: Sheet) -> AsyncGenerator[str]:
    yield form.head(sheet)
    async for lines in statements.lines_of(runtime.db, period):
        yield form.lines(sheet, lines)
    yield form.foot(sheet)
