"""Why payments says no: each refusal has one home, a kebab-case code that Stripe's users know, and its numbers.

The API turns the code into Stripe's snake case for the ``error`` object; ``param`` names the request field.
"""

from ledgerlink_kit.errors import Kind, Refused


def missing(noun: str, identifier: str, param: str = "id") -> Refused:
    """There is none, or it belongs to somebody else, which is answered alike."""
    return Refused(Kind.NOT_FOUND, "resource-missing", f"No such {noun}: '{identifier}'", param=param)


def unexpected_state(noun: str, state: str, doing: str) -> Refused:
    """The thing's state does not allow what was asked (Stripe: `payment_intent_unexpected_state`)."""
    return Refused(
        Kind.INVALID,
        f"{noun.replace('_', '-')}-unexpected-state",
        f"This {noun} could not be {doing} because it has a status of {state}.",
        status_of_object=state,
    )


def invalid(param: str, detail: str, code: str = "parameter-invalid") -> Refused:
    """A parameter's value cannot be used."""
    return Refused(Kind.INVALID, code, detail, param=param)


def absent(param: str) -> Refused:
    """A parameter that is needed was not sent."""
    return Refused(Kind.INVALID, "parameter-missing", f"Missing required param: {param}.", param=param)


def amount_too_large(asked_minor: int, most_minor: int, what: str) -> Refused:
    """More was asked for than there is to take; ``most_minor`` says what there is."""
    return Refused(
        Kind.INVALID,
        "amount-too-large",
        f"The amount of {asked_minor} is above what can be {what}: {most_minor}.",
        param="amount",
        most_minor=most_minor,
    )


def already_refunded() -> Refused:
    """All that was captured has been given back, or is on its way back."""
    return Refused(Kind.INVALID, "charge-already-refunded", "This payment has already been refunded in full.")


def not_allowed(permission: str, doing: str) -> Refused:
    """The caller's token does not reach that far."""
    return Refused(Kind.FORBIDDEN, "scope-missing", f"{doing} needs the permission {permission}.", missing=[permission])


def balance_insufficient(available_minor: int, currency: str) -> Refused:
    """A merchant has less than the payout asks for (Stripe: `balance_insufficient`)."""
    return Refused(
        Kind.INVALID,
        "balance-insufficient",
        f"The balance available for payouts is {available_minor} minor units of {currency}.",
        param="amount",
        available_minor=available_minor,
        currency=currency,
    )
