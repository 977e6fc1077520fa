"""Where webhooks may go: public addresses of the internet, and nowhere inside.

An endpoint's address is chosen by a stranger, who must not be able to make us talk to ourselves, to our neighbors or to
the cloud's metadata service (server-side request forgery). Names are judged by what they resolve to, at the moment of
connecting; see `ledgerlink_payments.connectors.outgoing`.
"""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final
from urllib.parse import urlsplit

from ledgerlink_payments.domain import refusals

URL_CHARS_MAX: Final = 2048
_NO_SCHEME: Final = "This URL must begin with https://."

# IANA IPv4 Special-Purpose Address Registry, with multicast and class E.
_INSIDE: Final = tuple(
    IPv4Network(network)
    for network in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.31.196.0/24",
        "192.52.193.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "192.175.48.0/24",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
    )
)
# Only global unicast can be public. That leaves out loopback, link-local, unique-local, multicast, IPv4-mapped
# (::ffff:0:0/96) and both NAT64 prefixes (64:ff9b::/96, 64:ff9b:1::/48), which would reach IPv4 by the back door.
_UNICAST: Final = IPv6Network("2000::/3")
_INSIDE_V6: Final = tuple(
    IPv6Network(network)
    for network in (
        "2001::/23",  # IETF protocol assignments, Teredo among them
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4 carries an IPv4 address
        "2620:4f:8000::/48",  # AS112
        "3fff::/20",  # documentation
    )
)
_LOOPBACK: Final = (IPv4Network("127.0.0.0/8"), IPv6Network("::1/128"))


def may_be_called(address: IPv4Address | IPv6Address, *, allow_loopback: bool) -> bool:
    """Say whether we may open a connection to ``address``."""
    if allow_loopback and any(address in network for network in _LOOPBACK):
        return True
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _INSIDE)
    if address.scope_id is not None or address not in _UNICAST:
        return False
    return not any(address in network for network in _INSIDE_V6)


def literal_address(host: str) -> IPv4Address | IPv6Address | None:
    """Give the address that ``host`` writes out, or None when it is a name (odd spellings count as names)."""
    try:
        return ip_address(host.strip("[]"))
    except ValueError:
        return None


def check_url(url: str, *, allow_loopback: bool) -> str:
    """Give ``url`` if an endpoint may have it. Raises `Refused` (INVALID, ``url-invalid``).

    https only; plain http where loopback is allowed, that is on a developer's own machine.
    """
    if len(url) > URL_CHARS_MAX or not url.isascii() or not url.isprintable() or " " in url:
        raise refusals.invalid("url", f"A URL has at most {URL_CHARS_MAX} printable ASCII characters.", "url-invalid")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise refusals.invalid("url", "Not a valid URL.", "url-invalid") from None
    if parts.scheme != "https" and not (allow_loopback and parts.scheme == "http"):
        raise refusals.invalid("url", _NO_SCHEME, "url-invalid")
    if not host or port == 0:
        raise refusals.invalid("url", "The URL names no host.", "url-invalid")
    if parts.username is not None or parts.password is not None or parts.fragment:
        raise refusals.invalid("url", "A URL may hold neither credentials nor a fragment.", "url-invalid")
    literal = literal_address(host)
    if literal is not None and not may_be_called(literal, allow_loopback=allow_loopback):
        raise refusals.invalid("url", "The URL points to an address that is not public.", "url-invalid")
    return url
