"""Proves that an exchange never gives more than its rate, and that every rounding falls on the side that is said."""

from decimal import Decimal
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from ledgerlink_kit.money import CURRENCIES
from ledgerlink_wallet.domain.exchange import RATE_DIGITS, bought, offered_rate, sold

CODES = st.sampled_from(["GBP", "EUR", "JPY", "KWD", "CLF"])
MIDS = st.decimals(min_value="0.000001", max_value="9999999", places=6)


def test_a_rate_is_the_middle_less_the_spread_in_both_directions() -> None:
    assert offered_rate(Decimal("1.25"), 0, inverse=False) == Decimal("1.25")
    assert offered_rate(Decimal("1.25"), 100, inverse=False) == Decimal("1.2375")
    assert offered_rate(Decimal("1.25"), 100, inverse=True) == Decimal("0.792")
    assert offered_rate(Decimal(3), 0, inverse=True) == Decimal("0.333333333333")


def test_what_is_bought_is_rounded_down_and_what_must_be_sold_up() -> None:
    rate = Decimal("1.1999")

    assert bought(1_001, "GBP", "EUR", rate) == 1_201
    assert sold(1_201, "GBP", "EUR", rate) == 1_001
    assert bought(100, "GBP", "JPY", Decimal("190.55")) == 190
    assert sold(190, "GBP", "JPY", Decimal("190.55")) == 100


@given(
    mid=MIDS, spread=st.integers(0, 5_000), inverse=st.booleans(), sell=CODES, buy=CODES, amount=st.integers(1, 10**9)
)
def test_no_side_of_an_exchange_is_better_than_the_rate(
    mid: Decimal, spread: int, sell: str, buy: str, amount: int, *, inverse: bool
) -> None:
    rate = offered_rate(mid, spread, inverse=inverse)
    shift = Fraction(10) ** (CURRENCIES[buy] - CURRENCIES[sell])
    exact = Fraction(rate) * shift
    must = sold(amount, sell, buy, rate)

    assert len(rate.as_tuple().digits) <= RATE_DIGITS
    assert (must - 1) * exact < amount <= must * exact
    if amount * exact < 2**53 - 1:
        given_minor = bought(amount, sell, buy, rate)
        assert given_minor <= amount * exact < given_minor + 1
