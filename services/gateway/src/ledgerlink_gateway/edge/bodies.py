"""Request bodies at the edge: how long one may be, how it is read, and what may not be in it."""

import asyncio
from typing import Final

from starlette.types import Receive

from ledgerlink_gateway.domain.card_data import CARD_NUMBER, find_card_data
from ledgerlink_gateway.domain.headers import Seen
from ledgerlink_gateway.domain.refusals import ClientGone, EdgeRefusal, Reason
from ledgerlink_gateway.domain.route_table import Route

BUFFERED_BYTES_MAX: Final = 64 * 1024
"""A body up to this size is read whole before it is sent on, in one write; a longer one streams."""
BODY_S_MAX: Final = 15.0
"""How long a caller may take for a body that is read whole, and for each piece of one that streams."""
UNREAD_BYTES_KEPT: Final = 64 * 1024
"""A refused request's unread body up to this size is read and dropped; for more the connection is closed."""

_SCANNED: Final = frozenset({b"application/json", b"application/x-www-form-urlencoded"})


def refuse_stated_length(seen: Seen, route: Route) -> None:
    """Refuse by the head alone what the route does not take. Raises `EdgeRefusal` (413, 415)."""
    length = seen.length or 0
    if length > route.body_bytes_max:
        raise too_large(route)
    has_body = length > 0 or seen.is_chunked
    if not (route.guards_cards and has_body):
        return
    media_type = seen.content_type.partition(b";")[0].strip().lower()
    if media_type not in _SCANNED:
        raise EdgeRefusal(Reason.MEDIA_TYPE_UNSUPPORTED, "Send the body as JSON or as a form.")
    if seen.content_encoding:
        raise EdgeRefusal(Reason.MEDIA_TYPE_UNSUPPORTED, "Send the body without Content-Encoding.")


async def read_start(receive: Receive, route: Route) -> tuple[bytes, bool]:
    """Read a body whole, or up to `BUFFERED_BYTES_MAX` of it where it may stream; gives it and whether it is whole.

    Nothing of a request is sent on before this much of its body was found sound. Where card data is looked for, the
    whole body is. Raises `EdgeRefusal` (413, 408) and `ClientGone`.
    """
    pieces: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(BODY_S_MAX):
            while route.guards_cards or size <= BUFFERED_BYTES_MAX:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise ClientGone
                piece = message.get("body", b"")
                size += len(piece)
                if size > route.body_bytes_max:
                    raise too_large(route)
                pieces.append(piece)
                if not message.get("more_body", False):
                    return b"".join(pieces), True
    except TimeoutError:
        raise EdgeRefusal(Reason.BODY_SLOW, f"The body did not arrive within {BODY_S_MAX:g} s.") from None
    return b"".join(pieces), False


def refuse_card_data(route: Route, body: bytes, query: bytes) -> None:
    """Refuse card data where the route guards against it. The refusal says what, never where or which."""
    if not route.guards_cards:
        return
    found = find_card_data(body) or (find_card_data(query) if query else None)
    if found is not None:
        what = "a card number" if found == CARD_NUMBER else "a card's security code"
        raise EdgeRefusal(
            Reason.CARD_DATA,
            f"The request holds {what}. Card data may not pass here, test numbers included: send a payment method"
            " token such as pm_card_visa. Nothing of the request was kept.",
            found=found,
        )


def too_large(route: Route) -> EdgeRefusal:
    """Give the refusal of a body beyond the route's limit."""
    return EdgeRefusal(
        Reason.BODY_TOO_LARGE,
        f"The body is larger than {route.body_bytes_max} bytes.",
        body_bytes_max=route.body_bytes_max,
    )
