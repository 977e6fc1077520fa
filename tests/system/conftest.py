"""One LedgerLink for all journeys: in a temporary home, on free ports, by the same command that people use."""

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from uuid import uuid4

import httpx
import pytest

from tests.crash.own_stack import OwnStack, start

PASSWORD = "a long sentence that nobody else uses"


class Journey:
    """Somebody at the gateway: sends requests with their token and a fresh key unless told another."""

    def __init__(self, stack: OwnStack, opened: ExitStack, token: str | None = None) -> None:
        self.stack = stack
        self._opened = opened
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        # As many kept as opened: what the pool closes above that, fifty threads at once see in each other's sockets.
        limits = httpx.Limits(max_connections=64, max_keepalive_connections=64)
        client = httpx.Client(base_url=stack.url, headers=headers, timeout=30, limits=limits)
        self.http = opened.enter_context(client)

    def post(self, path: str, *, key: str | None = None, **content: object) -> httpx.Response:
        """POST JSON (``json=``) or a form (``data=``)."""
        return self.http.post(path, headers={"Idempotency-Key": key or uuid4().hex}, **content)  # pyright: ignore[reportArgumentType]

    def get(self, path: str) -> httpx.Response:
        """GET a path."""
        return self.http.get(path)

    def newcomer(self) -> "Journey":
        """Register somebody new and log them in."""
        email = f"{uuid4().hex[:12]}@example.com"
        made = self.post("/api/v1/auth/register", json={"email": email, "password": PASSWORD})
        assert made.status_code == 201, made.text
        return self.log_in(email, PASSWORD)

    def log_in(self, email: str, password: str) -> "Journey":
        """Log in with a password."""
        login = {"grant_type": "password", "username": email, "password": password}
        answer = self.http.post("/api/v1/auth/token", data=login)
        assert answer.status_code == 200, answer.text
        return Journey(self.stack, self._opened, answer.json()["access_token"])

    def wallet(self, funds: int = 0, currency: str = "GBP") -> str:
        """Open a wallet with some money in it."""
        opened = self.post("/api/v1/wallets", json={"currency": currency})
        assert opened.status_code == 201, opened.text
        wallet = str(opened.json()["id"])
        if funds:
            paid = self.post(f"/api/v1/wallets/{wallet}/credit", json={"amount_minor": funds, "currency": currency})
            assert paid.status_code == 201, paid.text
        return wallet

    def available(self, wallet: str, currency: str = "GBP") -> int:
        """What the wallet has to spend."""
        answer = self.get(f"/api/v1/wallets/{wallet}/balance")
        assert answer.status_code == 200, answer.text
        return {line["currency"]: line["available_minor"] for line in answer.json()["balances"]}.get(currency, 0)


@pytest.fixture(scope="session")
def stack() -> Iterator[OwnStack]:
    """The running stack; all journeys share it."""
    with tempfile.TemporaryDirectory(prefix="ledgerlink-system-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o711)
        running = start(Path(folder))
        try:
            yield running
        finally:
            running.ledgerlink("reset", "--yes")


@pytest.fixture
def anybody(stack: OwnStack) -> Iterator[Journey]:
    """Somebody without a token; whoever comes of them leaves with them."""
    with ExitStack() as opened:
        yield Journey(stack, opened)


@pytest.fixture
def ada(anybody: Journey) -> Journey:
    """A newcomer with a token."""
    return anybody.newcomer()


@pytest.fixture
def admin(anybody: Journey, stack: OwnStack) -> Journey:
    """The seeded admin."""
    return anybody.log_in(stack.admin_email, stack.secrets.admin_password)
