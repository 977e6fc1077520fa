"""Every limit that all services share. Each stands in ARCHITECTURE.md's table; passing one gives a clear refusal."""

from typing import Final

BODY_BYTES_MAX: Final = 1024 * 1024
"""Largest request body, in bytes; past it 413 `body-too-large`."""

PAGE_ITEMS_MAX: Final = 100
PAGE_ITEMS_DEFAULT: Final = 25
CURSOR_CHARS_MAX: Final = 1024

IDEMPOTENCY_KEY_CHARS_MAX: Final = 255
IDEMPOTENCY_WAIT_S: Final = 5.0
"""How long a request waits for another with the same key before it is answered 409 `idempotency-in-flight`."""
IDEMPOTENCY_LEASE_S: Final = 60.0
"""How long a phased request may hold its key without finishing before another may take it over."""

METADATA_KEYS_MAX: Final = 50
METADATA_KEY_CHARS_MAX: Final = 40
METADATA_VALUE_CHARS_MAX: Final = 500

REQUEST_ID_CHARS_MAX: Final = 128

STATEMENT_TIMEOUT_MS: Final = 15_000
LOCK_TIMEOUT_MS: Final = 5_000
IDLE_IN_TRANSACTION_TIMEOUT_MS: Final = 30_000
TRANSACTION_TRIES_MAX: Final = 3

HTTP_TIMEOUT_S: Final = 10.0
HTTP_CONNECTIONS_MAX: Final = 64

OUTBOX_BATCH: Final = 500
OUTBOX_RETENTION_S: Final = 7 * 24 * 3600
STREAM_UNREAD_MAX: Final = 10_000
INBOX_BATCH: Final = 100
INBOX_TRIES_MAX: Final = 10
