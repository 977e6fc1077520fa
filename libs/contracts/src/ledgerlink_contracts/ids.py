"""The identifiers that cross a service's border: each kind has its own type, its own prefix on the wire."""

from ledgerlink_kit.ids import TypedId


class UserId(TypedId, prefix="usr"):
    """A person known to identity; the subject of their tokens and the owner of wallets."""


class SessionId(TypedId, prefix="ses"):
    """One sign-in of a user."""


class WalletId(TypedId, prefix="wal"):
    """One owner's set of accounts."""


class AccountId(TypedId, prefix="acc"):
    """A holder of debits and credits in one ledger and one currency; derived from ledger, code and currency."""


class TransferId(TypedId, prefix="tr"):
    """An immutable, atomic movement of money; made by the caller or derived from their idempotency key."""


class HoldId(TypedId, prefix="hold"):
    """Funds reserved in a wallet; made by the caller or derived from their idempotency key."""


class ImportId(TypedId, prefix="imp"):
    """One import of transfers; derived from its caller's idempotency key."""


class QuoteId(TypedId, prefix="quote"):
    """An offer to exchange money between two currencies of a wallet."""


class ScheduleId(TypedId, prefix="sch"):
    """An order to transfer money at moments to come; derived from its caller's idempotency key."""


class IntentId(TypedId, prefix="pi"):
    """What a payer is meant to pay."""


class AttemptId(TypedId, prefix="att"):
    """One try of an intent through one connector."""


class RefundId(TypedId, prefix="re"):
    """Money given back to a payer."""


class PayoutId(TypedId, prefix="po"):
    """Money leaving to an outside account."""


class MerchantId(TypedId, prefix="acct"):
    """A merchant: Stripe's connected account."""


class EventId(TypedId, prefix="evt"):
    """A past-tense fact that a service has told."""


class DecisionId(TypedId, prefix="dec"):
    """Risk's recorded answer."""


class CaseId(TypedId, prefix="case"):
    """Human work opened by a decision."""


class WebhookEndpointId(TypedId, prefix="we"):
    """Where a merchant wants to be told."""
