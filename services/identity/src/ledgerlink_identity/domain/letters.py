"""What the mails say."""

from dataclasses import dataclass

from ledgerlink_identity.domain.one_time import Purpose


@dataclass(frozen=True, slots=True)
class Letter:
    """The words of one mail."""

    subject: str
    text: str


def letter_for(purpose: Purpose, public_url: str, token: str) -> Letter:
    """Return the mail that carries a token; it names the request that spends it, and what to do if it is unwanted."""
    if purpose is Purpose.VERIFICATION:
        return Letter(
            "Confirm your email address",
            "Please confirm that this address is yours. Your code, good for 24 hours and for one use:\n\n"
            f"{token}\n\n"
            f"Send it as `token` to {public_url}/api/v1/auth/verification/confirm\n\n"
            "If you did not open an account with LedgerLink, ignore this mail.\n",
        )
    return Letter(
        "Set a new password",
        "Somebody asked for a new password for your account. Your code, good for 30 minutes and for one use:\n\n"
        f"{token}\n\n"
        f"Send it as `token`, with your `new_password`, to {public_url}/api/v1/auth/password-reset/confirm\n\n"
        "If that was not you, ignore this mail: nothing has changed.\n",
    )
