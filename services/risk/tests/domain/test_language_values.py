"""What expressions give: money that never mixes, missing data that is a third value, and reasons that suffice."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from ledgerlink_kit.money import MAX_MINOR
from ledgerlink_risk.domain.events import FACTS
from ledgerlink_risk.domain.language import Frame, Vocabulary, compile_condition, compile_value
from ledgerlink_risk.domain.language.ir import (
    Entity,
    Listed,
    Measure,
    NewPayee,
    Signal,
    Velocity,
    Window,
)
from ledgerlink_risk.domain.language.types import INT, NOTHING, STRING, Type, list_of, map_of, meet, money_in
from ledgerlink_risk.domain.language.values import SHOWN_CHARS_MAX, Missing, Money, missing, shown, united

LIMITS = {"large": {"GBP": Money(10_000_00, "GBP"), "JPY": Money(1_900_000, "JPY")}}
VOCABULARY = Vocabulary(FACTS, LIMITS)
USUAL: dict[str, Any] = {
    "kind": "payment",
    "amount": Money(50_00, "GBP"),
    "currency": "GBP",
    "customer": "usr_ann",
    "source_kind": "card",
    "subject": "pi_1",
    "metadata": {"order": "42"},
    "occurred_at": datetime(2026, 3, 1, 12, 30, 15, 250_000, tzinfo=UTC),
}


def value(source: str, signals: dict[Signal, Any] | None = None, **facts: Any) -> Any:
    return compile_value(source, VOCABULARY)(Frame({**USUAL, **facts}, signals or {}))


@pytest.mark.parametrize(
    ("source", "given"),
    [
        ("amount >= money('50.00', 'GBP')", True),
        ("amount > money('50.00', 'GBP')", False),
        ("amount == money('50', 'gbp')", True),
        ("amount + amount == money('100.00', 'GBP')", True),
        ("amount - money('60.00', 'GBP') == money('-10.00', 'GBP')", True),
        ("amount * 3 == money('150.00', 'GBP') && 3 * amount == amount * 3", True),
        ("-amount < amount", True),
        ("amount.minor == 5000 && amount.currency == 'GBP'", True),
        ("(true ? amount : money('1', 'EUR')) == amount", True),
        ("{'GBP': money('10', 'GBP'), 'EUR': money('11', 'EUR')}[currency] < amount", True),
        ("amount < limit('large')", True),
    ],
)
def test_money_compares_and_adds_within_one_currency(source: str, given: bool) -> None:
    assert value(source) is given


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("amount > money('1', 'EUR')", "GBP is not EUR"),
        ("amount == money('1', 'EUR')", "GBP is not EUR"),
        ("amount + money('1', 'EUR') == amount", "GBP is not EUR"),
        ("amount - money('1', 'EUR') == amount", "GBP is not EUR"),
        ("{'USD': money('10', 'USD')}[currency] < amount", "entry 'GBP'"),
        ("destination == 'acct_shop'", "destination"),
        ("metadata.colour == 'red'", "metadata.colour"),
        ("metadata['colour'] == 'red'", "metadata.colour"),
        ("metadata[customer] == 'red'", "entry 'usr_ann'"),
        ("new_payee", "new_payee"),
        ("velocity('count', 'customer', '1h') > 3", "velocity(count,customer,1h)"),
        ("customer in list('denied')", "list(denied,customer)"),
        ("1 / 0 == 1", "division by zero"),
        ("1 % 0 == 1", "division by zero"),
        ("9223372036854775807 + 1 == 1", "integer overflow"),
        ("int('12a') == 1", "not an integer"),
        ("timestamp(customer) == occurred_at", "not a timestamp"),
        ("timestamp('9999-12-31T23:59:59Z') + duration('1h') > occurred_at", "time out of range"),
        ("timestamp('0001-01-01T00:00:00Z') - duration('1h') > occurred_at", "time out of range"),
        ("duration(customer) > duration('1h')", "not a duration"),
        ("duration('2500000h') + duration('2500000h') > duration('1h')", "time out of range"),
        ("occurred_at - timestamp('1500-01-01T00:00:00Z') > duration('1h')", "time out of range"),
        ("[1, 2][2] == 1", "index 2"),
        ("[1, 2][-1] == 1", "index -1"),
        ("!(destination == 'a')", "destination"),
        ("(destination == 'a') ? true : false", "destination"),
        ("[destination] == ['a']", "destination"),
        ("{'a': destination}['a'] == 'b'", "destination"),
        ("['a', 'b'].exists(v, v == destination)", "destination"),
        ("[destination].exists(v, v == 'a')", "destination"),
        ("limit('large') * 9100000000 > amount", "amount out of range"),
    ],
)
def test_what_has_no_value_is_missing_and_says_why(source: str, why: str) -> None:
    assert value(source) == missing(why)


def test_causes_of_missing_values_are_united() -> None:
    assert value("destination == payment_method") == missing("destination", "payment_method")
    assert value("destination == 'a' && payment_method == 'b'") == missing("destination", "payment_method")
    assert value("destination == 'a' || destination == 'b'") == missing("destination")
    assert value("[1, 2].all(v, destination == payment_method)") == missing("destination", "payment_method")
    assert missing("a") | missing("a") == missing("a")
    assert united((1, 2)) is None


@pytest.mark.parametrize(
    ("source", "given"),
    [
        ("destination == 'a' && false", False),
        ("false && destination == 'a'", False),
        ("destination == 'a' || true", True),
        ("[1, 2].exists(v, v == 2 || destination == 'a')", True),
        ("[1, 2].all(v, v != 2 && destination == 'a')", False),
        ("has(destination)", False),
        ("has(customer)", True),
        ("has(metadata.order)", True),
        ("has(metadata.colour)", False),
        ("has(metadata.colour) && metadata.colour == 'red'", False),
        ("'order' in metadata", True),
        ("metadata.exists(k, k == 'order')", True),
        ("metadata.order == '42' && size(metadata) == 1", True),
        ("currency in ['GBP', 'EUR']", True),
        ("[1, 2, 3].exists(v, v == 3) && ![1, 2].exists(v, v == 3)", True),
        ("[1, 2, 3].all(v, v > 0) && [[1], [2]].all(v, size(v) == 1)", True),
        ("1 in (has(destination) ? [1, 2] : [1])", True),
        ("{'a': 1, 'b': 2}.all(k, k != 'c')", True),
        ("customer.matches('^usr_[a-z]+$') && !customer.matches('^acct_')", True),
        ("(destination == 'a' ? true : false) || customer.lowerAscii() == 'usr_ann'", True),
        ("[1, 2] == [1, 2] && [1, 2] != [1, 3] && [] != [1]", True),
        ("occurred_at.getHours() == 12 && occurred_at.getMilliseconds() == 250", True),
        ("occurred_at - duration('30m15.25s') == timestamp('2026-03-01T12:00:00Z')", True),
        ("int(occurred_at) == 1772368215", True),
        ("occurred_at == timestamp('2026-03-01T13:30:15.250+01:00')", True),
        (r"'\x41\u00e9\U0001F600\101\n' == 'A\u00e9\U0001F600A\n'", True),
        (r"r'a\b' == 'a\\b' && R" + '"x" == "x"', True),
        ("0x10 == 16 && 1e3 == 1000.0 && .5 == 0.5  // a comment", True),
        ("[1, 2,] == [1, 2] && {'a': 1,}['a'] == 1", True),
    ],
)
def test_a_decided_answer_wins_over_missing_data(source: str, given: bool) -> None:
    assert value(source) is given


def test_a_name_may_begin_like_a_raw_text() -> None:
    facts = Vocabulary({"rate": FACTS["currency"]})
    assert compile_value("rate == 'x'", facts)(Frame({"rate": "x"}, {})) is True


def test_signals_are_named_by_what_they_ask() -> None:
    condition = compile_condition(
        "velocity('sum', 'destination', '30d') > amount || customer in list('denied') || new_payee", VOCABULARY
    )
    assert {str(signal) for signal in condition.signals} == {
        "velocity(sum,destination,30d)",
        "list(denied,customer)",
        "new_payee",
    }
    assert condition.signals == {
        Velocity(Measure.SUM, Entity.DESTINATION, Window.MONTH),
        Listed("denied", "customer"),
        NewPayee(),
    }


def test_signals_are_found_wherever_they_stand() -> None:
    count = "velocity('count', 'customer', '1h')"
    for source in (
        f"[{count}, 2] == [1, 2]",
        f"{{'a': {count}}}['a'] == 1",
        f"!({count} == 1 ? true : false)",
        f"[1].all(v, v == {count})",
        f"true && ({count} == 1 || false)",
    ):
        condition = compile_condition(source, VOCABULARY)
        assert {str(signal) for signal in condition.signals} == {"velocity(count,customer,1h)"}


def judge(source: str, **facts: Any) -> tuple[Any, list[tuple[str, str | None, str | None, tuple[str, ...]]]]:
    outcome = compile_condition(source, VOCABULARY).judge({**USUAL, **facts}, {})
    return outcome.truth, [(one.text, one.value, one.threshold, one.missing) for one in outcome.clauses]


def test_a_true_conjunction_names_all_its_clauses_with_both_sides() -> None:
    assert judge("amount > money('10', 'GBP') &&\n   currency in ['GBP', 'EUR']") == (
        True,
        [
            ("amount > money('10', 'GBP')", "50.00 GBP", "10.00 GBP", ()),
            ("currency in ['GBP', 'EUR']", "GBP", "[GBP, EUR]", ()),
        ],
    )


def test_a_true_disjunction_names_the_clause_that_decided() -> None:
    truth, clauses = judge("amount > money('99', 'GBP') || customer == 'usr_ann' || true")
    assert (truth, clauses) == (True, [("customer == 'usr_ann'", "usr_ann", "usr_ann", ())])


def test_a_negated_condition_names_what_made_it_so() -> None:
    truth, clauses = judge("!(amount > money('99', 'GBP') && customer == 'usr_ann')")
    assert (truth, clauses) == (True, [("amount > money('99', 'GBP')", "50.00 GBP", "99.00 GBP", ())])


def test_a_missing_condition_names_what_is_missing_and_only_that() -> None:
    truth, clauses = judge("customer == 'usr_ann' && destination == 'a' && metadata.x == payment_method")
    assert isinstance(truth, Missing)
    assert clauses == [
        ("destination == 'a'", None, "a", ("destination",)),
        ("metadata.x == payment_method", None, None, ("metadata.x", "payment_method")),
    ]


def test_a_choice_names_its_condition_and_its_branch() -> None:
    truth, clauses = judge("has(destination) ? destination == 'a' : customer == 'usr_ann'")
    assert truth is True
    assert [text for text, *_ in clauses] == ["has(destination)", "customer == 'usr_ann'"]
    truth, clauses = judge("destination == 'a' ? true : false")
    assert isinstance(truth, Missing)
    assert clauses == [("destination == 'a'", None, "a", ("destination",))]
    truth, clauses = judge("true ? destination == 'a' : false")
    assert isinstance(truth, Missing)
    assert judge("!(destination == 'a')")[0] == missing("destination")


def test_a_clause_without_sides_shows_its_truth() -> None:
    assert judge("has(metadata.order)") == (True, [("has(metadata.order)", "true", None, ())])


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (True, "true"),
        (False, "false"),
        (3, "3"),
        ("abc", "abc"),
        (Money(-5, "JPY"), "-5 JPY"),
        (timedelta(hours=-1, microseconds=-500_000), "-3600.5s"),
        (timedelta(0), "0s"),
        (datetime(2026, 1, 2, tzinfo=UTC), "2026-01-02T00:00:00Z"),
        ({"a": Money(1, "GBP"), "b": (1, 2)}, "{a: 0.01 GBP, b: [1, 2]}"),
    ],
)
def test_values_are_shown_short_and_stable(given: Any, text: str) -> None:
    assert shown(given) == text


def test_a_long_value_is_cut() -> None:
    text = shown("x" * 1000)
    assert len(text) == SHOWN_CHARS_MAX
    assert text.endswith("…")


def test_money_stays_within_its_bound() -> None:
    full = Money(MAX_MINOR, "GBP")
    assert value("amount + money('0.01', 'GBP') > amount", amount=full) == missing("amount out of range")
    assert value("-amount - money('0.01', 'GBP') < amount", amount=full) == missing("amount out of range")


def test_types_meet_where_both_fit() -> None:
    assert meet(INT, NOTHING) == meet(NOTHING, INT) == INT
    assert meet(list_of(money_in("GBP")), list_of(money_in("EUR"))) == list_of(Type("money"))
    assert meet(map_of(INT), map_of(STRING)) is None
    assert meet(INT, STRING) is None
    assert str(map_of(list_of(money_in("GBP")))) == "map<list<money[GBP]>>"


def test_the_cost_of_a_loop_is_its_body_times_what_it_can_hold() -> None:
    one = compile_condition("metadata.exists(k, k == 'a')", VOCABULARY).cost
    two = compile_condition("metadata.exists(k, metadata.exists(j, j == k))", VOCABULARY).cost
    assert one == 1 + 1 + 50 * (1 + 3)
    assert two == 1 + 1 + 50 * (1 + one)
