"""The post: writing and sending the mails that were asked for."""

import secrets
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import structlog
from prometheus_client import Counter

from ledgerlink_identity.connectors.mail import Mail, Mailer
from ledgerlink_identity.domain.letters import letter_for
from ledgerlink_identity.domain.limits import MAIL_TRIES_MAX, MAILS_PER_HOUR_MAX
from ledgerlink_identity.domain.one_time import LIFETIMES, OneTimeToken, Purpose, token_hash
from ledgerlink_identity.runtime import Runtime
from ledgerlink_identity.store import mails, people
from ledgerlink_identity.store.mails import WaitingMail
from ledgerlink_kit.db import Tx
from ledgerlink_kit.errors import Unavailable
from ledgerlink_kit.telemetry import span

_FIRST_WAIT: Final = timedelta(minutes=1)
_HOUR: Final = timedelta(hours=1)
MAILS = Counter("ledgerlink_identity_mails_total", "Mails asked for, by what became of them", ["purpose", "outcome"])


@dataclass(frozen=True, slots=True)
class _Written:
    """A mail with its token, ready to go; none when there is nobody to write to."""

    waiting: WaitingMail
    mail: Mail | None


async def send_next_mail(rt: Runtime, mailer: Mailer) -> bool:
    """Send the next mail that is due; return whether there was one.

    Three phases: take the mail and store its token, hand it over, record that. A crash between them
    leaves the mail waiting; it is then sent again with a token of its own, and both work.
    """
    written = await rt.db.retrying(lambda tx: _write(tx, rt))
    if written is None:
        return False
    waiting, outcome = written.waiting, "dropped"
    if written.mail is not None:
        with span("send_mail", purpose=waiting.purpose.value):
            outcome = await _hand_over(written.mail, mailer, last=waiting.tries >= MAIL_TRIES_MAX)
    MAILS.labels(waiting.purpose.value, outcome).inc()
    if outcome != "waiting":
        now = rt.clock.now()
        await rt.db.retrying(lambda tx: mails.finish_mail(tx, waiting.id, outcome, now))
    return True


async def _write(tx: Tx, rt: Runtime) -> _Written | None:
    now = rt.clock.now()
    waiting = await mails.claim_mail(tx, now, _FIRST_WAIT)
    if waiting is None:
        return None
    user = await people.user_by_email(tx, waiting.email_key)
    if user is None or (waiting.purpose is Purpose.VERIFICATION and user.email_verified_at is not None):
        return _Written(waiting, None)
    if await mails.sent_since(tx, waiting.purpose, waiting.email_key, now - _HOUR) >= MAILS_PER_HOUR_MAX:
        return _Written(waiting, None)
    token = secrets.token_urlsafe(32)
    stored = OneTimeToken(waiting.purpose, user.id, now + LIFETIMES[waiting.purpose], None)
    await mails.insert_token(tx, token_hash(token), stored, now)
    letter = letter_for(waiting.purpose, rt.settings.public_url, token)
    return _Written(waiting, Mail(str(waiting.id), user.email, letter.subject, letter.text, now))


async def _hand_over(mail: Mail, mailer: Mailer, *, last: bool) -> str:
    try:
        await mailer.send(mail)
    except Unavailable as error:
        structlog.get_logger().warning("mail_not_sent", mail=mail.id, detail=error.detail, given_up=last)
        return "failed" if last else "waiting"
    return "sent"


async def tidy(rt: Runtime) -> None:
    """Forget what is not needed any more: finished mails after a week, failures after a day."""
    now = rt.clock.now()

    async def body(tx: Tx) -> None:
        await mails.forget_mails(tx, now - timedelta(days=7))
        await people.forget_throttles(tx, now - timedelta(days=1))

    await rt.db.retrying(body)
