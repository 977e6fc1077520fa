"""The policy that a fresh installation has: real rules for card purchasing, explained in the service's README.

A limit is one round amount in pounds, carried to other currencies by a coarse number of units per pound. Coarse on
purpose: a limit is not a rate, and a stock limit must not move with the market.
"""

from collections.abc import Mapping
from typing import Final

from ledgerlink_contracts.risk.models import EventKind
from ledgerlink_kit.money import CURRENCIES, MAX_MINOR
from ledgerlink_risk.domain.policy import Effect, OnDegraded, OnMissing, PolicyDraft, Rule

# Tenths of a unit that one pound buys, to one or two digits.
_TENTHS_PER_POUND: Final = {
    "AED": 50, "AFN": 900, "ALL": 1100, "AMD": 5000, "AOA": 11000, "ARS": 12000, "AUD": 20, "AWG": 20, "AZN": 20,
    "BAM": 20, "BBD": 25, "BDT": 1500, "BGN": 20, "BHD": 5, "BIF": 37000, "BMD": 10, "BND": 20, "BOB": 90, "BRL": 70,
    "BSD": 10, "BTN": 1100, "BWP": 170, "BYN": 40, "BZD": 25, "CAD": 20, "CDF": 35000, "CHF": 10, "CLP": 12000,
    "CNY": 90, "COP": 50000, "CRC": 6500, "CUP": 300, "CVE": 1300, "CZK": 300, "DJF": 2200, "DKK": 90, "DOP": 750,
    "DZD": 1700, "EGP": 600, "ERN": 190, "ETB": 1500, "EUR": 10, "FJD": 30, "FKP": 10, "GBP": 10, "GEL": 35,
    "GHS": 150, "GIP": 10, "GMD": 900, "GNF": 110000, "GTQ": 100, "GYD": 2600, "HKD": 100, "HNL": 320, "HRK": 90,
    "HTG": 1600, "HUF": 4500, "IDR": 200000, "ILS": 50, "INR": 1100, "IQD": 16000, "IRR": 550000, "ISK": 1700,
    "JMD": 2000, "JOD": 10, "JPY": 1900, "KES": 1600, "KGS": 1100, "KHR": 50000, "KMF": 5800, "KPW": 11000,
    "KRW": 17000, "KWD": 4, "KYD": 10, "KZT": 6500, "LAK": 270000, "LBP": 1100000, "LKR": 3800, "LRD": 2400,
    "LSL": 230, "LYD": 60, "MAD": 130, "MDL": 230, "MGA": 57000, "MKD": 730, "MMK": 26000, "MNT": 43000, "MOP": 100,
    "MRU": 500, "MUR": 580, "MVR": 200, "MWK": 22000, "MXN": 250, "MYR": 60, "MZN": 800, "NAD": 230, "NGN": 20000,
    "NIO": 460, "NOK": 140, "NPR": 1700, "NZD": 20, "OMR": 5, "PAB": 10, "PEN": 50, "PGK": 50, "PHP": 730,
    "PKR": 3500, "PLN": 50, "PYG": 95000, "QAR": 50, "RON": 60, "RSD": 1400, "RUB": 1100, "RWF": 17000, "SAR": 50,
    "SBD": 100, "SCR": 180, "SDG": 7500, "SEK": 140, "SGD": 20, "SHP": 10, "SLE": 280, "SOS": 7200, "SRD": 450,
    "SSP": 50000, "STN": 290, "SVC": 110, "SYP": 160000, "SZL": 230, "THB": 450, "TJS": 130, "TMT": 40, "TND": 40,
    "TOP": 30, "TRY": 450, "TTD": 90, "TWD": 400, "TZS": 33000, "UAH": 520, "UGX": 46000, "USD": 10, "UYU": 530,
    "UZS": 160000, "VES": 800, "VND": 320000, "VUV": 1500, "WST": 35, "XAF": 7500, "XCD": 35, "XCG": 20, "XOF": 7500,
    "XPF": 1400, "YER": 3100, "ZAR": 230, "ZMW": 350, "ZWG": 340,
}  # fmt: skip


def _limit(pounds: int) -> Mapping[str, int]:
    """Give a limit in minor units of every currency of the table."""
    return {
        currency: min(MAX_MINOR, pounds * tenths * 10 ** CURRENCIES[currency] // 10)
        for currency, tenths in _TENTHS_PER_POUND.items()
    }


LIMITS: Final[Mapping[str, Mapping[str, int]]] = {
    "payment_large": _limit(10_000),
    "payment_review": _limit(50_000),
    "payment_ceiling": _limit(90_000),
    "daily_spend": _limit(100_000),
    "bulk_review": _limit(10_000_000),
}

_ALL: Final = frozenset(EventKind)
_SPENDING: Final = frozenset({EventKind.PAYMENT, EventKind.TRANSFER})
_BULK: Final = frozenset({EventKind.TOP_UP, EventKind.PAYOUT})

RULES: Final = (
    Rule(
        rule="denied-party",
        version=1,
        reason="denied-party",
        kinds=_ALL,
        condition=(
            'customer in list("denied_customers")\n'
            '|| payment_method in list("denied_payment_methods")\n'
            '|| destination in list("denied_destinations")'
        ),
        effect=Effect.DECLINE,
        points=100,
        description="Nobody and nothing on a deny list moves money.",
    ),
    Rule(
        rule="payment-ceiling",
        version=1,
        reason="amount-above-ceiling",
        kinds=_SPENDING,
        condition='amount >= limit("payment_ceiling")',
        effect=Effect.DECLINE,
        points=100,
        description="One payment of 90,000 pounds or more is made in parts, or by bank transfer.",
        on_missing=OnMissing.REVIEW,
    ),
    Rule(
        rule="allowed-customer",
        version=1,
        reason="allowed-customer",
        kinds=_ALL,
        condition='customer in list("allowed_customers")',
        effect=Effect.ALLOW,
        points=0,
        description="A customer on the allow list is not sent to review.",
    ),
    Rule(
        rule="payment-review",
        version=1,
        reason="amount-above-review-limit",
        kinds=_SPENDING,
        condition='amount >= limit("payment_review")',
        effect=Effect.REVIEW,
        points=60,
        description="A person looks at every payment of 50,000 pounds or more; purchasing cards stay below.",
    ),
    Rule(
        rule="bulk-review",
        version=1,
        reason="amount-above-review-limit",
        kinds=_BULK,
        condition='amount >= limit("bulk_review")',
        effect=Effect.REVIEW,
        points=60,
        description="Top-ups and payouts gather many purchases; a person looks from ten million pounds on.",
        on_missing=OnMissing.REVIEW,
    ),
    Rule(
        rule="repeated-declines",
        version=1,
        reason="repeated-declines",
        kinds=_ALL,
        condition='velocity("declined", "customer", "24h") >= 3',
        effect=Effect.SCORE,
        points=45,
        description="Three declined tries in a day; any further habit below then reaches review.",
    ),
    Rule(
        rule="new-payee-large",
        version=1,
        reason="new-payee-large",
        kinds=_SPENDING,
        condition='new_payee && amount >= limit("payment_large")',
        effect=Effect.SCORE,
        points=15,
        description="The first payment to somebody is large.",
    ),
    Rule(
        rule="busy-customer",
        version=1,
        reason="many-payments",
        kinds=_SPENDING,
        condition='velocity("count", "customer", "1h") > 30',
        effect=Effect.SCORE,
        points=10,
        description="More than thirty payments of one customer in an hour.",
    ),
    Rule(
        rule="heavy-spend",
        version=1,
        reason="heavy-spend",
        kinds=_SPENDING,
        condition='velocity("sum", "customer", "24h") > limit("daily_spend")',
        effect=Effect.SCORE,
        points=10,
        description="More than 100,000 pounds of one customer in a day, in one currency.",
    ),
    Rule(
        rule="fan-out",
        version=1,
        reason="many-payees",
        kinds=_SPENDING,
        condition='velocity("distinct", "customer", "24h") > 25',
        effect=Effect.SCORE,
        points=5,
        description="More than 25 different payees of one customer in a day.",
    ),
)

STOCK: Final = PolicyDraft(rules=RULES, limits=LIMITS, review_at=60, on_degraded=OnDegraded.OPEN)
"""No habit of a busy buyer alone reaches review: all scores but `repeated-declines` together stay below `review_at`."""
