"""Proves the laws of roles and service scopes: nobody but an admin holds all, and services hold what they need."""

from ledgerlink_contracts.permissions import (
    ROLE_PERMISSIONS,
    SERVICE_SCOPES,
    Permission,
    Role,
    permissions_of,
    scope_text,
)


def test_every_role_has_permissions_and_only_the_admin_has_all() -> None:
    assert set(ROLE_PERMISSIONS) == set(Role)
    assert [role for role in Role if ROLE_PERMISSIONS[role] == frozenset(Permission)] == [Role.ADMIN]
    assert all(Permission.PROFILE_READ in permissions for permissions in ROLE_PERMISSIONS.values())


def test_those_who_only_look_cannot_change_anything_but_their_profile() -> None:
    for role in (Role.SUPPORT, Role.AUDITOR):
        changing = {permission for permission in ROLE_PERMISSIONS[role] if not permission.endswith((":read", ":audit"))}
        assert changing == {Permission.PROFILE_WRITE}


def test_a_customer_cannot_touch_the_ledger_and_a_merchant_adds_refunds_and_payouts() -> None:
    customer, merchant = ROLE_PERMISSIONS[Role.CUSTOMER], ROLE_PERMISSIONS[Role.MERCHANT]
    assert not {permission for permission in customer if permission.startswith(("ledger:", "risk:", "identity:"))}
    assert merchant - customer == {Permission.PAYMENTS_REFUND, Permission.PAYMENTS_PAYOUT}


def test_no_service_may_act_as_a_person_or_as_an_admin() -> None:
    for scopes in SERVICE_SCOPES.values():
        assert not {scope for scope in scopes if scope.startswith(("profile:", "identity:"))}


def test_roles_add_up_and_scopes_are_written_in_one_order() -> None:
    both = permissions_of([Role.RISK_ANALYST, Role.MERCHANT])
    assert both == ROLE_PERMISSIONS[Role.RISK_ANALYST] | ROLE_PERMISSIONS[Role.MERCHANT]
    assert scope_text([Permission.WALLET_WRITE, Permission.WALLET_READ]) == "wallet:read wallet:write"
    assert scope_text(permissions_of([])) == ""
