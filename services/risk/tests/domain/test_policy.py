"""The policy: rules compile together or not at all, effects weigh in their order, and a decision can be made again."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from ledgerlink_contracts.ids import DecisionId
from ledgerlink_contracts.risk.models import DecisionView, EventFacts, EventKind
from ledgerlink_risk.domain.events import OccurredOutOfRange, differences, occurred_at
from ledgerlink_risk.domain.language.values import Money
from ledgerlink_risk.domain.policy import (
    RULES_MAX,
    Effect,
    OnDegraded,
    OnMissing,
    PolicyDraft,
    PolicyRefused,
    Rule,
    compile_policy,
)
from ledgerlink_risk.domain.verdicts import Inputs, case_of, decide, to_bytes

NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)
DECISION = DecisionId.derive("a decision")


def rule(name: str, condition: str, effect: Effect, points: int = 0, **changes: Any) -> Rule:
    usual = Rule(
        rule=name,
        version=1,
        reason=name,
        kinds=frozenset(EventKind),
        condition=condition,
        effect=effect,
        points=points,
        description="A rule of a test.",
    )
    return replace(usual, **changes)


def draft(*rules: Rule, **changes: Any) -> PolicyDraft:
    return replace(PolicyDraft(rules=rules, limits={}, review_at=60, on_degraded=OnDegraded.OPEN), **changes)


def event(**changes: Any) -> EventFacts:
    usual = {
        "kind": "payment",
        "amount_minor": 12_00,
        "currency": "GBP",
        "customer": "usr_ann",
        "source_kind": "card",
        "subject": "pi_1",
        "metadata": {"order": "42"},
    }
    return EventFacts.model_validate({**usual, **changes})


def judged(
    policy: PolicyDraft, *, degraded: tuple[str, ...] = (), signals: dict[str, Any] | None = None
) -> DecisionView:
    inputs = Inputs(DECISION, NOW, 1, event(), NOW, signals or {}, degraded)
    return decide(compile_policy(1, policy), inputs)


DECLINES = rule("declines", "amount > money('1', 'GBP')", Effect.DECLINE, 100)
ALLOWS = rule("allows", "customer == 'usr_ann'", Effect.ALLOW)
REVIEWS = rule("reviews", "currency == 'GBP'", Effect.REVIEW, 60)
SCORES = rule("scores", "kind == 'payment'", Effect.SCORE, 40)
SCORES_TOO = rule("scores-too", "source_kind == 'card'", Effect.SCORE, 20)
SLEEPS = rule("sleeps", "false", Effect.DECLINE, 100)


@pytest.mark.parametrize(
    ("rules", "verdict", "score"),
    [
        ((), "approve", 0),
        ((SLEEPS,), "approve", 0),
        ((SCORES,), "approve", 40),
        ((SCORES, SCORES_TOO), "review", 60),
        ((REVIEWS,), "review", 60),
        ((ALLOWS, REVIEWS, SCORES, SCORES_TOO), "approve", 100),
        ((DECLINES, ALLOWS, REVIEWS), "decline", 100),
    ],
)
def test_effects_weigh_in_their_order(rules: tuple[Rule, ...], verdict: str, score: int) -> None:
    view = judged(draft(*rules))
    assert (view.verdict, view.score) == (verdict, score)
    assert (view.case is not None) == (verdict == "review")


def test_every_rule_that_fired_gives_its_reasons_in_the_policy_s_order() -> None:
    view = judged(draft(SCORES, DECLINES, SLEEPS))
    assert [(reason.code, reason.clause, reason.value, reason.threshold) for reason in view.reasons] == [
        ("scores", "kind == 'payment'", "payment", "payment"),
        ("declines", "amount > money('1', 'GBP')", "12.00 GBP", "1.00 GBP"),
    ]


def test_a_review_by_score_says_which_bound_was_reached() -> None:
    last = judged(draft(SCORES, SCORES_TOO)).reasons[-1]
    assert (last.code, last.rule, last.clause, last.value) == ("score-above-limit", "policy", "score >= 60", "60")


def test_a_rule_runs_only_for_its_kinds() -> None:
    payouts = replace(DECLINES, kinds=frozenset({EventKind.PAYOUT}))
    assert judged(draft(payouts)).verdict == "approve"


@pytest.mark.parametrize(
    ("on_missing", "verdict"),
    [(OnMissing.SKIP, "approve"), (OnMissing.REVIEW, "review"), (OnMissing.DECLINE, "decline")],
)
def test_a_rule_says_what_happens_when_its_facts_are_missing(on_missing: OnMissing, verdict: str) -> None:
    asks = rule("asks", "destination == 'acct_1'", Effect.DECLINE, 100, on_missing=on_missing)
    view = judged(draft(asks))
    assert view.verdict == verdict
    assert [reason.missing for reason in view.reasons] == ([] if verdict == "approve" else [["destination"]])


COUNTS = rule("counts", "velocity('count', 'customer', '1h') > 3", Effect.DECLINE, 100)


def test_an_open_policy_goes_on_without_a_late_part_and_says_so() -> None:
    view = judged(draft(COUNTS), degraded=("velocity",))
    assert view.verdict == "approve"
    assert [(reason.code, reason.rule, reason.clause, reason.missing) for reason in view.reasons] == [
        ("degraded", "velocity", "velocity was late; the policy is open", ["velocity(count,customer,1h)"])
    ]


def test_a_closed_policy_sends_what_it_could_not_weigh_to_a_person() -> None:
    view = judged(draft(COUNTS, on_degraded=OnDegraded.CLOSED), degraded=("velocity",))
    assert (view.verdict, view.reasons[-1].code) == ("review", "degraded")
    assert judged(draft(COUNTS, ALLOWS, on_degraded=OnDegraded.CLOSED), degraded=("velocity",)).verdict == "approve"


def test_a_decision_is_made_again_byte_for_byte_from_its_written_inputs() -> None:
    sums = rule("sums", "velocity('sum', 'customer', '24h') > amount", Effect.SCORE, 5)
    policy = compile_policy(7, draft(SCORES, SCORES_TOO, sums))
    signals = {"velocity(sum,customer,24h)": Money(99_00, "GBP"), "unused": True}
    inputs = Inputs(DECISION, NOW, 7, event(occurred_at=NOW, destination="acct_1"), NOW, signals, ("velocity",))
    read = Inputs.from_json(inputs.to_json())
    assert read == inputs
    assert read.to_json() == inputs.to_json()
    assert to_bytes(decide(policy, read)) == to_bytes(decide(policy, inputs))


def test_one_decision_has_one_case() -> None:
    assert case_of(DECISION) == case_of(DecisionId.parse(str(DECISION))) != case_of(DecisionId.derive("another"))


def test_a_policy_that_does_not_compile_names_the_rule_and_the_place() -> None:
    with pytest.raises(PolicyRefused, match=r"Rule 'broken': There is no fact 'amuont'") as refused:
        compile_policy(1, draft(SCORES, rule("broken", "amuont > 1", Effect.SCORE)))
    assert refused.value.members["rule"] == "broken"


def test_a_rule_stands_once_in_a_policy() -> None:
    with pytest.raises(PolicyRefused, match="stands twice"):
        compile_policy(1, draft(SCORES, SCORES))


def test_a_policy_has_a_bounded_number_of_rules() -> None:
    many = tuple(rule(f"rule-{number}", "true", Effect.SCORE) for number in range(RULES_MAX + 1))
    with pytest.raises(PolicyRefused, match=f"at most {RULES_MAX} rules"):
        compile_policy(1, draft(*many))
    assert len(compile_policy(1, draft(*many[:-1])).rules) == RULES_MAX


@pytest.mark.parametrize(
    "changes", [{"points": 101}, {"points": -1}, {"version": 0}, {"kinds": frozenset[EventKind]()}]
)
def test_a_rule_outside_its_bounds_cannot_be_made(changes: dict[str, Any]) -> None:
    with pytest.raises(AssertionError):
        rule("wrong", "true", Effect.SCORE, **changes)


def test_a_policy_knows_what_it_needs_to_be_told() -> None:
    policy = compile_policy(
        1,
        draft(
            rule("a", "velocity('sum', 'customer', '24h') > amount && new_payee", Effect.SCORE),
            rule("b", "velocity('count', 'customer', '1h') > 3 || customer in list('denied')", Effect.SCORE),
            rule("c", "customer in list('denied')", Effect.SCORE),
        ),
    )
    assert [str(one) for one in policy.velocities] == ["velocity(count,customer,1h)", "velocity(sum,customer,24h)"]
    assert [str(one) for one in policy.listed] == ["list(denied,customer)"]
    assert policy.wants_new_payee
    assert not compile_policy(1, draft(SCORES)).wants_new_payee


def test_an_event_happens_now_unless_it_says_when() -> None:
    assert occurred_at(event(), NOW) == NOW
    assert occurred_at(event(occurred_at=NOW - timedelta(days=9)), NOW) == NOW - timedelta(days=9)
    assert occurred_at(event(occurred_at=NOW + timedelta(minutes=5)), NOW) == NOW + timedelta(minutes=5)


@pytest.mark.parametrize("moment", [NOW + timedelta(minutes=5, seconds=1), datetime(1969, 12, 31, tzinfo=UTC)])
def test_an_event_out_of_its_time_is_refused(moment: datetime) -> None:
    with pytest.raises(OccurredOutOfRange):
        occurred_at(event(occurred_at=moment), NOW)


def test_two_events_differ_in_named_fields() -> None:
    assert differences(event(), event()) == []
    changed = event(amount_minor=13_00, destination="acct_2", metadata={"order": "43"})
    assert differences(event(), changed) == ["event.amount_minor", "event.destination", "event.metadata"]
