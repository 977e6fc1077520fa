"""Proves that mail gets where MAIL_URL says, whole, and that a mailer that is away says so."""

import asyncio
import dataclasses
import email
import email.policy
from datetime import UTC, datetime
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.smtp import SMTP

from ledgerlink_identity.connectors.mail import FolderMailer, Mail, SmtpMailer, mailer_for
from ledgerlink_identity.domain.letters import letter_for
from ledgerlink_identity.domain.one_time import Purpose
from ledgerlink_kit.errors import Unavailable

SENDER = "LedgerLink <no-reply@ledgerlink.test>"
NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
LETTER = letter_for(Purpose.VERIFICATION, "http://127.0.0.1:8080", "the-code")
MAIL = Mail("0190-abc", "ädä@example.com", LETTER.subject, LETTER.text, NOW)


def read(raw: bytes) -> EmailMessage:
    return email.message_from_bytes(raw, policy=email.policy.default)


async def test_a_folder_gets_one_private_file_per_mail(tmp_path: Path) -> None:
    mailer = mailer_for(f"file://{tmp_path}/out%20box", SENDER)
    await mailer.send(MAIL)
    await mailer.send(MAIL)
    (file,) = (tmp_path / "out box").iterdir()
    assert file.name == "20261101T120000-0190-abc.eml"
    assert file.stat().st_mode & 0o077 == 0
    message = read(file.read_bytes())
    assert (message["From"], message["Message-ID"]) == (SENDER, "<0190-abc@ledgerlink.test>")
    assert message["Subject"] == "Confirm your email address"
    assert "the-code" in message.get_content()
    assert "http://127.0.0.1:8080/api/v1/auth/verification/confirm" in message.get_content()


async def test_a_folder_that_cannot_be_written_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(Unavailable, match="mail-unavailable"):
        await FolderMailer(tmp_path / "file", SENDER).send(MAIL)


class Inbox:
    """An SMTP server's handler that keeps what it is given."""

    def __init__(self) -> None:
        self.envelopes: list[Any] = []

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802 - aiosmtpd's name
        self.envelopes.append(envelope)
        return "250 OK"


async def test_an_smtp_server_gets_the_mail() -> None:
    inbox = Inbox()
    server = await asyncio.get_running_loop().create_server(lambda: SMTP(inbox), "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        await mailer_for(f"smtp://127.0.0.1:{port}", SENDER).send(dataclasses.replace(MAIL, to="ada@example.com"))
    (envelope,) = inbox.envelopes
    assert envelope.rcpt_tos == ["ada@example.com"]
    message = read(envelope.content)
    assert (message["To"], message["From"]) == ("ada@example.com", SENDER)
    assert "the-code" in message.get_content()


async def test_an_smtp_server_that_is_away_is_unavailable(unused_tcp_port: int) -> None:
    mailer = SmtpMailer("127.0.0.1", unused_tcp_port, SENDER, user=None, password=None)
    with pytest.raises(Unavailable, match="mail-unavailable"):
        await mailer.send(MAIL)


@pytest.mark.parametrize("url", ["", "file://", "smtp://", "https://example.com", "nonsense"])
def test_a_mail_url_that_says_nothing_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="MAIL_URL"):
        mailer_for(url, SENDER)


def test_a_mail_does_not_show_its_code() -> None:
    assert "the-code" not in repr(MAIL)


def test_a_reset_mail_says_what_to_do() -> None:
    letter = letter_for(Purpose.PASSWORD_RESET, "https://pay.example", "the-code")
    assert "the-code" in letter.text
    assert "https://pay.example/api/v1/auth/password-reset/confirm" in letter.text
