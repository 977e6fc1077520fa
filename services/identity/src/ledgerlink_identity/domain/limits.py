"""Every limit of identity, in one place; `make export` writes them into the reference."""

from datetime import timedelta
from typing import Final

EMAIL_CHARS_MAX: Final = 254
"""Longest address that can be delivered to (RFC 5321, section 4.5.3.1.3)."""
PASSWORD_CHARS_MIN: Final = 10
"""Shortest password; past it 422 `weak-password`."""
PASSWORD_CHARS_MAX: Final = 256
"""Longest password; past it 422 `weak-password`."""
PASSWORD_DISTINCT_CHARS_MIN: Final = 5
"""Different characters that a password must have; below it 422 `weak-password`."""

FREE_FAILURES: Final = 5
"""Wrong passwords in a row for one account from one address before the first wait; then 429 `too-many-attempts`."""
FREE_FAILURES_UNDER_PRESSURE: Final = 1
"""The same for an address that never signed in to an account under pressure."""
PRESSURE_FAILURES: Final = 20
"""Failures on one account that count as pressure, over all addresses, while they are remembered."""
WAIT_FIRST_S: Final = 2
"""The first wait; each failure doubles it."""
WAIT_MAX_S: Final = 900
"""The longest wait."""
FORGET_FAILURES_AFTER: Final = timedelta(hours=1)
"""How long failures in a row are remembered."""

ACCESS_LIFETIME: Final = timedelta(minutes=10)
"""Life of an access token."""
RETRY_WINDOW: Final = timedelta(seconds=10)
"""How long the client that spent a refresh token may come back with it and get the same successor."""
IDLE_LIFETIME: Final = timedelta(days=14)
"""Life of a session that is not used."""
ABSOLUTE_LIFETIME: Final = timedelta(days=90)
"""Life of a session, however much it is used."""
LIVE_SESSIONS_MAX: Final = 100
"""Live sessions of one person; the next sign-in ends the oldest."""

VERIFICATION_LIFETIME: Final = timedelta(hours=24)
"""Life of the code in a verification mail."""
PASSWORD_RESET_LIFETIME: Final = timedelta(minutes=30)
"""Life of the code in a password reset mail."""
MAILS_PER_HOUR_MAX: Final = 5
"""Mails of one purpose to one address within an hour; more would make us a tool for flooding a mailbox."""
MAIL_TRIES_MAX: Final = 8
"""Tries to hand a mail over, each after twice the wait of the one before, before it is given up after two hours."""

KEY_SET_CACHE: Final = timedelta(minutes=5)
"""How long verifiers may keep the key set without asking again (its Cache-Control)."""
PUBLISHED_BEFORE_USE: Final = 2 * KEY_SET_CACHE
"""How long a signing key is published before it signs; a rotation before that is 409 `signing-key-too-young`."""
PUBLISHED_AFTER_USE: Final = ACCESS_LIFETIME + KEY_SET_CACHE
"""How long a retired key stays published: the life of the last token that it signed, and a cache's age more."""
SIGNING_LIFETIME: Final = timedelta(days=30)
"""How long a key signs before the worker rotates by itself."""
AUDIT_RUN_MAX: Final = 10_000
"""Links of the audit chain that one request verifies."""
