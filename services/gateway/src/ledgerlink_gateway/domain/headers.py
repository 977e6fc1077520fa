"""What of a request's and an answer's headers is passed on, and what a request may not hold at all.

Names and values are bytes as ASGI gives them: names in lower case. Sources: RFC 9110 section 7.6 (hop-by-hop), RFC 9112
sections 3.2 and 6 (Host, framing), W3C Trace Context level 1.
"""

import re
from collections.abc import Iterable, Sequence
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Final, NamedTuple

from ledgerlink_gateway.domain.refusals import EdgeRefusal, Reason

RawHeaders = Sequence[tuple[bytes, bytes]]
Network = IPv4Network | IPv6Network

HEADERS_MAX: Final = 100
HEADER_BYTES_MAX: Final = 32 * 1024
PATH_CHARS_MAX: Final = 4096
QUERY_BYTES_MAX: Final = 8 * 1024
FORWARDED_HOPS_MAX: Final = 20

_HOP_BY_HOP: Final = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
        b"http2-settings",
    }
)
# What a service might take for our word on who is calling, or on where from: only the gateway may say it.
_IDENTITY: Final = frozenset(
    {
        b"forwarded",
        b"x-real-ip",
        b"x-client-ip",
        b"x-cluster-client-ip",
        b"true-client-ip",
        b"cf-connecting-ip",
        b"x-original-url",
        b"x-rewrite-url",
        b"x-http-method-override",
        b"x-http-method",
        b"x-method-override",
        b"x-remote-user",
        b"remote-user",
        b"client-cert",
        b"client-cert-chain",
    }
)
_IDENTITY_PREFIXES: Final = (b"x-forwarded-", b"x-user-", b"x-caller-", b"x-auth-", b"x-ledgerlink-", b"x-amzn-oidc-")
_OWN: Final = frozenset(
    {b"host", b"content-length", b"expect", b"x-request-id", b"traceparent", b"x-user", b"x-caller", b"x-forwarded"}
)
_NEVER_PASSED: Final = _HOP_BY_HOP | _IDENTITY | _OWN

# What the gateway says itself on every answer, so that a service's own word does not stand twice.
_ANSWER_OWN: Final = frozenset(
    {
        b"x-request-id",
        b"server",
        b"date",
        b"x-content-type-options",
        b"x-frame-options",
        b"referrer-policy",
        b"content-security-policy",
        b"strict-transport-security",
    }
)
_ANSWER_NEVER_PASSED: Final = _HOP_BY_HOP | _ANSWER_OWN

_NOT_PRINTABLE: Final = re.compile(rb"[^\x21-\x7e]")
_HOST: Final = re.compile(rb"^(?:[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9._-])?|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?$")
_REQUEST_ID: Final = re.compile(rb"^[A-Za-z0-9._:-]{1,128}$")
_TRACEPARENT: Final = re.compile(rb"^00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}$")
_AMBIGUOUS_PATH: Final = re.compile(
    rb"//|/\.{1,2}(?:/|$)|%(?:2[ef]|5c|00|0a|0d|25)|[\x00-\x20\x7f-\xff\\]", re.IGNORECASE
)
# Also what naming a header in Connection cannot remove: a caller may not take away what the edge has already read.
_ONCE: Final = frozenset(
    {b"host", b"content-length", b"transfer-encoding", b"authorization", b"content-type", b"idempotency-key"}
)
# What most requests hold: found here, a name needs no further look.
_PLAIN: Final = frozenset({b"accept", b"accept-encoding", b"accept-language", b"user-agent", b"authorization"})
_NOTED: Final = frozenset({b"content-encoding", b"origin"})


class Seen(NamedTuple):
    """What the edge needs of a request's headers, found in one pass; ``passed`` go to the upstream as they are.

    ``length`` is the stated body length; None with ``is_chunked`` False means that there is no body.
    """

    passed: list[tuple[bytes, bytes]]
    host: bytes
    authorization: bytes | None
    length: int | None
    is_chunked: bool
    content_type: bytes
    content_encoding: bytes
    request_id: bytes | None
    traceparent: bytes | None
    forwarded_for: bytes
    forwarded_proto: bytes
    origin: bytes | None
    has_idempotency_key: bool


def read_request(headers: RawHeaders, http_version: str) -> Seen:
    """Check a request's headers and sort them into what the edge uses and what is passed on.

    Raises `EdgeRefusal`: too many or too long (431), a missing, double or malformed Host, an ambiguous length, a header
    that may stand once standing twice (400), a version other than 1.0 and 1.1 (505).
    """
    if http_version not in ("1.1", "1.0"):
        raise EdgeRefusal(Reason.VERSION_UNSUPPORTED, "Only HTTP/1.1 and HTTP/1.0 are spoken here.")
    if len(headers) > HEADERS_MAX:
        raise EdgeRefusal(Reason.HEADERS_TOO_LARGE, f"At most {HEADERS_MAX} header fields are accepted.")
    once: dict[bytes, bytes] = {}
    passed: list[tuple[bytes, bytes]] = []
    forwarded: list[bytes] = []
    size = 0
    for pair in headers:
        name, value = pair
        size += len(name) + len(value)
        if name in _ONCE:
            if name in once:
                raise _twice(name)
            once[name] = value
        if name in _PLAIN or (
            name not in _NEVER_PASSED and b"_" not in name and not name.startswith(_IDENTITY_PREFIXES)
        ):
            passed.append(pair)
            if name in _NOTED:
                once.setdefault(name, value)
        elif name == b"x-forwarded-for":
            forwarded.append(value)
        elif name not in once:
            once[name] = value
    if size > HEADER_BYTES_MAX:
        raise EdgeRefusal(Reason.HEADERS_TOO_LARGE, f"At most {HEADER_BYTES_MAX} bytes of headers are accepted.")
    connection = once.get(b"connection")
    if connection is not None:
        passed = _without_named(passed, connection)
    length, is_chunked = _framing(once, http_version)
    return Seen(
        passed=passed,
        host=_host(once, http_version),
        authorization=once.get(b"authorization"),
        length=length,
        is_chunked=is_chunked,
        content_type=once.get(b"content-type", b""),
        content_encoding=once.get(b"content-encoding", b""),
        request_id=once.get(b"x-request-id"),
        traceparent=once.get(b"traceparent"),
        forwarded_for=b",".join(forwarded),
        forwarded_proto=once.get(b"x-forwarded-proto", b""),
        origin=once.get(b"origin"),
        has_idempotency_key=b"idempotency-key" in once,
    )


def check_path(raw_path: bytes, query: bytes) -> str:
    """Give the path as text if it can mean only one thing. Raises `EdgeRefusal` if not.

    Dot segments, empty segments, encoded slashes, backslashes, dots, percent signs and line ends are refused, not
    repaired: two readers may repair them differently, and the second one is a service.
    """
    if len(raw_path) > PATH_CHARS_MAX or len(query) > QUERY_BYTES_MAX:
        raise EdgeRefusal(
            Reason.PATH_INVALID, f"A path has at most {PATH_CHARS_MAX} characters, a query {QUERY_BYTES_MAX}."
        )
    if _AMBIGUOUS_PATH.search(raw_path) is not None or not raw_path.startswith(b"/"):
        raise EdgeRefusal(Reason.PATH_INVALID, "Dot segments, empty segments and encoded separators are not accepted.")
    if query and _NOT_PRINTABLE.search(query) is not None:
        raise EdgeRefusal(Reason.PATH_INVALID, "A query holds printable ASCII only; encode the rest.")
    return raw_path.decode("ascii")


def kept_request_id(given: bytes | None, made: bytes) -> bytes:
    """Give the caller's request id if it is 1 to 128 letters, digits or ``._:-``, else the made one."""
    return given if given is not None and _REQUEST_ID.match(given) is not None else made


def kept_traceparent(given: bytes | None, made: bytes) -> bytes:
    """Give the caller's traceparent if it is valid, else the made one (Trace Context, section 4.3)."""
    return given if given is not None and _TRACEPARENT.match(given) is not None else made


def passed_answer(headers: RawHeaders) -> list[tuple[bytes, bytes]]:
    """Give an upstream answer's headers (names in lower case) without hop-by-hop ones and those that the edge sets."""
    kept = [pair for pair in headers if pair[0] not in _ANSWER_NEVER_PASSED]
    for name, value in headers:
        if name == b"connection" and value.lower() not in (b"close", b"keep-alive"):
            kept = _without_named(kept, value)
    return kept


def client_address(peer: str, forwarded_for: bytes, trusted: Sequence[Network]) -> str:
    """Give the client's address: the peer's, or behind trusted proxies the rightmost address that is not theirs.

    What stands left of that address in X-Forwarded-For is the client's own word and counts for nothing. An entry that
    is no address ends the walk at the last address known. At most `FORWARDED_HOPS_MAX` entries are looked at.
    """
    if not trusted or not is_trusted(peer, trusted):
        return peer
    found = peer
    for entry in list(reversed(forwarded_for.decode("latin-1").split(",")))[:FORWARDED_HOPS_MAX]:
        address = entry.strip()
        try:
            ip_address(address)
        except ValueError:
            return found
        found = address
        if not is_trusted(address, trusted):
            return found
    return found


def parse_networks(text: Iterable[str]) -> tuple[Network, ...]:
    """Parse trusted proxies: addresses or CIDR blocks. Raises ValueError."""
    return tuple(ip_network(entry.strip()) for entry in text)


def is_trusted(address: str, trusted: Sequence[Network]) -> bool:
    """Tell whether an address is a trusted proxy's; what is no address is not."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return False
    return any(parsed in network for network in trusted)


def _twice(name: bytes) -> EdgeRefusal:
    reason = Reason.HOST_INVALID if name == b"host" else Reason.HEADER_INVALID
    if name in (b"content-length", b"transfer-encoding"):
        reason = Reason.FRAMING_INVALID
    return EdgeRefusal(reason, f"{name.decode('ascii')} stands more than once.")


def _host(once: dict[bytes, bytes], http_version: str) -> bytes:
    host = once.get(b"host", b"")
    if not host and http_version == "1.0":
        return b""
    if _HOST.match(host) is None:
        raise EdgeRefusal(Reason.HOST_INVALID, "Host must name one host and, at most, a port.")
    return host


def _framing(once: dict[bytes, bytes], http_version: str) -> tuple[int | None, bool]:
    encoding = once.get(b"transfer-encoding")
    stated = once.get(b"content-length")
    if encoding is not None:
        if http_version == "1.0" or stated is not None or encoding.lower() != b"chunked":
            raise EdgeRefusal(
                Reason.FRAMING_INVALID, "Transfer-Encoding may only be `chunked`, in HTTP/1.1, without Content-Length."
            )
        if b"upgrade" in once:
            raise _upgrade_with_body()
        return None, True
    if stated is None:
        return None, False
    if not stated.isdigit() or len(stated) > 15:
        raise EdgeRefusal(Reason.FRAMING_INVALID, "Content-Length is not a number.")
    length = int(stated)
    if length and b"upgrade" in once:
        raise _upgrade_with_body()
    return length, False


def _upgrade_with_body() -> EdgeRefusal:
    # Whether the bytes after the head are this request's body or the other protocol's is told differently by readers.
    return EdgeRefusal(Reason.FRAMING_INVALID, "A request that asks for an upgrade may not have a body.")


def _without_named(pairs: list[tuple[bytes, bytes]], connection: bytes) -> list[tuple[bytes, bytes]]:
    named = {token.strip().lower() for token in connection.split(b",")} - _ONCE
    return [pair for pair in pairs if pair[0] not in named]
