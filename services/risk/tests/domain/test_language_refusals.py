"""A rule that cannot be run is refused while it is compiled, in words, with its line, its column and a caret."""

import pytest

from ledgerlink_risk.domain.events import FACTS
from ledgerlink_risk.domain.language import RuleDoesNotCompile, Vocabulary, compile_condition
from ledgerlink_risk.domain.language.source import COST_MAX, DEPTH_MAX, ITEMS_MAX, SOURCE_CHARS_MAX, TREE_DEPTH_MAX
from ledgerlink_risk.domain.language.values import Money

VOCABULARY = Vocabulary(FACTS, {"large": {"GBP": Money(10_000_00, "GBP")}})

# text, what is said, column of the caret
REFUSED = [
    # lexis
    ("'abc", "no closing quote", 1),
    ("customer == 'a\nb'", "no closing quote", 13),
    ("1u > 2", "unsigned integers do not exist", 1),
    ("1e5x > 2.0", "A number ends before a letter", 1),
    ("customer ~ 'a'", "'~' has no meaning here", 10),
    (r"customer == 'a\qb'", "Unknown escape", 15),
    (r"customer == '\ud800'", "no character that can be stored", 14),
    (r"customer == '\x00'", "no character that can be stored", 14),
    (r"customer == '\U00110000'", "no character that can be stored", 14),
    ("9223372036854775808 > 1", "An integer has 64 bits", 1),
    ("1 > -9223372036854775809", "An integer has 64 bits", 5),
    ("x" * (SOURCE_CHARS_MAX + 1), f"at most {SOURCE_CHARS_MAX} characters", 1),
    # grammar
    ("", "Expected a value, found 'the end of the rule'", 1),
    ("amount >", "Expected a value", 9),
    ("true true", "Expected an operator or the end", 6),
    ("(true", "Expected ')'", 6),
    ("true ? 1", "Expected ':'", 9),
    ("amount.", "Expected a name after '.'", 8),
    ("[1, 2", "Expected ']'", 6),
    ("{'a' 1}", "Expected ':'", 6),
    ("{'a': 1", "Expected '}'", 8),
    ("size(1,)", "Expected an argument after ','", 8),
    ("in == 1", "'in' is a reserved word", 1),
    ("null == 1", "'null' is a reserved word", 1),
    ("(" * (DEPTH_MAX + 1), f"Nested deeper than {DEPTH_MAX} levels", DEPTH_MAX + 1),
    ("!" * (DEPTH_MAX + 1) + "true", f"Nested deeper than {DEPTH_MAX} levels", DEPTH_MAX + 1),
    ("(" * 3 + "1" + (" + 1" * DEPTH_MAX + ")") * 3 + " == 1", f"Built of more than {TREE_DEPTH_MAX} layers", 141),
    ("1" + " + 1" * (DEPTH_MAX + 1), f"More than {DEPTH_MAX} operators in a row", 131),
    ("metadata" + ".a" * (DEPTH_MAX + 1), f"More than {DEPTH_MAX} members in a row", 73),
    ("[" + "1," * (ITEMS_MAX + 1) + "]", f"More than {ITEMS_MAX} items", 1003),
    (" || ".join(["true"] * (ITEMS_MAX + 1)), f"More than {ITEMS_MAX} operands", 4005),
    # names
    ("amuont > 1", "There is no fact 'amuont'; there are amount", 1),
    ("amount.size > 1", "A money has no field 'size'", 1),
    ("customer.size > 1", "A string has no field 'size'", 1),
    ("customer[0] == 'a'", "A string cannot be indexed by int", 1),
    ("nothing(1)", "There is no function 'nothing'", 1),
    ("customer.nothing()", "There is no method 'nothing'", 1),
    ("velocity('sun', 'customer', '1h') > 1", "velocity() knows sum, count, distinct, declined, not 'sun'", 10),
    ("velocity('sum', 'card', '1h') > 1", "velocity() knows customer, payment_method, destination", 17),
    ("velocity('sum', 'customer', '2h') > 1", "velocity() knows 1h, 24h, 7d, 30d", 29),
    ("velocity('sum', 'customer') > 1", "velocity() takes a measure, an entity, a window", 1),
    ("velocity('sum', customer, '1h') > 1", "as a text in quotes", 17),
    ("amount > limit('lage')", "There is no limit 'lage'; there are large", 16),
    ("currency in list('x')", "Only a party can stand on a list: customer, destination, payment_method", 1),
    ("'usr_1' in list('x')", "Only a party can stand on a list", 1),
    ("list('x')", "list() stands only on the right of 'in'", 1),
    ("has(1)", "has() takes a fact or an entry", 1),
    ("has(new_payee)", "has() takes a fact or an entry", 1),
    ("has(amount.minor)", "has() takes a fact or an entry", 1),
    ("has(destination, customer)", "has() takes a fact or an entry", 1),
    # types
    ("amount", "A rule is a condition; this gives money", 1),
    ("1 + 1", "A rule is a condition; this gives int", 1),
    ("amount > 3", "'>' does not take money, int", 8),
    ("amount * amount > amount", "'*' does not take money, money", 8),
    ("amount / 2 > amount", "'/' does not take money, int", 8),
    ("-customer == 'a'", "'-' does not take string", 1),
    ("1 && true", "'&&' joins conditions; this is int", 1),
    ("!1", "'!' joins conditions; this is int", 2),
    ("1 ? true : false", "'?' asks a condition; this is int", 1),
    ("true ? 1 : 'a'", "One branch gives int, the other string", 12),
    ("[1, 'a'] == [1]", "All items have one type; this is string after int", 5),
    ("customer in [1]", "A string cannot be in a list<int>", 10),
    ("amount in [amount]", "A money is not looked up in a list", 8),
    ("1 in {'a': 1}", "A int cannot be in a map<int>", 3),
    ("[amount] == [amount]", "'==' cannot compare list<money> and list<money>", 10),
    ("[1] == ['a']", "'==' cannot compare list<int> and list<string>", 5),
    ("metadata == metadata", "'==' does not take map<string>, map<string>", 10),
    ("{1: 2} == {1: 2}", "A map's keys are texts in quotes", 2),
    ("'b' in {'a': 1, 'a': 2}", "The key 'a' stands twice", 17),
    ("customer.exists(c, c == 'a')", "exists() runs over a list or a map, not over string", 1),
    ("[1].exists(1, true)", "exists() takes a variable and a condition", 1),
    ("[1].exists(v)", "exists() takes a variable and a condition", 1),
    ("[1].all(v, v)", "all() asks a condition; this is int", 12),
    ("[1].exists(v, v > 0) && v > 0", "There is no fact 'v'", 25),
    ("customer.matches(currency)", "is a text in quotes, so that it is compiled once", 18),
    ("customer.matches('(a')", "no regular expression in RE2's syntax", 18),
    ("customer.matches('(?=a)')", "no regular expression in RE2's syntax", 18),
    ("customer.matches()", "matches() takes a text and a pattern", 1),
    ("occurred_at > timestamp('yesterday')", "'yesterday' is not a timestamp", 25),
    ("duration('1 day') > duration('1h')", "'1 day' is not a duration", 10),
    ("duration('1.5ns') > duration('1h')", "'1.5ns' is not a duration", 10),
    # money
    ("money('1', 'GBP') < money('1', 'EUR')", "Mixed currencies: GBP and EUR", 19),
    ("amount + money('1', 'GBP') > money('1', 'EUR')", "Mixed currencies: GBP and EUR", 28),
    ("money('1.001', 'GBP') < amount", "GBP has 2 decimals", 1),
    ("money('1', 'XXX') < amount", "is not an ISO 4217 currency", 1),
    ("money(1, 'GBP') < amount", "the amount in quotes as a text in quotes", 7),
    # cost
    (
        "metadata.exists(a, metadata.exists(b, metadata.exists(c, a == b && b == c)))",
        f"the limit is {COST_MAX}",
        1,
    ),
]


@pytest.mark.parametrize(("source", "said", "column"), REFUSED, ids=[source[:40] for source, _, _ in REFUSED])
def test_a_rule_is_refused_in_words_at_its_place(source: str, said: str, column: int) -> None:
    with pytest.raises(RuleDoesNotCompile) as refused:
        compile_condition(source, VOCABULARY)
    assert said in refused.value.detail
    assert refused.value.members["column"] == column
    assert refused.value.detail.splitlines()[-1] == " " * (column - 1) + "^"


def test_the_place_counts_lines_and_shows_only_the_offending_one() -> None:
    with pytest.raises(RuleDoesNotCompile) as refused:
        compile_condition("amount > limit('large')\n\t&& custmer == 'a'\n&& true", VOCABULARY)
    assert (refused.value.members["line"], refused.value.members["column"]) == (2, 5)
    assert refused.value.detail.splitlines()[1:] == [" && custmer == 'a'", "    ^"]


def test_a_list_of_unknown_length_is_not_searched() -> None:
    with pytest.raises(RuleDoesNotCompile, match="not known while compiling"):
        compile_condition("1 in [[1, 2]][0]", VOCABULARY)


def test_a_vocabulary_without_limits_says_so() -> None:
    with pytest.raises(RuleDoesNotCompile, match="there are none"):
        compile_condition("amount > limit('large')", Vocabulary(FACTS))
