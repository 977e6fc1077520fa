"""One card payment through the local stack, followed to its end: the webhook that tells of it."""

from __future__ import annotations

import json
import secrets
import time
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode, urlsplit
from urllib.request import Request, urlopen

from ledgerlink_stack.traces.receiver import Receiver, receiving
from ledgerlink_stack.traces.tree import drawn
from ledgerlink_stack.trouble import Trouble

if TYPE_CHECKING:
    from collections.abc import Mapping

ENDPOINT: Final = "OTEL_EXPORTER_OTLP_ENDPOINT"
DEFAULT_ENDPOINT: Final = "http://127.0.0.1:4318"
CARD: Final = "pm_card_visa"
DECLINED_CARD: Final = "pm_card_chargeDeclined"
PATIENCE_S: Final = 30.0
QUIET_S: Final = 3.0
"""How long no span may have come before the trace counts as whole; processes send what they have each second."""


@dataclass(frozen=True, slots=True)
class Payer:
    """Somebody at the gateway, once they have a token and a wallet."""

    url: str
    token: str = ""
    wallet: str = ""

    def post(
        self, path: str, body: Mapping[str, Any], *, form: bool = False, trace: str = "", key: str = ""
    ) -> dict[str, Any]:
        """POST JSON, or a form; return what was answered, a refusal too. Raises `Trouble` when nobody answers."""
        data = urlencode(body).encode() if form else json.dumps(body).encode()
        headers = {
            "Content-Type": "application/x-www-form-urlencoded" if form else "application/json",
            "Idempotency-Key": key or secrets.token_hex(16),
        }
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        if trace:
            headers["traceparent"] = trace
        request = Request(self.url + path, data, headers, method="POST")  # noqa: S310 - our own gateway, by http
        try:
            with urlopen(request, timeout=PATIENCE_S) as answer:  # noqa: S310 - as above
                return json.loads(answer.read())
        except HTTPError as error:
            if error.code >= HTTPStatus.INTERNAL_SERVER_ERROR:
                raise Trouble(
                    f"The gateway answered {error.code} to {path}.", "`ledgerlink logs` may say why."
                ) from error
            return json.loads(error.read())
        except (URLError, TimeoutError) as error:
            raise Trouble("The gateway does not answer.", "`ledgerlink status` shows what runs.") from error


def newcomer(url: str, webhook_url: str) -> Payer:
    """Register somebody who has a wallet, and an endpoint that is told of their payments."""
    stranger = Payer(url)
    email, password = f"trace-{secrets.token_hex(6)}@example.com", secrets.token_urlsafe(24)
    stranger.post("/api/v1/auth/register", {"email": email, "password": password})
    login = {"grant_type": "password", "username": email, "password": password}
    known = Payer(url, str(stranger.post("/api/v1/auth/token", login, form=True)["access_token"]))
    wallet = known.post("/api/v1/wallets", {"currency": "GBP"})["id"]
    known.post("/v1/webhook_endpoints", {"url": webhook_url, "enabled_events[]": "*"}, form=True)
    return Payer(url, known.token, str(wallet))


def new_trace() -> str:
    """Return a `traceparent` of the client's own, whose spans are to be recorded."""
    return f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-01"


def pay(payer: Payer, card: str, amount_minor: int = 5_000, to: str = "") -> tuple[str, dict[str, Any]]:
    """Pay by card, into the payer's wallet or `to` a merchant, under a trace of our own; return its id, the answer."""
    trace = new_trace()
    order = {
        "amount": str(amount_minor),
        "currency": "gbp",
        "payment_method": card,
        "transfer_data[destination]": to or payer.wallet,
        "confirm": "true",
    }
    return trace[3:35], payer.post("/v1/payment_intents", order, form=True, trace=trace)


def whole(receiver: Receiver, trace_id: str, quiet_s: float = QUIET_S) -> bool:
    """Wait until the trace has come with its webhook and nothing has been added for a while; say whether it has."""
    deadline = time.monotonic() + PATIENCE_S
    seen, since = -1, time.monotonic()
    while time.monotonic() < deadline:
        spans = receiver.trace(trace_id)
        if len(spans) != seen:
            seen, since = len(spans), time.monotonic()
        delivered = any(span.name == "deliver_webhook" for span in spans)
        if delivered and time.monotonic() - since > quiet_s:
            return True
        time.sleep(0.1)
    return False


def port_of(endpoint: str) -> int:
    """Return the port of this machine that `endpoint` names. Raises `Trouble` when it is another machine's."""
    address = urlsplit(endpoint)
    if address.hostname not in {"127.0.0.1", "localhost"}:
        raise Trouble(f"The stack sends its traces to {endpoint}.", "Look at them there.")
    return address.port or 80


def run(url: str, endpoint: str, *, declined: bool) -> str:
    """Pay twice, so that nobody fetches keys for the first time, and return the second payment's tree."""
    card = DECLINED_CARD if declined else CARD
    try:
        with receiving(port_of(endpoint)) as receiver:
            payer = newcomer(url, receiver.webhook_url)
            first, _ = pay(payer, card)
            whole(receiver, first, 0.0)
            second, answer = pay(payer, card)
            complete = whole(receiver, second)
            spans = receiver.trace(second)
    except OSError as error:
        raise Trouble(
            f"Nothing can listen at {endpoint}: {error.strerror or error}.",
            "A collector runs there; look at the traces in what it sends them to.",
        ) from error
    state = answer.get("status", "")
    name = answer.get("id") or answer.get("code", "")
    told = "" if complete else "\nSpans may be missing: not everything came within half a minute."
    return f"trace {second}   payment {name} {state}   {len(spans)} spans\n\n{drawn(spans)}{told}"
