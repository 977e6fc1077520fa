"""What counts as an email address, and when two of them are the same person."""

from dataclasses import dataclass

from email_validator import EmailNotValidError, validate_email

from ledgerlink_identity.domain.limits import EMAIL_CHARS_MAX
from ledgerlink_kit.errors import Kind, Refused


@dataclass(frozen=True, slots=True)
class Email:
    """An address as it was written, and the `key` by which it is unique.

    The key is the case-folded address: providers treat case alike, and two accounts that differ
    only in case would be a trap for their owner.
    """

    address: str
    key: str


def parse_email(text: str) -> Email:
    """Read an address. Raises `Refused` invalid-email.

    Only the grammar is checked, never the domain's mail servers: a lookup would be slow, could
    fail, and would tell nothing that the verification mail does not tell better. Names under
    `.test` are allowed, so that tests and demonstrations can use addresses that belong to nobody.
    """
    refusal = Refused(Kind.UNPROCESSABLE, "invalid-email", "That is not an email address we could send mail to.")
    if len(text) > EMAIL_CHARS_MAX:
        raise refusal
    try:
        address = validate_email(text, check_deliverability=False, test_environment=True).normalized
    except EmailNotValidError:
        raise refusal from None
    return Email(address=address, key=address.casefold())


def key_for_lookup(text: str) -> str:
    """Return the key to look an address up by; what is no address gets a key that nobody has."""
    try:
        return parse_email(text.strip()).key
    except Refused:
        return text.strip().casefold()
