"""Why an entry of a list is refused, in words that say what to do."""

from ledgerlink_contracts.ids import CaseId
from ledgerlink_kit.errors import Kind
from ledgerlink_risk.domain.cases import UnknownCase
from ledgerlink_risk.domain.lists import ExpiresInThePast, UnknownEntry, UnknownList


def test_refusals_name_their_kind_and_what_is_known() -> None:
    unknown = UnknownList("nonesuch", ["denied_customers"])
    assert (unknown.kind, unknown.members) == (Kind.NOT_FOUND, {"lists": ["denied_customers"]})
    assert UnknownEntry().kind is Kind.NOT_FOUND
    assert ExpiresInThePast().kind is Kind.UNPROCESSABLE
    assert UnknownCase(CaseId.derive("a")).kind is Kind.NOT_FOUND
