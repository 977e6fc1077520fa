"""Giving people roles."""

from collections.abc import Sequence

from ledgerlink_contracts.identity.events import UserRolesChanged
from ledgerlink_contracts.ids import UserId
from ledgerlink_contracts.permissions import Role
from ledgerlink_identity.commands.witness import witness
from ledgerlink_identity.domain.audit import Happening
from ledgerlink_identity.domain.roles import ordered, require_an_admin_left
from ledgerlink_identity.runtime import Runtime
from ledgerlink_identity.store import people
from ledgerlink_identity.store.people import User
from ledgerlink_identity.store.sessions import Origin
from ledgerlink_kit import outbox
from ledgerlink_kit.db import Tx
from ledgerlink_kit.errors import Kind, Refused
from ledgerlink_kit.telemetry import span


async def set_roles(rt: Runtime, user_id: UserId, roles: Sequence[Role], *, actor: str, origin: Origin) -> User:
    """Give somebody exactly these roles; the same roles again change nothing.

    Raises `Refused` user-unknown, or last-admin. All admins are locked with the person, so that two
    admins cannot take the role from each other at the same time.
    """

    async def body(tx: Tx) -> User:
        locked = await people.lock_with_admins(tx, user_id.uuid)
        user = locked.get(user_id.uuid)
        if user is None:
            raise Refused(Kind.NOT_FOUND, "user-unknown", "There is nobody with this id.")
        after = ordered(roles)
        if after == user.roles:
            return user
        others = sum(Role.ADMIN in other.roles for other in locked.values() if other.id != user.id)
        require_an_admin_left(user.roles, after, other_admins=others)
        await people.set_roles(tx, user.id, after)
        await witness(
            tx,
            rt,
            Happening.ROLES_CHANGED,
            subject=user.id,
            actor=actor,
            address=origin.address,
            before=[role.value for role in user.roles],
            after=[role.value for role in after],
        )
        event = UserRolesChanged(user=user_id, before=list(user.roles), after=list(after))
        await outbox.record(tx, event, aggregate=str(user_id), now=rt.clock.now())
        changed = await people.user_by_id(tx, user.id)
        assert changed is not None, "it is locked"
        return changed

    with span("set_roles"):
        return await rt.db.retrying(body)
