"""Proves that the four machines are what they say: all states reachable, ends final, unknown left only by an answer."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledgerlink_payments.domain.machines import (
    ATTEMPT,
    INTENT,
    PAYOUT,
    REFUND,
    AttemptState,
    AttemptVerb,
    IllegalMove,
    IntentState,
    Machine,
    PayoutState,
    RefundState,
)

MACHINES: list[Machine[Any, Any]] = [INTENT, ATTEMPT, REFUND, PAYOUT]
VERBS = {machine.name: sorted({verb for _, verb in machine.moves}) for machine in MACHINES}


@pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: machine.name)
def test_every_state_can_be_reached_from_the_first(machine: Machine[Any, Any]) -> None:
    reached = {machine.initial}
    while True:
        further = reached | {to for (state, _), to in machine.moves.items() if state in reached}
        if further == reached:
            break
        reached = further
    states: list[Any] = list(machine.states)  # pyright: ignore[reportArgumentType, reportUnknownVariableType]
    assert reached == set(states)


@pytest.mark.parametrize(
    ("machine", "ends"),
    [
        (INTENT, {IntentState.SUCCEEDED, IntentState.CANCELED}),
        (ATTEMPT, {AttemptState.CAPTURED, AttemptState.VOIDED, AttemptState.DECLINED, AttemptState.FAILED}),
        (REFUND, {RefundState.FAILED}),
        (PAYOUT, {PayoutState.FAILED}),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_only_the_ends_are_final(machine: Machine[Any, Any], ends: set[object]) -> None:
    assert machine.final() == ends


@given(st.data())
def test_a_walk_over_any_verbs_stays_within_the_table(data: st.DataObject) -> None:
    machine = data.draw(st.sampled_from(MACHINES))
    state = machine.initial
    for verb in data.draw(st.lists(st.sampled_from(VERBS[machine.name]), max_size=30)):
        if machine.may(state, verb):
            state = machine.move(state, verb)
        else:
            with pytest.raises(IllegalMove, match=f"{machine.name}: {verb.value} does not follow from {state.value}"):
                machine.move(state, verb)
        assert state in machine.states


def test_unknown_is_left_only_by_what_a_provider_can_say() -> None:
    leaving = {verb for (state, verb) in ATTEMPT.moves if state is AttemptState.UNKNOWN}
    said = {AttemptVerb.AUTHORIZED, AttemptVerb.CAPTURED, AttemptVerb.VOIDED, AttemptVerb.DECLINED, AttemptVerb.FAILED}
    assert leaving == said


def test_nothing_is_sent_that_risk_has_not_checked() -> None:
    assert {state for (state, verb) in ATTEMPT.moves if verb is AttemptVerb.SEND} == {AttemptState.CHECKED}


def test_a_machine_gives_its_check_constraint_and_its_diagram() -> None:
    assert REFUND.check_sql("state") == "state IN ('created', 'pending', 'succeeded', 'failed', 'unknown')"
    drawn = PAYOUT.mermaid().splitlines()
    assert drawn[:2] == ["stateDiagram-v2", "    [*] --> created"]
    assert "    in_transit --> paid: paid" in drawn
    assert drawn[-1] == "    failed --> [*]"
