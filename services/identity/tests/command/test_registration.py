"""Proves that an address gets one account, whatever happens at once, and what is written with it."""

import asyncio
from collections import Counter

import pytest
import sqlalchemy as sa

from ledgerlink_contracts.ids import UserId
from ledgerlink_contracts.permissions import Role
from ledgerlink_identity.commands.accounts import Registration, register, seed_admin
from ledgerlink_identity.commands.roles import set_roles
from ledgerlink_identity.queries import users_page
from ledgerlink_identity.runtime import Runtime
from ledgerlink_identity.store.sessions import Origin
from ledgerlink_identity.tables import mails, security_events, users
from ledgerlink_kit.errors import Refused

HOME = Origin("203.0.113.7", "test-agent/1")
PASSWORD = "a long enough secret"


async def test_an_account_is_written_with_its_event_its_mail_and_its_audit_row(rt: Runtime) -> None:
    user = await register(rt, Registration("Ada@example.com", PASSWORD, "Ada"), HOME)
    async with rt.db.reading() as view:
        row = (await view.execute(sa.select(users))).one()
        assert (row.id, row.email, row.email_key, row.roles) == (
            user.id,
            "Ada@example.com",
            "ada@example.com",
            ["customer"],
        )
        assert row.password_hash.startswith("$argon2id$v=19$")
        mail = (await view.execute(sa.select(mails))).one()
        assert (mail.purpose, mail.email_key, mail.state) == ("verification", "ada@example.com", "waiting")
        event = (await view.execute(sa.select(security_events))).one()
        assert (event.happening, event.subject, event.address) == ("registered", user.id, HOME.address)
        outbox = (await view.execute(sa.text("SELECT type, aggregate, data FROM outbox"))).one()
    assert outbox.type == "identity.user.registered"
    assert outbox.data == {"user": str(UserId(user.id)), "roles": ["customer"]}
    assert "ada" not in str(outbox).lower().replace(str(UserId(user.id)), "")


async def test_a_weak_password_leaves_no_trace(rt: Runtime) -> None:
    with pytest.raises(Refused, match="weak-password"):
        await register(rt, Registration("ada@example.com", "qwertyuiop", None), HOME)
    async with rt.db.reading() as view:
        assert await view.scalar(sa.select(sa.func.count()).select_from(users)) == 0


async def test_registrations_of_one_address_at_once_give_one_user(rt: Runtime) -> None:
    async def attempt(number: int) -> str:
        email = "ada@example.com" if number % 2 else "ADA@example.com"
        try:
            await register(rt, Registration(email, PASSWORD, None), HOME)
        except Refused as refusal:
            return f"{refusal.kind.name} {refusal.code}"
        return "registered"

    outcomes = Counter(await asyncio.gather(*(attempt(number) for number in range(12))))
    assert outcomes == {"registered": 1, "CONFLICT email-taken": 11}
    async with rt.db.reading() as view:
        assert await view.scalar(sa.select(sa.func.count()).select_from(users)) == 1
        assert await view.scalar(sa.text("SELECT count(*) FROM outbox")) == 1


async def test_starters_at_once_seed_one_admin(rt: Runtime) -> None:
    made = await asyncio.gather(*(seed_admin(rt, "root@ledgerlink.test", PASSWORD) for _ in range(6)))
    assert sorted(made) == [False] * 5 + [True]
    admins = await users_page(rt.db, after=None, limit=10, email=None, role=None)
    assert [(user.email, [*user.roles]) for user in admins] == [("root@ledgerlink.test", ["admin"])]
    assert admins[0].email_verified_at is not None


async def test_seeding_again_changes_nothing_even_with_another_password(rt: Runtime) -> None:
    await seed_admin(rt, "root@ledgerlink.test", PASSWORD)
    before = await users_page(rt.db, after=None, limit=10, email=None, role=None)
    assert not await seed_admin(rt, "root@ledgerlink.test", "another long enough secret")
    assert not await seed_admin(rt, "other@ledgerlink.test", PASSWORD)
    assert await users_page(rt.db, after=None, limit=10, email=None, role=None) == before


async def test_a_house_without_an_admin_gets_one_from_the_account_that_is_named(rt: Runtime) -> None:
    user = await register(rt, Registration("root@ledgerlink.test", PASSWORD, None), HOME)
    assert sorted(await asyncio.gather(*(seed_admin(rt, "root@ledgerlink.test", PASSWORD) for _ in range(4)))) == [
        False,
        False,
        False,
        True,
    ]
    found = await users_page(rt.db, after=None, limit=10, email=None, role=None)
    assert [(one.id, [*one.roles]) for one in found] == [(user.id, ["customer", "admin"])]


async def test_the_admin_that_is_seeded_must_have_a_password_that_holds(rt: Runtime) -> None:
    with pytest.raises(Refused, match="weak-password"):
        await seed_admin(rt, "root@ledgerlink.test", "password123")


async def test_two_admins_cannot_take_the_role_from_each_other_at_once(rt: Runtime) -> None:
    ids: list[UserId] = []
    for name in ("one", "two"):
        user = await register(rt, Registration(f"{name}@example.com", PASSWORD, None), HOME)
        ids.append(UserId(user.id))
        async with rt.db.transaction() as tx:
            await tx.execute(users.update().where(users.c.id == user.id).values(roles=["admin"]))

    async def demote(user_id: UserId) -> str:
        try:
            await set_roles(rt, user_id, [Role.CUSTOMER], actor="test", origin=HOME)
        except Refused as refusal:
            return refusal.code
        return "done"

    for _ in range(5):
        assert sorted(await asyncio.gather(*map(demote, ids))) == ["done", "last-admin"]
        async with rt.db.transaction() as tx:
            await tx.execute(users.update().values(roles=["admin"]))
