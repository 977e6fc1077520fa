"""Who may call, how far they may go, and what they are answered with."""

from typing import Annotated, Any, Final

from fastapi import Depends, Header, Query, Request, Response
from pydantic import Field

from ledgerlink_contracts.wallet.models import Moment
from ledgerlink_kit.auth import Caller, Requirement, requires
from ledgerlink_kit.errors import Kind, Refused
from ledgerlink_kit.hot import Reply
from ledgerlink_kit.idempotency import REPLAYED_HEADER, check_key
from ledgerlink_kit.problem import MEDIA_TYPE
from ledgerlink_wallet.commands.ledger import Mandate
from ledgerlink_wallet.runtime import Answer, Runtime

LEDGER_PAGE_MAX = 1_000
"""Items of one page for those who export or audit the ledger."""

LedgerLimit = Annotated[int, Field(ge=1, le=LEDGER_PAGE_MAX, description="Items per page")]

EffectiveAt = Annotated[
    Moment | None, Query(description="As effective at this moment: what was dated up to it; all there is unless given")
]
RecordedAt = Annotated[
    Moment | None, Query(description="As known at this moment: what was recorded up to it; all there is unless given")
]

RecordedFrom = Annotated[Moment | None, Query(description="Recorded at this moment or later")]
RecordedTo = Annotated[Moment | None, Query(description="Recorded before this moment")]

_FIRST_ERROR: Final = 400
_JSON: Final = b"application/json"
_PROBLEM: Final = MEDIA_TYPE.encode()
_REPLAYED: Final = ((REPLAYED_HEADER.lower().encode(), b"true"),)


class OneOf(Requirement):
    """Demand any one of the scopes."""

    def check(self, caller: Caller) -> Caller:
        """Give ``caller`` back, if they may. Raises `Refused` (403)."""
        if not any(caller.has(scope) for scope in self.scopes):
            raise Refused(
                Kind.FORBIDDEN,
                "scope-missing",
                f"This needs one of the permissions {', '.join(self.scopes)}; the token carries none of them.",
                missing=list(self.scopes),
            )
        return caller


WalletOpener = Annotated[Caller, requires("wallet:write")]
wallet_writer: Final = OneOf(("wallet:write", "ledger:write"))
WalletWriter = Annotated[Caller, Depends(wallet_writer)]
AnyReader = Annotated[Caller, Depends(OneOf(("wallet:read", "ledger:read")))]
LedgerReader = Annotated[Caller, requires("ledger:read")]
ledger_writer: Final = Requirement(("ledger:write",))
LedgerWriter = Annotated[Caller, Depends(ledger_writer)]
Auditor = Annotated[Caller, requires("ledger:audit")]

DryRun = Annotated[
    bool, Query(description="Decide on the books as they are, store nothing: 200 with `dry_run: true`, or the refusal")
]
TRIED: Final[dict[int | str, dict[str, Any]]] = {200: {"description": "With `dry_run`: what would have been answered"}}

IdempotencyKey = Annotated[
    str | None,
    Header(description="Makes the id where the body has none: fresh for a new request, the same for a retry"),
]


# Async though it awaits nothing: FastAPI would run a plain function in a thread, once per request.
async def runtime_of(request: Request) -> Runtime:
    """Give the app's runtime."""
    runtime: Runtime = request.app.state.runtime
    return runtime


GivenRuntime = Annotated[Runtime, Depends(runtime_of)]


def mandate_of(caller: Caller, key: str | None) -> Mandate:
    """Give what ``caller`` may have done, under ``key``. Raises `Refused` when the key is malformed."""
    return Mandate(caller.subject, caller.has("ledger:write"), None if key is None else check_key(key))


def owner_filter(caller: Caller) -> str | None:
    """Give whose wallets ``caller`` may see: None means everybody's."""
    return None if caller.has("ledger:read") else caller.subject


def respond(answer: Answer) -> Response:
    """Send an answer's bytes as they are."""
    return reply(answer).response()


def reply(answer: Answer) -> Reply:
    """Give an answer's bytes as a hot route sends them."""
    media_type = _JSON if answer.status < _FIRST_ERROR else _PROBLEM
    return Reply(answer.status, answer.body, media_type, _REPLAYED if answer.replayed else ())
