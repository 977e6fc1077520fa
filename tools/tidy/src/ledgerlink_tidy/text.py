"""Rules for every tracked text file: no secret, no package host, no path of someone's machine."""

import re
from collections.abc import Iterator

from ledgerlink_tidy.source import Source

# The dots stand in brackets so that this file does not match itself.
PACKAGE_HOST = re.compile(
    r"pypi[.]org|pythonhosted[.]org|registry[.]npmjs[.]org|registry[.]yarnpkg[.]com|proxy[.]golang[.]org|crates[.]io"
    r"|repo1[.]maven[.]org|repo[.]maven[.]apache[.]org|rubygems[.]org|deb[.]debian[.]org|archive[.]ubuntu[.]com"
)
MACHINE_PATH = re.compile(
    r"(?<![\w.$}{*-])/(?:work|root|Users|opt/wheels|home/(?!app\b|ledgerlink\b|nonroot\b)[a-z][\w-]*)/[\w.]"
)
SECRET = re.compile(
    r"-----BEGIN (?:[A-Z]+ )?PRIVATE KEY-----\s*\n?[A-Za-z0-9+/]{20}"
    r"|\bAKIA[0-9A-Z]{16}\b|\bsk_live_[0-9A-Za-z]{10,}|\bghp_[0-9A-Za-z]{30,}|\bxox[bap]-[0-9A-Za-z-]{20,}"
)
SECRET_SETTING = re.compile(
    r"^\s*(?:export\s+)?\w*(?:PASSWORD|SECRET|API_KEY|PRIVATE_KEY|TOKEN)\s*=\s*[\"']?(?P<value>[^\s\"'#]+)"
)
EXAMPLE = re.compile(r"^(?:change|example|<|\$|generated|your)", re.IGNORECASE)


def package_host(source: Source) -> Iterator[tuple[int, str]]:
    """No tracked file names the address of a package host; the reader's own machine knows which one to use."""
    yield from _lines(source, PACKAGE_HOST, "names a package host: leave the address to the reader's own settings")


def machine_path(source: Source) -> Iterator[tuple[int, str]]:
    """No tracked file names a folder of the machine it was written on."""
    yield from _lines(source, MACHINE_PATH, "names a folder of one machine: use a path from the repository's root")


def tracked_secret(source: Source) -> Iterator[tuple[int, str]]:
    """No private key, no live credential, no filled-in ``.env`` is tracked."""
    for match in SECRET.finditer(source.text):
        yield source.text.count("\n", 0, match.start()) + 1, "looks like a live credential: remove it, and revoke it"
    name = source.pure_path.name
    if name == ".env" or (name.startswith(".env.") and name != ".env.example"):
        yield 1, f"{name} is tracked: settings with values stay out, .env.example is the generated list"
    if name.startswith(".env"):
        for number, line in enumerate(source.lines, 1):
            match = SECRET_SETTING.match(line)
            if match and not EXAMPLE.match(match["value"]):
                yield number, "a secret has a value here: leave it empty"


def _lines(source: Source, pattern: re.Pattern[str], sentence: str) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(source.lines, 1):
        match = pattern.search(line)
        if match:
            yield number, f"{match[0]!r} {sentence}"
