"""Proves what scopes a token gets, and that the last admin stays."""

import pytest

from ledgerlink_contracts.permissions import ROLE_PERMISSIONS, SERVICE_SCOPES, Permission, Role
from ledgerlink_identity.domain.roles import ordered, require_an_admin_left
from ledgerlink_identity.domain.scopes import granted_to_service, granted_to_user
from ledgerlink_kit.errors import Kind, Refused


@pytest.mark.parametrize("asked", [None, "", "  "])
def test_a_person_who_asks_for_nothing_gets_all_they_hold(asked: str | None) -> None:
    assert granted_to_user([Role.CUSTOMER], asked) == ROLE_PERMISSIONS[Role.CUSTOMER]


def test_two_roles_add_up() -> None:
    granted = granted_to_user([Role.RISK_ANALYST, Role.AUDITOR], None)
    assert granted == ROLE_PERMISSIONS[Role.RISK_ANALYST] | ROLE_PERMISSIONS[Role.AUDITOR]


def test_a_scope_narrows_to_what_is_held() -> None:
    assert granted_to_user([Role.CUSTOMER], "wallet:read identity:admin") == {Permission.WALLET_READ}


@pytest.mark.parametrize(
    ("asked", "description"),
    [
        ("wallet:read wallet:destroy", "unknown permission"),
        ("identity:admin", "nothing of the requested scope is held"),
    ],
)
def test_a_scope_that_leaves_nothing_or_means_nothing_is_refused(asked: str, description: str) -> None:
    with pytest.raises(Refused) as refusal:
        granted_to_user([Role.CUSTOMER], asked)
    assert (refusal.value.kind, refusal.value.code) == (Kind.INVALID, "invalid-scope")
    assert refusal.value.members == {"error": "invalid_scope", "error_description": description}


def test_a_service_gets_what_stands_for_it() -> None:
    assert granted_to_service("payments", None) == SERVICE_SCOPES["payments"]
    assert granted_to_service("payments", "risk:decide") == {Permission.RISK_DECIDE}


def test_a_service_that_holds_nothing_gets_a_token_all_the_same() -> None:
    assert granted_to_service("gateway", None) == frozenset()
    assert granted_to_service("nobody-listed", None) == frozenset()


def test_a_service_that_holds_nothing_cannot_ask_for_something() -> None:
    with pytest.raises(Refused):
        granted_to_service("gateway", "ledger:write")


def test_roles_are_kept_once_each_in_one_order() -> None:
    assert ordered([Role.OPERATOR, Role.ADMIN, Role.OPERATOR]) == (Role.ADMIN, Role.OPERATOR)


def test_the_last_admin_keeps_the_role() -> None:
    with pytest.raises(Refused) as refusal:
        require_an_admin_left([Role.ADMIN], [Role.CUSTOMER], other_admins=0)
    assert (refusal.value.kind, refusal.value.code) == (Kind.CONFLICT, "last-admin")


@pytest.mark.parametrize(
    ("before", "after", "others"),
    [
        ([Role.ADMIN], [Role.CUSTOMER], 1),
        ([Role.ADMIN], [Role.ADMIN, Role.CUSTOMER], 0),
        ([Role.CUSTOMER], [Role.MERCHANT], 0),
        ([Role.CUSTOMER], [Role.ADMIN], 0),
    ],
)
def test_any_other_change_of_roles_passes(before: list[Role], after: list[Role], others: int) -> None:
    assert require_an_admin_left(before, after, other_admins=others) is None
