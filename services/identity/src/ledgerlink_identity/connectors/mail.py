"""Sending mail: to a folder of `.eml` files on a developer's machine, over SMTP elsewhere."""

import asyncio
from dataclasses import dataclass
from datetime import datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from pathlib import Path
from typing import Final, Protocol
from urllib.parse import unquote, urlsplit

import aiosmtplib

from ledgerlink_kit.errors import Unavailable

SMTP_TIMEOUT_S: Final = 10.0
_SMTP_PORT: Final = 25


@dataclass(frozen=True, slots=True)
class Mail:
    """One letter. `id` becomes the Message-ID, so that a mail sent twice is recognized as one."""

    id: str
    to: str
    subject: str
    text: str
    written_at: datetime

    def __repr__(self) -> str:
        return f"Mail(id={self.id!r}, subject={self.subject!r})"


class Mailer(Protocol):
    """Whatever carries a mail away."""

    async def send(self, mail: Mail) -> None:
        """Hand the mail over. Raises `Unavailable` when that is not possible now."""
        ...


def compose(mail: Mail, sender: str) -> EmailMessage:
    """Return the mail as a message (RFC 5322)."""
    message = EmailMessage(policy=SMTP)
    message["From"] = sender
    message["To"] = mail.to
    message["Subject"] = mail.subject
    message["Date"] = format_datetime(mail.written_at)
    message["Message-ID"] = f"<{mail.id}@{sender.rpartition('@')[2].rstrip('>')}>"
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(mail.text)
    return message


class FolderMailer:
    """Writes each mail as a file; the newest has the greatest name."""

    def __init__(self, folder: Path, sender: str) -> None:
        """Write into `folder`, which is made when it is not there."""
        self._folder = folder
        self._sender = sender

    async def send(self, mail: Mail) -> None:
        """Write the mail under its own name; a second time replaces the first."""
        await asyncio.to_thread(self._write, mail)

    def _write(self, mail: Mail) -> None:
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            target = self._folder / f"{mail.written_at:%Y%m%dT%H%M%S}-{mail.id}.eml"
            unfinished = target.with_suffix(".part")
            unfinished.touch(mode=0o600)
            unfinished.write_bytes(compose(mail, self._sender).as_bytes())
            unfinished.replace(target)
        except OSError as error:
            raise Unavailable("mail-unavailable", f"The mail could not be written: {error.strerror}.") from error


class SmtpMailer:
    """Hands each mail to an SMTP server, on a connection of its own."""

    def __init__(self, host: str, port: int, sender: str, *, user: str | None, password: str | None) -> None:
        """Send through `host`:`port`; STARTTLS is used wherever the server offers it."""
        self._host = host
        self._port = port
        self._sender = sender
        self._user = user
        self._password = password

    async def send(self, mail: Mail) -> None:
        """Hand the mail over to the server."""
        try:
            await aiosmtplib.send(
                compose(mail, self._sender),
                hostname=self._host,
                port=self._port,
                username=self._user,
                password=self._password,
                timeout=SMTP_TIMEOUT_S,
            )
        except (aiosmtplib.SMTPException, OSError) as error:
            raise Unavailable(
                "mail-unavailable", f"The mail server did not take it: {type(error).__name__}."
            ) from error


def mailer_for(url: str, sender: str) -> Mailer:
    """Return the mailer that a MAIL_URL names: `file:///folder` or `smtp://[user:password@]host[:port]`."""
    parts = urlsplit(url)
    if parts.scheme == "file" and parts.path:
        return FolderMailer(Path(unquote(parts.path)), sender)
    if parts.scheme == "smtp" and parts.hostname:
        user = unquote(parts.username) if parts.username else None
        password = unquote(parts.password) if parts.password else None
        return SmtpMailer(parts.hostname, parts.port or _SMTP_PORT, sender, user=user, password=password)
    raise ValueError("MAIL_URL must be file:///folder or smtp://host:port")
