"""Proves that every refusal is given when it should be, in the documented precedence, and changes nothing."""

import json
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest

from ledgerlink_contracts.ids import WalletId
from ledgerlink_contracts.wallet.models import HoldState, Predicate, Standing
from ledgerlink_contracts.wallet.refusals import KINDS, RefusalCode
from ledgerlink_kit.ids import uuid8
from ledgerlink_kit.money import MAX_MINOR
from ledgerlink_wallet.domain.apply import apply
from ledgerlink_wallet.domain.books import (
    Account,
    AccountKey,
    Hold,
    HoldKey,
    Movement,
    Original,
    Posting,
    TransferKey,
    WalletKey,
    unopened,
)
from ledgerlink_wallet.domain.content import content_of
from ledgerlink_wallet.domain.orders import (
    Allowance,
    Books,
    Captured,
    CaptureHold,
    ChangeStanding,
    Command,
    Condition,
    ExpireHold,
    HoldChanged,
    OpenAccount,
    Outcome,
    PlaceHold,
    Posted,
    PostTransfer,
    Refusal,
    ReleaseHold,
    Remembered,
    Replayed,
    ReverseTransfer,
    StandingChanged,
)
from ledgerlink_wallet.domain.parties import party_of, wallet_facts

NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)
ALICE = WalletKey(uuid8("alice"))
BOB = WalletKey(uuid8("bob"))
NOBODY = WalletKey(uuid8("nobody"))


def wire(wallet: WalletKey) -> str:
    return str(WalletId(wallet))


def account(wallet: WalletKey, funds: int, currency: str = "GBP", standing: Standing = Standing.OPEN) -> Account:
    facts = wallet_facts(wallet, currency)
    return unopened(facts)._replace(credits_posted=funds, standing=standing, version=1)


def bounded(code: str, floor: int | None, ceiling: int | None = None) -> Account:
    facts = party_of(code, "GBP").opens
    assert facts is not None
    return unopened(facts._replace(floor_minor=floor, ceiling_minor=ceiling))


def condition(party: str, predicate: Predicate, value: int, currency: str = "GBP") -> Condition:
    return Condition(party_of(party, currency), currency, predicate, value)


def books(*accounts: Account, holds: tuple[Hold, ...] = (), originals: tuple[Original, ...] = ()) -> Books:
    return Books(
        accounts={one.facts.id: one for one in accounts},
        owners={ALICE: "alice", BOB: "bob"},
        holds={one.id: one for one in holds},
        originals={one.id: one for one in originals},
    )


FUNDED = account(ALICE, 1_000)


def posting(debit: str, credit: str, amount: int = 100, currency: str = "GBP") -> Posting:
    return Posting(party_of(debit, currency), party_of(credit, currency), amount, currency)


def transfer(*postings: Posting, id_: str = "t", owner: str | None = None, fields: bytes = b'{"a":1}') -> PostTransfer:
    return PostTransfer(TransferKey(uuid8(id_)), content_of(fields), "test", postings, owner)


def hold(state: HoldState = HoldState.PLACED, left: int = 300, expires_at: datetime | None = None) -> Hold:
    return Hold(HoldKey(uuid8("h")), FUNDED.facts, state, 300, 300 - left, left, expires_at, "alice", None, NOW)


HELD = FUNDED._replace(debits_pending=300)


def place(amount: int = 100, expires_at: datetime | None = None, wallet: WalletKey = ALICE) -> PlaceHold:
    party = party_of(wire(wallet), "GBP")
    return PlaceHold(HoldKey(uuid8("new hold")), content_of(b"{}"), party, amount, "GBP", expires_at, "alice")


def capture(
    amount: int | None = None, credit: str = "merchant:m", *, final: bool = True, extra: tuple[Posting, ...] = ()
) -> CaptureHold:
    return CaptureHold(
        TransferKey(uuid8("c")), content_of(b"{}"), HoldKey(uuid8("h")), "test", credit, amount, final, extra
    )


def original(*, reversed_minor: int = 0, reverses: TransferKey | None = None) -> Original:
    movement = Movement(FUNDED.facts, 1, wallet_facts(BOB, "GBP"), 1, 100, "GBP", None)
    return Original(TransferKey(uuid8("o")), reverses, (movement,), (reversed_minor,))


def reverse(*parts: tuple[int, int]) -> ReverseTransfer:
    return ReverseTransfer(
        TransferKey(uuid8("r")), content_of(b"{}"), TransferKey(uuid8("o")), "reversal", parts or None
    )


def one(given: Books, command: Command) -> Outcome:
    decided = apply(given, [command], NOW)
    if isinstance(decided.outcomes[0], Refusal):
        assert decided.accounts == {}
        assert decided.holds == {}
        assert decided.originals == {}
    return decided.outcomes[0]


PAST, FUTURE = NOW - timedelta(seconds=1), NOW + timedelta(seconds=1)
A, B = wire(ALICE), wire(BOB)
AT_LEAST = condition(A, Predicate.AVAILABLE_AT_LEAST, 1_001)

LIMITED = replace(books(FUNDED), allowances={FUNDED.facts.id: Allowance(9, 9, 9, NOW.date(), 0, date(2026, 1, 1), 0)})

REFUSED: list[tuple[RefusalCode, Books, Command]] = [
    (RefusalCode.TRANSFER_NOT_FOUND, books(), reverse()),
    (RefusalCode.HOLD_NOT_FOUND, books(), capture()),
    (RefusalCode.HOLD_NOT_FOUND, books(), ReleaseHold(HoldKey(uuid8("h")))),
    (RefusalCode.HOLD_NOT_PLACED, books(FUNDED, holds=(hold(HoldState.CAPTURED, 0),)), capture(999, "no:such:code")),
    (RefusalCode.HOLD_NOT_PLACED, books(HELD, holds=(hold(expires_at=NOW),)), capture()),
    (RefusalCode.HOLD_NOT_PLACED, books(HELD, holds=(hold(expires_at=NOW),)), ReleaseHold(HoldKey(uuid8("h")))),
    (
        RefusalCode.HOLD_NOT_PLACED,
        books(FUNDED, holds=(hold(HoldState.CAPTURED, 0),)),
        ReleaseHold(HoldKey(uuid8("h"))),
    ),
    (RefusalCode.HOLD_NOT_PLACED, books(HELD, holds=(hold(expires_at=FUTURE),)), ExpireHold(HoldKey(uuid8("h")))),
    (RefusalCode.HOLD_NOT_PLACED, books(HELD, holds=(hold(),)), ExpireHold(HoldKey(uuid8("h")))),
    (
        RefusalCode.HOLD_NOT_PLACED,
        books(FUNDED, holds=(hold(HoldState.RELEASED, 0, PAST),)),
        ExpireHold(HoldKey(uuid8("h"))),
    ),
    (RefusalCode.HOLD_EXCEEDED, books(HELD, holds=(hold(),)), capture(301, "no:such:code")),
    (RefusalCode.REVERSAL_OF_REVERSAL, books(originals=(original(reverses=TransferKey(uuid8("x"))),)), reverse()),
    (RefusalCode.REVERSAL_EXCEEDED, books(originals=(original(reversed_minor=100),)), reverse()),
    (RefusalCode.REVERSAL_EXCEEDED, books(originals=(original(reversed_minor=60),)), reverse((0, 41))),
    (RefusalCode.REVERSAL_EXCEEDED, books(originals=(original(),)), reverse((0, 60), (0, 41))),
    (RefusalCode.REVERSAL_EXCEEDED, books(originals=(original(),)), reverse((1, 1))),
    (RefusalCode.QUOTE_EXPIRED, books(), replace(transfer(posting("no_such_root", B)), expires_at=NOW)),
    (RefusalCode.UNKNOWN_ACCOUNT_CODE, books(), transfer(posting("no_such_root", "no_such_root"))),
    (RefusalCode.UNKNOWN_ACCOUNT_CODE, books(FUNDED), transfer(posting(A, f"wallet:{B}"))),
    (RefusalCode.UNKNOWN_ACCOUNT_CODE, books(FUNDED), transfer(posting(A, "wal_nonsense"))),
    (RefusalCode.UNKNOWN_ACCOUNT_CODE, books(FUNDED), transfer(posting("world", "acc_nonsense"))),
    (RefusalCode.UNKNOWN_ACCOUNT_CODE, books(HELD, holds=(hold(),)), capture(credit="no:such:code")),
    (
        RefusalCode.ACCOUNT_NOT_FOUND,
        books(FUNDED),
        transfer(posting(A, "acc_00000000000000000000000000")),
    ),
    (RefusalCode.ACCOUNT_NOT_FOUND, books(), ChangeStanding(AccountKey(uuid8("none")), Standing.FROZEN)),
    (RefusalCode.WALLET_NOT_FOUND, books(FUNDED), transfer(posting(A, wire(NOBODY)))),
    (RefusalCode.WALLET_NOT_FOUND, books(FUNDED), transfer(posting(A, A), owner="bob")),
    (RefusalCode.WALLET_NOT_FOUND, books(FUNDED), place(wallet=BOB)),
    (RefusalCode.SAME_ACCOUNT, books(account(ALICE, 0)), transfer(posting(A, A))),
    (RefusalCode.HOLD_EXPIRES_IN_THE_PAST, books(), place(5, NOW)),
    (RefusalCode.WALLET_FLOOR, books(FUNDED), OpenAccount(party_of(A, "GBP"), "GBP", -1)),
    (RefusalCode.ACCOUNT_EXISTS, books(FUNDED), OpenAccount(party_of(A, "GBP"), "GBP", None, 5)),
    (RefusalCode.ACCOUNT_EXISTS, books(bounded("world", -5)), OpenAccount(party_of("world", "GBP"), "GBP")),
    (RefusalCode.ACCOUNT_FROZEN, books(account(ALICE, 0, standing=Standing.FROZEN)), transfer(posting(A, B))),
    (RefusalCode.ACCOUNT_FROZEN, books(FUNDED, account(BOB, 0, standing=Standing.FROZEN)), transfer(posting(A, B))),
    (RefusalCode.ACCOUNT_FROZEN, books(account(ALICE, 0, standing=Standing.FROZEN)), place()),
    (
        RefusalCode.ACCOUNT_FROZEN,
        books(HELD._replace(standing=Standing.FROZEN), holds=(hold(),)),
        capture(),
    ),
    (RefusalCode.ACCOUNT_CLOSED, books(account(ALICE, 0, standing=Standing.CLOSED)), transfer(posting(A, B))),
    (
        RefusalCode.ACCOUNT_CLOSED,
        books(account(ALICE, 0, standing=Standing.CLOSED)),
        ChangeStanding(FUNDED.facts.id, Standing.OPEN),
    ),
    (RefusalCode.ACCOUNT_NOT_EMPTY, books(FUNDED), ChangeStanding(FUNDED.facts.id, Standing.CLOSED)),
    (RefusalCode.CONDITION_FAILED, books(FUNDED), replace(transfer(posting(A, B, 1_001)), conditions=(AT_LEAST,))),
    (RefusalCode.CONDITION_FAILED, books(FUNDED), replace(place(1_001), conditions=(AT_LEAST,))),
    (RefusalCode.CONDITION_FAILED, books(HELD, holds=(hold(),)), replace(capture(), conditions=(AT_LEAST,))),
    (RefusalCode.CONDITION_FAILED, books(originals=(original(),)), replace(reverse(), conditions=(AT_LEAST,))),
    (RefusalCode.LIMIT_EXCEEDED, LIMITED, replace(transfer(posting(A, B, 1_001)), spends=True)),
    (RefusalCode.LIMIT_EXCEEDED, LIMITED, replace(place(1_001), spends=True)),
    (RefusalCode.INSUFFICIENT_FUNDS, books(FUNDED), transfer(posting(A, B, 1_001))),
    (RefusalCode.INSUFFICIENT_FUNDS, books(HELD), transfer(posting(A, B, 701))),
    (RefusalCode.INSUFFICIENT_FUNDS, books(FUNDED), transfer(posting(A, B, 600), posting(A, B, 401))),
    (RefusalCode.INSUFFICIENT_FUNDS, books(FUNDED), place(1_001)),
    (RefusalCode.INSUFFICIENT_FUNDS, books(originals=(original(),)), reverse()),
    (
        RefusalCode.INSUFFICIENT_FUNDS,
        books(HELD, holds=(hold(),)),
        capture(extra=(posting(A, B, 701),)),
    ),
    (RefusalCode.INSUFFICIENT_FUNDS, books(bounded("merchant:m", 0)), transfer(posting("merchant:m", A, 1))),
    (RefusalCode.FLOOR, books(bounded("merchant:m", -9)), transfer(posting("merchant:m", A, 10))),
    (RefusalCode.FLOOR, books(FUNDED, bounded("world", -9)), transfer(posting(A, "world", 10))),
    (RefusalCode.CEILING, books(bounded("revenue:fees", None, 9)), transfer(posting("world", "revenue:fees", 10))),
    (RefusalCode.CEILING, books(FUNDED, bounded("bank", None, 9)), transfer(posting("bank", A, 10))),
    (
        RefusalCode.BALANCE_LIMIT,
        books(account(BOB, MAX_MINOR)),
        transfer(posting("world", B, 1)),
    ),
]


@pytest.mark.parametrize(("code", "given", "command"), REFUSED)
def test_each_refusal_is_given_for_its_cause_and_changes_nothing(
    code: RefusalCode, given: Books, command: Command
) -> None:
    outcome = one(given, command)

    assert isinstance(outcome, Refusal)
    assert outcome.code is code
    assert outcome.detail


def test_every_refusal_has_a_row_here_and_a_kind() -> None:
    elsewhere = {RefusalCode.ID_REUSED, RefusalCode.CURRENCY_MISMATCH, RefusalCode.LINKED_REFUSED}
    tested = {code for code, _, _ in REFUSED} | elsewhere

    precedence = [list(RefusalCode).index(code) for code, _, _ in REFUSED]
    assert precedence == sorted(precedence)
    assert tested == set(RefusalCode)
    assert list(KINDS) == list(RefusalCode)


LAYERS: list[tuple[RefusalCode, Books, Command]] = [
    (
        RefusalCode.UNKNOWN_ACCOUNT_CODE,
        books(account(ALICE, 0, standing=Standing.FROZEN)),
        replace(transfer(posting(A, B, 9)), conditions=(condition("no_such_root", Predicate.VERSION, 9),)),
    ),
    (
        RefusalCode.ACCOUNT_FROZEN,
        books(account(ALICE, 0, standing=Standing.FROZEN)),
        replace(transfer(posting(A, B, 9)), conditions=(AT_LEAST,)),
    ),
    (RefusalCode.CONDITION_FAILED, books(), replace(transfer(posting(A, B, 9)), conditions=(AT_LEAST,))),
    (
        RefusalCode.INSUFFICIENT_FUNDS,
        books(bounded("bank", None, 0)),
        transfer(posting(A, "world"), posting("bank", B)),
    ),
    (RefusalCode.CEILING, books(bounded("bank", None, 0)), transfer(posting("bank", B), posting(A, "world"))),
    (
        RefusalCode.CEILING,
        books(unopened(bounded("bank", None, MAX_MINOR).facts)._replace(debits_posted=MAX_MINOR)),
        transfer(posting("bank", B, 1)),
    ),
]


@pytest.mark.parametrize(("code", "given", "command"), LAYERS)
def test_where_several_reasons_apply_the_first_in_precedence_is_given(
    code: RefusalCode, given: Books, command: Command
) -> None:
    outcome = one(given, command)

    assert isinstance(outcome, Refusal)
    assert outcome.code is code


def test_an_account_named_by_its_id_takes_its_own_currency_only() -> None:
    held = account(ALICE, 50, "JPY")
    party = f"acc_{'0' * 26}"
    by_id = party_of(party, "GBP")._replace(account=held.facts.id)
    given = Posting(by_id, party_of(B, "GBP"), 1, "GBP")

    outcome = one(books(held), transfer(given))

    assert isinstance(outcome, Refusal)
    assert outcome.code is RefusalCode.CURRENCY_MISMATCH
    assert outcome.members["account_currency"] == "JPY"


def test_a_known_id_comes_before_every_other_reason() -> None:
    command = transfer(posting("no_such_root", "no_such_root"))
    remembered = {command.id: Remembered(content_of(b'{"a":2,"b":[1,{"c":1}],"d":[1]}'), b"{}")}
    given = replace(books(), remembered=remembered)
    other = replace(command, content=content_of(b'{"a":3,"b":[1,{"c":2}],"d":[1,2]}'))

    outcome = one(given, other)

    assert isinstance(outcome, Refusal)
    assert outcome.code is RefusalCode.ID_REUSED
    assert outcome.members["differs"] == ["a", "b.1.c", "d"]


def test_the_same_id_and_content_gives_the_remembered_outcome_even_if_it_was_a_refusal() -> None:
    command = transfer(posting(A, B, 5_000))
    given = books(FUNDED)

    decided = apply(given, [command, command], NOW)

    first, second = decided.outcomes
    assert isinstance(first, Refusal)
    assert isinstance(second, Replayed)
    assert second.remembered.answer is first


def test_insufficient_funds_tells_what_is_available() -> None:
    outcome = one(books(HELD), transfer(posting(A, B, 800)))

    assert isinstance(outcome, Refusal)
    assert outcome.members == {"available_minor": 700, "currency": "GBP", "party": A}


def test_a_command_that_is_refused_leaves_its_neighbours_in_the_batch_alone() -> None:
    commands = [
        transfer(posting(A, B, 600), id_="1"),
        transfer(posting(A, B, 600), id_="2"),
        transfer(posting(A, B, 400), id_="3"),
    ]

    decided = apply(books(FUNDED), commands, NOW)

    assert [type(outcome) for outcome in decided.outcomes] == [Posted, Refusal, Posted]
    assert decided.accounts[FUNDED.facts.id].posted_minor == 0


def test_money_may_pass_through_an_account_within_one_transfer() -> None:
    outcome = one(books(), transfer(posting("world", A, 70), posting(A, B, 70)))

    assert isinstance(outcome, Posted)
    assert [entry.after.posted_minor for entry in outcome.entries] == [70, 70, 0, 70]
    assert [entry.after.version for entry in outcome.entries] == [1, 1, 2, 1]


def test_an_effective_date_is_kept_beside_the_date_of_record() -> None:
    command = replace(transfer(posting("world", A)), effective_at=PAST)

    outcome = one(books(), command)

    assert isinstance(outcome, Posted)
    assert (outcome.transfer.effective_at, outcome.transfer.recorded_at) == (PAST, NOW)


def test_partial_captures_use_up_a_hold_and_a_final_one_frees_the_rest() -> None:
    first = replace(capture(100, final=False), id=TransferKey(uuid8("c1")))
    second = replace(capture(50), id=TransferKey(uuid8("c2")))

    decided = apply(books(HELD, holds=(hold(),)), [first, second], NOW)

    one_, two = decided.outcomes
    assert isinstance(one_, Captured)
    assert isinstance(two, Captured)
    assert (one_.hold.state, one_.hold.remaining_minor) == (HoldState.PLACED, 200)
    assert (two.hold.state, two.hold.captured_minor, two.hold.remaining_minor) == (HoldState.CAPTURED, 150, 0)
    assert (two.account.posted_minor, two.account.pending_minor) == (850, 0)


def test_a_whole_capture_takes_what_is_left_and_posts_the_extra_postings_too() -> None:
    outcome = one(books(HELD, holds=(hold(),)), capture(extra=(posting("merchant:m", "revenue:fees", 9),)))

    assert isinstance(outcome, Captured)
    assert [m.amount_minor for m in outcome.transfer.movements] == [300, 9]
    assert outcome.hold.state is HoldState.CAPTURED


def test_releasing_and_expiring_give_back_what_is_left_and_may_be_repeated() -> None:
    for state, expires_at, command in (
        (HoldState.RELEASED, FUTURE, ReleaseHold(HoldKey(uuid8("h")))),
        (HoldState.EXPIRED, NOW, ExpireHold(HoldKey(uuid8("h")))),
    ):
        decided = apply(books(HELD, holds=(hold(expires_at=expires_at),)), [command, command], NOW)

        first, again = decided.outcomes
        assert isinstance(first, HoldChanged)
        assert isinstance(again, HoldChanged)
        assert first.hold.state is state
        assert first.account.available_minor == 1_000
        assert again.hold == first.hold
        assert again.entries == ()


def test_a_reversal_in_parts_ends_when_all_is_reversed() -> None:
    given = books(FUNDED, account(BOB, 100), originals=(original(),))
    part = replace(reverse((0, 60)), id=TransferKey(uuid8("r1")))
    rest = replace(reverse(), id=TransferKey(uuid8("r2")))
    more = replace(reverse(), id=TransferKey(uuid8("r3")))

    decided = apply(given, [part, rest, more], NOW)

    first, second, third = decided.outcomes
    assert isinstance(first, Posted)
    assert isinstance(second, Posted)
    assert second.transfer.movements[0].amount_minor == 40
    assert second.transfer.movements[0].reverses_posting == 0
    assert isinstance(third, Refusal)
    assert third.code is RefusalCode.REVERSAL_EXCEEDED
    assert decided.originals[original().id].reversed_minor == (100,)


def test_an_account_is_frozen_thawed_and_closed_when_empty() -> None:
    empty = account(ALICE, 0)
    key = empty.facts.id
    states = [Standing.FROZEN, Standing.OPEN, Standing.CLOSED, Standing.CLOSED]

    decided = apply(books(empty), [ChangeStanding(key, state) for state in states], NOW)

    assert all(isinstance(outcome, StandingChanged) for outcome in decided.outcomes)
    assert decided.accounts[key].standing is Standing.CLOSED


def test_the_largest_amount_goes_through_and_one_more_does_not() -> None:
    commands = [
        transfer(posting("world", A, MAX_MINOR), id_="1"),
        transfer(posting("world", B, 1), id_="2"),
    ]

    decided = apply(books(), commands, NOW)

    assert isinstance(decided.outcomes[0], Posted)
    refused = decided.outcomes[1]
    assert isinstance(refused, Refusal)
    assert refused.code is RefusalCode.BALANCE_LIMIT


def test_a_debit_normal_account_is_read_on_its_own_side() -> None:
    decided = apply(books(), [transfer(posting("clearing:sandbox", "merchant:m", 7))], NOW)

    by_code = {one.facts.code: one for one in decided.accounts.values()}
    assert by_code["clearing:sandbox"].posted_minor == 7
    assert by_code["clearing:sandbox"].pending_minor == 0
    assert by_code["merchant:m"].posted_minor == 7


def test_a_hold_on_a_debit_normal_account_waits_on_its_credit_side() -> None:
    debit_normal = party_of("bank", "GBP")
    command = replace(place(40), wallet=debit_normal, on_behalf_of=None)

    outcome = one(books(), command)

    assert isinstance(outcome, HoldChanged)
    assert (outcome.account.credits_pending, outcome.account.pending_minor) == (40, 40)


def test_fields_of_different_shape_differ_as_a_whole() -> None:
    command = transfer(posting("world", A), fields=json.dumps({"a": {"b": 1}}).encode())
    given = replace(books(), remembered={command.id: Remembered(content_of(b'{"a":[1]}'), b"{}")})

    outcome = one(given, command)

    assert isinstance(outcome, Refusal)
    assert outcome.members["differs"] == ["a"]
