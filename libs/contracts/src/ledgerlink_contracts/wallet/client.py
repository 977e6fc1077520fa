"""The ledger as another service calls it: the `WalletClient` protocol and its HTTP form.

Every order that moves money carries an id made by the caller, so that a repeat after a lost answer is a replay and
never a second movement. Refusals are `Refused` with a code of `RefusalCode`; a ledger that cannot be reached is
`Unavailable`, whose ``outcome_unknown`` says that the order may have been carried out: send it again, same id.
"""

from typing import Any, Protocol, TypeVar

from ledgerlink_contracts.ids import HoldId, TransferId, WalletId
from ledgerlink_contracts.wallet.groups import GroupOrder, GroupView
from ledgerlink_contracts.wallet.models import (
    AccountOrder,
    AccountPage,
    AccountView,
    CaptureOrder,
    CaptureView,
    HoldOrder,
    HoldView,
    ReversalOrder,
    TransferOrder,
    TransferView,
    WalletView,
    named,
)
from ledgerlink_kit.http_client import HttpClient, HttpReply, problem_to_refusal
from ledgerlink_kit.wire import RequestModel, ResponseModel

View = TypeVar("View", bound=ResponseModel)


class WalletClient(Protocol):
    """What the ledger does for other services. Orders must carry their ``id``."""

    async def post_transfer(self, order: TransferOrder) -> TransferView:
        """Post a transfer, or give the outcome that ``order.id`` had before. Raises `Refused`."""
        ...

    async def transfer(self, transfer: TransferId) -> TransferView:
        """Give a posted transfer. Raises `Refused` (`transfer-not-found`)."""
        ...

    async def reverse_transfer(self, transfer: TransferId, order: ReversalOrder) -> TransferView:
        """Reverse a transfer, whole or in part. Raises `Refused`."""
        ...

    async def post_group(self, order: GroupOrder) -> GroupView:
        """Carry out all items of ``order``, or none. Raises `Refused`, whose ``item`` is the first refused."""
        ...

    async def place_hold(self, order: HoldOrder) -> HoldView:
        """Reserve funds in a wallet. Raises `Refused`."""
        ...

    async def hold(self, hold: HoldId) -> HoldView:
        """Give a hold. Raises `Refused` (`hold-not-found`)."""
        ...

    async def capture_hold(self, hold: HoldId, order: CaptureOrder) -> CaptureView:
        """Collect a hold, whole or in part; ``order.id`` is the transfer's. Raises `Refused`."""
        ...

    async def release_hold(self, hold: HoldId) -> HoldView:
        """Give back what is left of a hold; releasing a released hold changes nothing. Raises `Refused`."""
        ...

    async def wallet(self, wallet: WalletId) -> WalletView:
        """Give a wallet with its balances. Raises `Refused` (`wallet-not-found`)."""
        ...

    async def accounts(self, code: str) -> list[AccountView]:
        """Give the accounts of ``code`` and below it, one per currency in use, at most 100; none is an empty list."""
        ...

    async def open_account(self, order: AccountOrder) -> AccountView:
        """Open an account with its bounds; one that stands so already stays so. Raises `Refused`."""
        ...


class HttpWalletClient:
    """`WalletClient` over HTTP, with the calling service's own token."""

    def __init__(self, http: HttpClient) -> None:
        """Call the wallet service through ``http``, whose token needs ledger:read, ledger:write and wallet:read."""
        self._http = http

    async def post_transfer(self, order: TransferOrder) -> TransferView:
        """Post a transfer, or give the outcome that ``order.id`` had before. Raises `Refused`."""
        return _read(TransferView, await self._post("/transfers", order, named(order.id)))

    async def transfer(self, transfer: TransferId) -> TransferView:
        """Give a posted transfer. Raises `Refused` (`transfer-not-found`)."""
        return _read(TransferView, await self._http.request("GET", f"/transfers/{transfer}"))

    async def reverse_transfer(self, transfer: TransferId, order: ReversalOrder) -> TransferView:
        """Reverse a transfer, whole or in part. Raises `Refused`."""
        return _read(TransferView, await self._post(f"/transfers/{transfer}/reverse", order, named(order.id)))

    async def post_group(self, order: GroupOrder) -> GroupView:
        """Carry out all items of ``order``, or none. Raises `Refused`, whose ``item`` is the first refused."""
        names = [named(item.order().id) for item in order.items]
        return _read(GroupView, await self._post("/transfers/groups", order, names[0]))

    async def place_hold(self, order: HoldOrder) -> HoldView:
        """Reserve funds in a wallet. Raises `Refused`."""
        return _read(HoldView, await self._post("/holds", order, named(order.id)))

    async def hold(self, hold: HoldId) -> HoldView:
        """Give a hold. Raises `Refused` (`hold-not-found`)."""
        return _read(HoldView, await self._http.request("GET", f"/holds/{hold}"))

    async def capture_hold(self, hold: HoldId, order: CaptureOrder) -> CaptureView:
        """Collect a hold, whole or in part; ``order.id`` is the transfer's. Raises `Refused`."""
        return _read(CaptureView, await self._post(f"/holds/{hold}/capture", order, named(order.id)))

    async def release_hold(self, hold: HoldId) -> HoldView:
        """Give back what is left of a hold; releasing a released hold changes nothing. Raises `Refused`."""
        return _read(HoldView, await self._http.request("POST", f"/holds/{hold}/release"))

    async def wallet(self, wallet: WalletId) -> WalletView:
        """Give a wallet with its balances. Raises `Refused` (`wallet-not-found`)."""
        return _read(WalletView, await self._http.request("GET", f"/wallets/{wallet}"))

    async def accounts(self, code: str) -> list[AccountView]:
        """Give the accounts of ``code`` and below it, one per currency in use, at most 100; none is an empty list."""
        params = {"code": code, "limit": "100"}
        return _read(AccountPage, await self._http.request("GET", "/accounts", params=params)).items

    async def open_account(self, order: AccountOrder) -> AccountView:
        """Open an account with its bounds; one that stands so already stays so. Raises `Refused`."""
        body: dict[str, Any] = order.model_dump(mode="json", exclude_none=True)
        return _read(AccountView, await self._http.request("POST", "/accounts", json=body))

    async def _post(self, path: str, order: RequestModel, key: str) -> HttpReply:
        body: dict[str, Any] = order.model_dump(mode="json", exclude_none=True)
        return await self._http.request("POST", path, json=body, idempotency_key=key)


def _read(view: type[View], reply: HttpReply) -> View:
    if reply.status >= 400:
        raise problem_to_refusal(reply)
    return view.model_validate_json(reply.body)
