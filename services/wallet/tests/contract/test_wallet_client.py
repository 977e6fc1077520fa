"""Proves that the fake ledger and the real one keep the same promises to those who call them: one suite over both."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from services.wallet.tests.conftest import SERVICE_SCOPES, MakeDatabase, run_service

from ledgerlink_contracts.ids import HoldId, TransferId, UserId, WalletId
from ledgerlink_contracts.wallet.client import HttpWalletClient, WalletClient
from ledgerlink_contracts.wallet.fake import FakeWallet
from ledgerlink_contracts.wallet.groups import GroupCapture, GroupItem, GroupOrder, GroupReversal
from ledgerlink_contracts.wallet.models import (
    AccountOrder,
    CaptureOrder,
    ConditionOrder,
    HoldOrder,
    HoldState,
    PostingOrder,
    ReversalOrder,
    ReversalPart,
    TransferOrder,
)
from ledgerlink_kit.auth import ServiceTokens
from ledgerlink_kit.clock import SystemClock
from ledgerlink_kit.errors import Defect, Refused
from ledgerlink_kit.http_client import HttpClient
from ledgerlink_kit.testing import AsgiTransport

ALICE, BOB = UserId.derive("alice"), UserId.derive("bob")
OpenWallet = Callable[[UserId, int], Awaitable[WalletId]]


@dataclass(frozen=True)
class World:
    """A ledger, and a way to open a funded wallet in it."""

    ledger: WalletClient
    open_wallet: OpenWallet


@pytest.fixture(params=["fake", "real"])
async def world(request: pytest.FixtureRequest, make_database: MakeDatabase) -> AsyncIterator[World]:
    if request.param == "fake":
        fake = FakeWallet(SystemClock())

        async def open_fake(owner: UserId, funds: int) -> WalletId:
            wallet = fake.open_wallet(owner, "GBP")
            if funds:
                fake.fund(wallet, funds, "GBP")
            return wallet

        yield World(fake, open_fake)
        return
    async with run_service(await make_database("ledgerlink_wallet")) as service:

        async def token() -> tuple[str, float]:
            return service.mint.token("svc_payments", SERVICE_SCOPES, kind="service"), 600.0

        async def open_real(owner: UserId, funds: int) -> WalletId:
            return WalletId.parse(await service.wallet(str(owner), funds=funds, key=f"{owner} {funds}"))

        http = HttpClient(
            "http://wallet",
            name="wallet",
            tokens=ServiceTokens(token, SystemClock()),
            transport=AsgiTransport(service.app),
        )
        yield World(HttpWalletClient(http), open_real)
        await http.close()


def order(debit: object, credit: object, minor: int, id_: str = "t", **more: Any) -> TransferOrder:
    posting = PostingOrder(debit=str(debit), credit=str(credit), amount_minor=minor, currency="GBP")
    return TransferOrder(id=TransferId.derive(id_), kind="test", postings=[posting], **more)


async def refusal(asked: Awaitable[object]) -> tuple[str, dict[str, Any]]:
    with pytest.raises(Refused) as refused:
        await asked
    return refused.value.code, refused.value.members


async def test_a_transfer_is_posted_once_under_its_id_and_read_back(world: World) -> None:
    wallet = await world.open_wallet(ALICE, 500)
    first = await world.ledger.post_transfer(order(wallet, "merchant:m", 200, on_behalf_of=ALICE))
    again = await world.ledger.post_transfer(order(wallet, "merchant:m", 200, on_behalf_of=ALICE))
    read = await world.ledger.transfer(first.id)
    balance = (await world.ledger.wallet(wallet)).balances[0]

    assert first == again == read
    assert [entry.posted_minor for entry in first.entries] == [300, 200]
    assert (balance.posted_minor, balance.available_minor) == (300, 300)


async def test_refusals_have_the_same_codes_and_members(world: World) -> None:
    ledger, wallet = world.ledger, await world.open_wallet(ALICE, 100)
    nowhere = WalletId.derive("nowhere")
    await ledger.post_transfer(order(wallet, "merchant:m", 10, "used"))

    code, members = await refusal(ledger.post_transfer(order(wallet, "merchant:m", 91, "a")))
    assert (code, members["available_minor"], members["currency"]) == ("insufficient-funds", 90, "GBP")
    code, members = await refusal(ledger.post_transfer(order(wallet, "merchant:x", 10, "used", reference="r")))
    assert code == "id-reused"
    assert "reference" in members["differs"]
    for asked, code in (
        (ledger.post_transfer(order(wallet, "merchant:m", 91, "a")), "insufficient-funds"),
        (ledger.post_transfer(order(wallet, "merchant:m", 1, "b", on_behalf_of=BOB)), "wallet-not-found"),
        (ledger.post_transfer(order(wallet, nowhere, 1, "c")), "wallet-not-found"),
        (ledger.post_transfer(order(wallet, "no_such_root", 1, "d")), "unknown-account-code"),
        (ledger.post_transfer(order(wallet, wallet, 1, "e")), "same-account"),
        (ledger.transfer(TransferId.derive("none")), "transfer-not-found"),
        (ledger.hold(HoldId.derive("none")), "hold-not-found"),
        (ledger.release_hold(HoldId.derive("none")), "hold-not-found"),
        (ledger.wallet(nowhere), "wallet-not-found"),
    ):
        assert (await refusal(asked))[0] == code


async def test_an_order_without_an_id_is_a_defect_of_the_caller(world: World) -> None:
    with pytest.raises(Defect):
        await world.ledger.post_transfer(order("world", "merchant:m", 1).model_copy(update={"id": None}))


async def test_holds_are_placed_captured_in_part_and_released(world: World) -> None:
    ledger, wallet = world.ledger, await world.open_wallet(ALICE, 1_000)
    placed = HoldOrder(
        id=HoldId.derive("h"), wallet=wallet, amount_minor=600, currency="GBP", on_behalf_of=ALICE, reference="r"
    )
    first = await ledger.place_hold(placed)
    assert await ledger.place_hold(placed) == first
    capture = CaptureOrder(id=TransferId.derive("c"), credit="merchant:m", amount_minor=250, final=False)
    captured = await ledger.capture_hold(first.id, capture)
    assert await ledger.capture_hold(first.id, capture) == captured
    code, members = await refusal(
        ledger.capture_hold(first.id, CaptureOrder(id=TransferId.derive("d"), credit="world", amount_minor=351))
    )
    released = await ledger.release_hold(first.id)
    again = await ledger.release_hold(first.id)
    late, _ = await refusal(ledger.capture_hold(first.id, CaptureOrder(id=TransferId.derive("e"), credit="world")))

    assert (first.state, first.balance.available_minor) == (HoldState.PLACED, 400)
    assert (captured.hold.captured_minor, captured.hold.remaining_minor) == (250, 350)
    assert (captured.transfer.hold, captured.transfer.on_behalf_of) == (first.id, str(ALICE))
    assert (code, members["remaining_minor"]) == ("hold-exceeded", 350)
    assert (released.state, released.remaining_minor, again) == (HoldState.RELEASED, 0, released)
    assert late == "hold-not-placed"
    assert (await ledger.wallet(wallet)).balances[0].available_minor == 750


async def test_a_final_capture_frees_the_rest_and_posts_extra_postings(world: World) -> None:
    ledger, wallet = world.ledger, await world.open_wallet(ALICE, 1_000)
    expires = SystemClock().now() + timedelta(hours=1)
    hold = await ledger.place_hold(
        HoldOrder(id=HoldId.derive("h"), wallet=wallet, amount_minor=600, currency="GBP", expires_at=expires)
    )
    fee = PostingOrder(debit="merchant:m", credit="revenue:fees", amount_minor=9, currency="GBP")
    view = await ledger.capture_hold(
        hold.id, CaptureOrder(id=TransferId.derive("c"), credit="merchant:m", amount_minor=300, postings=[fee])
    )

    assert view.hold.state is HoldState.CAPTURED
    assert [posting.amount_minor for posting in view.transfer.postings] == [300, 9]
    assert view.hold.balance.available_minor == 700
    assert [account.posted_minor for account in await ledger.accounts("merchant:m")] == [291]
    assert [account.code for account in await ledger.accounts("revenue")] == ["revenue:fees"]
    assert await ledger.accounts("bank") == []


async def test_a_hold_in_the_past_or_above_the_funds_is_refused(world: World) -> None:
    ledger, wallet = world.ledger, await world.open_wallet(ALICE, 100)
    past = SystemClock().now() - timedelta(seconds=1)

    def hold(id_: str, minor: int, **more: Any) -> HoldOrder:
        return HoldOrder(id=HoldId.derive(id_), wallet=wallet, amount_minor=minor, currency="GBP", **more)

    assert (await refusal(ledger.place_hold(hold("a", 1, expires_at=past))))[0] == "hold-expires-in-the-past"
    assert (await refusal(ledger.place_hold(hold("b", 101))))[0] == "insufficient-funds"
    assert (await refusal(ledger.place_hold(hold("c", 1, on_behalf_of=BOB))))[0] == "wallet-not-found"


async def test_a_transfer_is_reversed_in_parts_and_never_above_what_was_posted(world: World) -> None:
    ledger, wallet = world.ledger, await world.open_wallet(ALICE, 100)
    made = await ledger.post_transfer(order(wallet, "merchant:m", 100))
    part = ReversalOrder(id=TransferId.derive("p"), parts=[ReversalPart(posting=0, amount_minor=30)])
    first = await ledger.reverse_transfer(made.id, part)
    assert await ledger.reverse_transfer(made.id, part) == first
    code, members = await refusal(
        ledger.reverse_transfer(
            made.id, ReversalOrder(id=TransferId.derive("q"), parts=[ReversalPart(posting=0, amount_minor=71)])
        )
    )
    rest = await ledger.reverse_transfer(made.id, ReversalOrder(id=TransferId.derive("r")))
    over, _ = await refusal(ledger.reverse_transfer(made.id, ReversalOrder(id=TransferId.derive("s"))))
    twice, _ = await refusal(ledger.reverse_transfer(first.id, ReversalOrder(id=TransferId.derive("u"))))

    assert first.reverses == made.id
    assert (code, members["reversible_minor"]) == ("reversal-exceeded", 70)
    assert rest.postings[0].amount_minor == 70
    assert (over, twice) == ("reversal-exceeded", "reversal-of-reversal")
    assert (await ledger.wallet(wallet)).balances[0].available_minor == 100


async def test_all_postings_are_posted_or_none(world: World) -> None:
    ledger, wallet = world.ledger, await world.open_wallet(ALICE, 100)
    both = TransferOrder(
        id=TransferId.derive("both"),
        kind="test",
        postings=[
            PostingOrder(debit=str(wallet), credit="merchant:m", amount_minor=60, currency="GBP"),
            PostingOrder(debit=str(wallet), credit="merchant:m", amount_minor=41, currency="GBP"),
        ],
    )
    code, _ = await refusal(ledger.post_transfer(both))

    assert code == "insufficient-funds"
    assert (await ledger.wallet(wallet)).balances[0].available_minor == 100


async def test_a_floor_and_a_ceiling_hold_for_accounts_opened_with_them(world: World) -> None:
    bounds = AccountOrder(code="merchant:m", currency="GBP", floor_minor=-10, ceiling_minor=20)

    opened = await world.ledger.open_account(bounds)
    again = await world.ledger.open_account(bounds)
    other, bounded = await refusal(world.ledger.open_account(AccountOrder(code="merchant:m", currency="GBP")))
    below, floor = await refusal(world.ledger.post_transfer(order("merchant:m", "world", 11, "below")))
    above, ceiling = await refusal(world.ledger.post_transfer(order("world", "merchant:m", 21, "above")))

    assert (opened.floor_minor, opened.ceiling_minor, again.id) == (-10, 20, opened.id)
    assert (other, bounded["floor_minor"], bounded["ceiling_minor"]) == ("account-exists", -10, 20)
    assert (below, floor["available_minor"], floor["floor_minor"]) == ("floor", 0, -10)
    assert (above, ceiling["posted_minor"], ceiling["ceiling_minor"]) == ("ceiling", 0, 20)


async def test_a_wallet_has_no_floor_below_zero(world: World) -> None:
    wallet = await world.open_wallet(ALICE, 100)

    code, _ = await refusal(world.ledger.open_account(AccountOrder(code=str(wallet), currency="EUR", floor_minor=-1)))

    assert code == "wallet-floor"


@pytest.mark.parametrize(
    ("condition", "actual"),
    [
        ({"version": 7}, 2),
        ({"available_at_least": 61}, 60),
        ({"available_at_most": 59}, 60),
        ({"posted_at_least": 101}, 100),
        ({"posted_at_most": 99}, 100),
        ({"pending_at_least": 41}, 40),
        ({"pending_at_most": 39}, 40),
    ],
)
async def test_a_condition_that_fails_is_named_with_the_number(
    world: World, condition: dict[str, int], actual: int
) -> None:
    wallet = await world.open_wallet(ALICE, 100)
    hold = HoldOrder(id=HoldId.derive("h"), wallet=wallet, amount_minor=40, currency="GBP")
    await world.ledger.place_hold(hold)
    asked = ConditionOrder.model_validate({"account": str(wallet), "currency": "GBP", **condition})

    code, members = await refusal(world.ledger.post_transfer(order(wallet, "world", 1, conditions=[asked])))

    assert code == "condition-failed"
    assert (members["condition"], members["predicate"], members["actual"]) == (0, next(iter(condition)), actual)
    assert (await world.ledger.wallet(wallet)).balances[0].posted_minor == 100


async def test_a_group_is_carried_out_whole_and_repeated_as_it_was(world: World) -> None:
    wallet = await world.open_wallet(ALICE, 100)
    hold = HoldOrder(id=HoldId.derive("h"), wallet=wallet, amount_minor=40, currency="GBP")
    capture = GroupCapture(id=TransferId.derive("c"), hold=HoldId.derive("h"), credit="merchant:m")
    reversal = GroupReversal(id=TransferId.derive("r"), transfer=TransferId.derive("t"))
    items = [
        GroupItem(hold=hold),
        GroupItem(capture=capture),
        GroupItem(transfer=order(wallet, "merchant:m", 10)),
        GroupItem(reversal=reversal),
    ]

    done = await world.ledger.post_group(GroupOrder(items=items))
    again = await world.ledger.post_group(GroupOrder(items=items))
    alone, _ = await refusal(world.ledger.post_transfer(order(wallet, "merchant:m", 10)))

    assert again == done
    assert done.items[1].capture is not None
    assert done.items[1].capture.hold.state is HoldState.CAPTURED
    assert alone == "id-reused"
    assert (await world.ledger.wallet(wallet)).balances[0].available_minor == 60


async def test_a_group_with_one_refusal_leaves_nothing_and_names_the_item(world: World) -> None:
    wallet = await world.open_wallet(ALICE, 100)
    items = [
        GroupItem(transfer=order(wallet, "merchant:m", 60, "one")),
        GroupItem(transfer=order(wallet, "merchant:m", 60, "two")),
    ]

    first, members = await refusal(world.ledger.post_group(GroupOrder(items=items)))
    again, _ = await refusal(world.ledger.post_group(GroupOrder(items=items)))
    missing, _ = await refusal(world.ledger.transfer(TransferId.derive("one")))

    assert (first, again, missing) == ("insufficient-funds", "insufficient-funds", "transfer-not-found")
    assert (members["item"], members["available_minor"]) == (1, 40)
    assert (await world.ledger.wallet(wallet)).balances[0].available_minor == 100


async def test_a_group_with_an_id_that_was_used_is_refused(world: World) -> None:
    wallet = await world.open_wallet(ALICE, 100)
    used = order(wallet, "merchant:m", 1, "used")
    done = await world.ledger.post_transfer(used)
    items = [GroupItem(transfer=order(wallet, "merchant:m", 2, "new")), GroupItem(transfer=used)]

    code, members = await refusal(world.ledger.post_group(GroupOrder(items=items)))

    assert (code, members["item"]) == ("id-reused", 1)
    assert await world.ledger.post_transfer(used) == done
