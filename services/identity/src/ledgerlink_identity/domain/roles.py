"""Changing a person's roles, without ever leaving the house without an admin."""

from collections.abc import Iterable

from ledgerlink_contracts.permissions import Role
from ledgerlink_kit.errors import Kind, Refused

FIRST_ROLES: tuple[Role, ...] = (Role.CUSTOMER,)
"""What somebody who registers is."""


def ordered(roles: Iterable[Role]) -> tuple[Role, ...]:
    """Return roles once each, in one order, so that equal sets are stored and shown equal."""
    return tuple(sorted(set(roles)))


def require_an_admin_left(before: Iterable[Role], after: Iterable[Role], *, other_admins: int) -> None:
    """Refuse (`last-admin`) a change that would take the admin role from the last one who has it."""
    if Role.ADMIN in set(before) and Role.ADMIN not in set(after) and other_admins == 0:
        raise Refused(
            Kind.CONFLICT,
            "last-admin",
            "This person is the last admin; give somebody else the role first.",
        )
