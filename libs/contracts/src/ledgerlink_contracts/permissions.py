"""Who may do what: the permissions, and the roles and services that hold them.

One list for the whole house, because a token is issued by identity and read by everyone. A
permission is what an access token calls a *scope*; a role is a named set of permissions that an
admin gives to a person; a service's permissions are fixed here, next to the roles, so that nobody
has to look in a deployment to learn what a service may do.
"""

from collections.abc import Iterable, Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final


class Permission(StrEnum):
    """One thing a caller may do; its value is the scope on the wire (`wallet:write`)."""

    PROFILE_READ = "profile:read"
    PROFILE_WRITE = "profile:write"
    WALLET_READ = "wallet:read"
    WALLET_WRITE = "wallet:write"
    LEDGER_READ = "ledger:read"
    LEDGER_WRITE = "ledger:write"
    LEDGER_AUDIT = "ledger:audit"
    PAYMENTS_READ = "payments:read"
    PAYMENTS_WRITE = "payments:write"
    PAYMENTS_REFUND = "payments:refund"
    PAYMENTS_PAYOUT = "payments:payout"
    PAYMENTS_EXCHANGE = "payments:exchange"
    RISK_DECIDE = "risk:decide"
    RISK_READ = "risk:read"
    RISK_REVIEW = "risk:review"
    IDENTITY_ADMIN = "identity:admin"


class Role(StrEnum):
    """A named set of permissions, given to a person by an admin."""

    CUSTOMER = "customer"
    MERCHANT = "merchant"
    SUPPORT = "support"
    RISK_ANALYST = "risk_analyst"
    OPERATOR = "operator"
    AUDITOR = "auditor"
    ADMIN = "admin"


_PROFILE: Final = frozenset({Permission.PROFILE_READ, Permission.PROFILE_WRITE})
_WALLET: Final = frozenset({Permission.WALLET_READ, Permission.WALLET_WRITE})
_PAYMENTS: Final = frozenset(
    {
        Permission.PAYMENTS_READ,
        Permission.PAYMENTS_WRITE,
        Permission.PAYMENTS_REFUND,
        Permission.PAYMENTS_PAYOUT,
        Permission.PAYMENTS_EXCHANGE,
    }
)
_READS: Final = frozenset(permission for permission in Permission if permission.value.endswith(":read"))
_CUSTOMER: Final = _PROFILE | _WALLET | {Permission.PAYMENTS_READ, Permission.PAYMENTS_WRITE}

ROLE_PERMISSIONS: Final[Mapping[Role, frozenset[Permission]]] = MappingProxyType(
    {
        Role.CUSTOMER: _CUSTOMER,
        Role.MERCHANT: _CUSTOMER | {Permission.PAYMENTS_REFUND, Permission.PAYMENTS_PAYOUT},
        Role.SUPPORT: _PROFILE | _READS,
        Role.RISK_ANALYST: _PROFILE | {Permission.RISK_READ, Permission.RISK_REVIEW},
        Role.OPERATOR: _PROFILE
        | _WALLET
        | _PAYMENTS
        | {Permission.LEDGER_READ, Permission.LEDGER_WRITE, Permission.RISK_READ},
        Role.AUDITOR: _PROFILE | _READS | {Permission.LEDGER_AUDIT},
        Role.ADMIN: frozenset(Permission),
    }
)
"""What each role may do. Everybody may read and change their own profile."""

SERVICE_SCOPES: Final[Mapping[str, frozenset[Permission]]] = MappingProxyType(
    {
        "payments": frozenset(
            {
                Permission.LEDGER_READ,
                Permission.LEDGER_WRITE,
                Permission.WALLET_READ,
                Permission.RISK_DECIDE,
            }
        ),
        "risk": frozenset(),
        "wallet": frozenset(),
        "gateway": frozenset(),
    }
)
"""What each service may do with its own client-credentials token, by client id."""


def permissions_of(roles: Iterable[Role]) -> frozenset[Permission]:
    """Return every permission that a person with these roles holds."""
    return frozenset(permission for role in roles for permission in ROLE_PERMISSIONS[role])


def scope_text(permissions: Iterable[Permission]) -> str:
    """Return permissions as OAuth 2's `scope` text: space separated, sorted, so that it is stable."""
    return " ".join(sorted(permissions))
