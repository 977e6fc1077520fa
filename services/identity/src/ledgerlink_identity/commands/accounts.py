"""Accounts: register, verify the address, reset the password, seed the first admin."""

from dataclasses import dataclass
from uuid import UUID

from prometheus_client import Counter

from ledgerlink_contracts.identity.events import (
    EmailVerified,
    PasswordReset,
    RevokedBecause,
    UserRegistered,
)
from ledgerlink_contracts.ids import UserId
from ledgerlink_contracts.permissions import Role
from ledgerlink_identity.commands.witness import tell_revoked, witness
from ledgerlink_identity.domain.audit import Happening
from ledgerlink_identity.domain.emails import Email, parse_email
from ledgerlink_identity.domain.one_time import OneTimeToken, Purpose, is_usable, token_hash
from ledgerlink_identity.domain.passwords import require_strong
from ledgerlink_identity.domain.roles import FIRST_ROLES
from ledgerlink_identity.runtime import Runtime
from ledgerlink_identity.store import mails, people, sessions
from ledgerlink_identity.store.people import User
from ledgerlink_identity.store.sessions import Origin
from ledgerlink_kit import outbox
from ledgerlink_kit.db import Tx
from ledgerlink_kit.errors import Kind, Refused
from ledgerlink_kit.ids import uuid7
from ledgerlink_kit.telemetry import span

REGISTERED = Counter("ledgerlink_identity_registrations_total", "Registrations", ["outcome"])


@dataclass(frozen=True, slots=True)
class Registration:
    """What somebody gives to get an account."""

    email: str
    password: str
    full_name: str | None

    def __repr__(self) -> str:
        return "Registration(…)"


async def register(rt: Runtime, registration: Registration, origin: Origin) -> User:
    """Open an account and ask for its verification mail.

    Raises `Refused` invalid-email, weak-password, or email-taken (409): registering again is safe.
    """
    with span("register"):
        email = parse_email(registration.email)
        password = require_strong(registration.password, email, rt.common_passwords)
        async with rt.db.reading() as view:
            if await people.email_is_taken(view, email.key):
                # Before the hash: who is refused anyway should not cost us 30 ms.
                raise _taken()
        password_hash = await rt.hasher.hash(password)
        user_id = UserId.new(rt.clock.now()).uuid
        user = await rt.db.retrying(
            lambda tx: _insert(tx, rt, user_id, email, registration.full_name, password_hash, origin)
        )
        if user is None:
            raise _taken()
    REGISTERED.labels("registered").inc()
    return user


def _taken() -> Refused:
    REGISTERED.labels("taken").inc()
    return Refused(Kind.CONFLICT, "email-taken", "There is an account with this address already; sign in instead.")


async def _insert(
    tx: Tx, rt: Runtime, user_id: UUID, email: Email, full_name: str | None, password_hash: str, origin: Origin
) -> User | None:
    now = rt.clock.now()
    free = await people.insert_user(
        tx, user_id, email, full_name=full_name, password_hash=password_hash, roles=FIRST_ROLES, now=now
    )
    if not free:
        return None
    await mails.insert_mail(tx, uuid7(now), Purpose.VERIFICATION, email.key, now)
    await witness(tx, rt, Happening.REGISTERED, subject=user_id, actor=str(UserId(user_id)), address=origin.address)
    event = UserRegistered(user=UserId(user_id), roles=list(FIRST_ROLES))
    await outbox.record(tx, event, aggregate=str(UserId(user_id)), now=now)
    return User(user_id, email.address, email.key, full_name, password_hash, now, FIRST_ROLES, now, None, None)


async def ask_for_mail(rt: Runtime, purpose: Purpose, email: str) -> None:
    """Ask for a mail to an address, whether or not it belongs to anybody.

    The same one row is written for every address. The worker looks later whether there is anybody
    to write to, so nothing that the asker can see or time depends on it. Raises `Refused`
    invalid-email, which depends on the text alone.
    """
    key = parse_email(email).key
    now = rt.clock.now()
    with span("ask_for_mail"):
        await rt.db.retrying(lambda tx: mails.insert_mail(tx, uuid7(now), purpose, key, now))


async def confirm_email(rt: Runtime, token: str, origin: Origin) -> None:
    """Spend a verification token. Raises `Refused` one-time-token-invalid."""

    async def body(tx: Tx) -> None:
        user_id = await _spend(tx, rt, token, Purpose.VERIFICATION)
        await _verified(tx, rt, user_id, origin)

    with span("confirm_email"):
        await rt.db.retrying(body)


async def reset_password(rt: Runtime, token: str, password: str, origin: Origin) -> None:
    """Spend a reset token: set the password, end every session, forget every failed sign-in.

    Whoever spends the token reads the address, so it counts as verified from now on. Raises
    `Refused` one-time-token-invalid, or weak-password, which leaves the token good.
    """
    with span("reset_password"):
        async with rt.db.reading() as view:
            found = await mails.token_by_hash(view, token_hash(token), lock=False)
            owner = await people.user_by_id(view, _usable(found, Purpose.PASSWORD_RESET, rt).user_id)
        assert owner is not None, "a one-time token belongs to a user"
        email = Email(owner.email, owner.email_key)
        password_hash = await rt.hasher.hash(require_strong(password, email, rt.common_passwords))

        async def body(tx: Tx) -> None:
            now = rt.clock.now()
            user_id = await _spend(tx, rt, token, Purpose.PASSWORD_RESET)
            # Throttle before user, as signing in locks them.
            await people.lift_throttles(tx, owner.email_key)
            await people.set_password(tx, user_id, password_hash, now)
            await _verified(tx, rt, user_id, origin)
            because = RevokedBecause.PASSWORD_RESET
            revoked = await sessions.revoke_all(tx, user_id, because, now)
            actor = str(UserId(user_id))
            await witness(tx, rt, Happening.PASSWORD_RESET, subject=user_id, actor=actor, address=origin.address)
            await outbox.record(tx, PasswordReset(user=UserId(user_id)), aggregate=actor, now=now)
            await tell_revoked(tx, rt, user_id, revoked, because, actor=actor, address=origin.address)

        await rt.db.retrying(body)


async def _verified(tx: Tx, rt: Runtime, user_id: UUID, origin: Origin) -> None:
    now = rt.clock.now()
    if await people.mark_verified(tx, user_id, now):
        actor = str(UserId(user_id))
        await witness(tx, rt, Happening.EMAIL_VERIFIED, subject=user_id, actor=actor, address=origin.address)
        await outbox.record(tx, EmailVerified(user=UserId(user_id)), aggregate=actor, now=now)


async def _spend(tx: Tx, rt: Runtime, token: str, purpose: Purpose) -> UUID:
    found = _usable(await mails.token_by_hash(tx, token_hash(token), lock=True), purpose, rt)
    await mails.spend_tokens(tx, found.user_id, purpose, rt.clock.now())
    return found.user_id


def _usable(found: OneTimeToken | None, purpose: Purpose, rt: Runtime) -> OneTimeToken:
    """Return the token. Raises one refusal for unknown, used and expired, which only its owner could tell apart."""
    if found is None or not is_usable(found, purpose, rt.clock.now()):
        raise Refused(
            Kind.INVALID, "one-time-token-invalid", "This code is unknown, used or expired; ask for a new one."
        )
    return found


async def seed_admin(rt: Runtime, email_text: str, password: str) -> bool:
    """Make the first admin unless there is one; return whether this call did.

    Several processes may start at once: the address is unique, so that one of them makes the user.
    An account that exists keeps its password, and its roles unless nobody is admin.
    """
    email = parse_email(email_text)
    async with rt.db.reading() as view:
        if await people.an_admin_exists(view):
            return False
    password_hash = await rt.hasher.hash(require_strong(password, email, rt.common_passwords))
    user_id = UserId.new(rt.clock.now()).uuid

    async def body(tx: Tx) -> bool:
        now = rt.clock.now()
        roles = (Role.ADMIN,)
        if await people.insert_user(
            tx, user_id, email, full_name=None, password_hash=password_hash, roles=roles, now=now, verified=True
        ):
            await witness(tx, rt, Happening.ADMIN_SEEDED, subject=user_id)
            event = UserRegistered(user=UserId(user_id), roles=list(roles))
            await outbox.record(tx, event, aggregate=str(UserId(user_id)), now=now)
            return True
        existing = await people.user_by_email(tx, email.key)
        assert existing is not None, "the address was taken a moment ago"
        if await people.lock_with_admins(tx, existing.id) and not await people.an_admin_exists(tx):
            await people.set_roles(tx, existing.id, [*existing.roles, Role.ADMIN])
            await witness(tx, rt, Happening.ADMIN_SEEDED, subject=existing.id)
            return True
        return False

    return await rt.db.retrying(body)
