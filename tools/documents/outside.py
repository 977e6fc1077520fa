"""Addresses of other hosts that the documents name: asked one by one, politely; needs a network."""

import urllib.error
import urllib.request
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Final
from urllib.parse import urlsplit

TIMEOUT_S: Final = 20
AT_ONCE: Final = 4
READER: Final = "LedgerLink-docs/1 (checks the links of its own pages)"
# Names of this machine and of examples, which nobody can ask; problem types are names, no pages.
OUR_OWN: Final = ("localhost", "127.0.0.1", "example.com", "ledgerlink.dev")


def is_asked(address: str) -> bool:
    """Whether an address is one that somebody serves."""
    host = urlsplit(address).hostname or ""
    return not any(host == one or host.endswith(f".{one}") for one in OUR_OWN)


def ask(address: str) -> str:
    """Ask for an address; returns what is wrong, or nothing."""
    request = urllib.request.Request(address, headers={"User-Agent": READER})  # noqa: S310 - http and https only
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:  # noqa: S310 - the same
            return "" if answer.status < 400 else f"answers {answer.status}"
    except urllib.error.HTTPError as error:
        return f"answers {error.code}"
    except (OSError, ValueError) as error:
        return f"cannot be asked: {error}"


def ask_all(addresses: Iterable[str]) -> dict[str, str]:
    """Ask each address; returns those with something wrong."""
    every = sorted(address for address in addresses if is_asked(address))
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return {address: said for address, said in zip(every, pool.map(ask, every), strict=True) if said}
