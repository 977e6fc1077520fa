"""How other services ask risk: a Protocol, and its HTTP form.

All methods raise `Refused` for risk's 4xx answers (code as risk gave it) and `Unavailable` when risk cannot be
reached or answers 5xx. A decision order that carries an id may be sent again at will.
"""

from typing import Protocol

from ledgerlink_contracts.ids import CaseId, DecisionId
from ledgerlink_contracts.risk.models import (
    CaseView,
    DecisionOrder,
    DecisionRecord,
    DecisionView,
    ResolveOrder,
)
from ledgerlink_kit.errors import Defect
from ledgerlink_kit.http_client import HttpClient, HttpReply, problem_to_refusal

_CLIENT_ERROR = 400


class RiskClient(Protocol):
    """What a service may ask of risk."""

    async def decide(self, order: DecisionOrder) -> DecisionView:
        """Decide, or repeat the stored decision of the order's id, which a service must give. Scope `risk:decide`.

        Refuses 409 `id-reused` (member `differs`: paths of the event) for a known id with another event, and 422
        `invalid-request` for an order that is not well formed.
        """
        ...

    async def decision(self, decision: DecisionId) -> DecisionRecord:
        """Read a decision with its case's state and resolution; refuses 404 `unknown-decision`.

        Scope `risk:read`, or `risk:decide` for the caller's own decisions: a service that fears to have missed
        `risk.case.resolved` asks here.
        """
        ...

    async def case(self, case: CaseId) -> CaseView:
        """Read a case; refuses 404 `unknown-case`. Scope `risk:read`."""
        ...

    async def resolve(self, case: CaseId, order: ResolveOrder, idempotency_key: str) -> CaseView:
        """Resolve an open case; refuses 404 `unknown-case`, 409 `case-already-resolved`. Scope `risk:review`."""
        ...


class HttpRiskClient:
    """`RiskClient` over HTTP; `http` carries the address, the token and the timeouts."""

    def __init__(self, http: HttpClient) -> None:
        """Wrap a client whose base address is risk's root."""
        self._http = http

    async def decide(self, order: DecisionOrder) -> DecisionView:
        """See `RiskClient.decide`."""
        if order.id is None:
            raise Defect("A decision was ordered without an id; derive one, or a retry would decide twice.")
        reply = await self._http.request("POST", "/decisions", json=order.model_dump(mode="json", exclude_none=True))
        return DecisionView.model_validate_json(_accepted(reply))

    async def decision(self, decision: DecisionId) -> DecisionRecord:
        """See `RiskClient.decision`."""
        return DecisionRecord.model_validate_json(_accepted(await self._http.request("GET", f"/decisions/{decision}")))

    async def case(self, case: CaseId) -> CaseView:
        """See `RiskClient.case`."""
        return CaseView.model_validate_json(_accepted(await self._http.request("GET", f"/cases/{case}")))

    async def resolve(self, case: CaseId, order: ResolveOrder, idempotency_key: str) -> CaseView:
        """See `RiskClient.resolve`."""
        reply = await self._http.request(
            "POST", f"/cases/{case}/resolve", json=order.model_dump(mode="json"), idempotency_key=idempotency_key
        )
        return CaseView.model_validate_json(_accepted(reply))


def _accepted(reply: HttpReply) -> bytes:
    """Give the body of a 2xx reply, or raise what risk refused."""
    if reply.status >= _CLIENT_ERROR:
        raise problem_to_refusal(reply)
    return reply.body
