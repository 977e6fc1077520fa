"""Which scopes a token gets: what its holder may have, narrowed by what was asked for."""

from collections.abc import Iterable

from ledgerlink_contracts.permissions import SERVICE_SCOPES, Permission, Role, permissions_of
from ledgerlink_kit.errors import Kind, Refused


def granted_to_user(roles: Iterable[Role], asked: str | None) -> frozenset[Permission]:
    """Return what a person with these roles gets. Raises `Refused` invalid-scope when nothing is left."""
    return _narrowed(permissions_of(roles), asked)


def granted_to_service(client_id: str, asked: str | None) -> frozenset[Permission]:
    """Return what a service gets. A service without permissions gets a token that names it and no more."""
    held = SERVICE_SCOPES.get(client_id, frozenset[Permission]())
    return held if not asked and not held else _narrowed(held, asked)


def _narrowed(held: frozenset[Permission], asked: str | None) -> frozenset[Permission]:
    """Return the part of `held` that was asked for; all of it when nothing was (RFC 6749, section 3.3)."""
    if not asked or not asked.strip():
        return held
    wanted = set(asked.split())
    unknown = sorted(wanted - {permission.value for permission in Permission})
    if unknown:
        raise Refused(
            Kind.INVALID,
            "invalid-scope",
            "The scope names a permission that does not exist.",
            error="invalid_scope",
            error_description="unknown permission",
        )
    granted = frozenset(permission for permission in held if permission.value in wanted)
    if not granted:
        raise Refused(
            Kind.INVALID,
            "invalid-scope",
            "Nothing that the scope asks for is held.",
            error="invalid_scope",
            error_description="nothing of the requested scope is held",
        )
    return granted
