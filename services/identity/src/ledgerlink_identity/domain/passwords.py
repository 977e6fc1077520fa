"""The floor under which a password is refused.

Length and a list of known passwords, no composition rules (NIST SP 800-63B, section 5.1.1.2): rules
about digits and signs make passwords harder to remember and hardly harder to guess.
"""

import unicodedata
from collections.abc import Set as AbstractSet

from ledgerlink_identity.domain.emails import Email
from ledgerlink_identity.domain.limits import PASSWORD_CHARS_MAX, PASSWORD_CHARS_MIN, PASSWORD_DISTINCT_CHARS_MIN
from ledgerlink_kit.errors import Kind, Refused


def normalized(password: str) -> str:
    """Return the password in the one form that is hashed (NFKC), so that every keyboard types the same one."""
    return unicodedata.normalize("NFKC", password)


def require_strong(password: str, email: Email, common: AbstractSet[str]) -> str:
    """Return the normalized password. Raises `Refused` weak-password with the `reason`.

    `common` holds lower-case passwords that are known to be tried first.
    """
    password = normalized(password)
    folded = password.casefold()
    if len(password) < PASSWORD_CHARS_MIN:
        raise _weak("too-short", f"Use at least {PASSWORD_CHARS_MIN} characters.")
    if len(password) > PASSWORD_CHARS_MAX:
        raise _weak("too-long", f"Use at most {PASSWORD_CHARS_MAX} characters.")
    if folded in (email.key, email.key.partition("@")[0]):
        raise _weak("same-as-email", "Do not use your email address as password.")
    if len(set(folded)) < PASSWORD_DISTINCT_CHARS_MIN:
        raise _weak("repetitive", f"Use at least {PASSWORD_DISTINCT_CHARS_MIN} different characters.")
    if folded in common:
        raise _weak("common", "This password is on the lists that attackers try first.")
    return password


def _weak(reason: str, detail: str) -> Refused:
    return Refused(Kind.UNPROCESSABLE, "weak-password", detail, reason=reason)
