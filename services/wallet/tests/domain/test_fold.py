"""Proves that the audit's fold moves each column in its own direction, and that accounts have one form on the wire."""

from ledgerlink_contracts.ids import AccountId
from ledgerlink_contracts.wallet.chart import Side
from ledgerlink_contracts.wallet.models import Layer
from ledgerlink_kit.ids import uuid8
from ledgerlink_wallet.domain.fold import EMPTY, fold
from ledgerlink_wallet.domain.parties import account_wire


def test_the_fold_moves_each_column_in_its_own_direction() -> None:
    columns = EMPTY
    for side in Side:
        for layer, amount in ((Layer.POSTED, 5), (Layer.PENDING, 3), (Layer.RELEASED, 1)):
            columns = fold(columns, side, layer, amount)

    assert columns == (5, 5, 2, 2)


def test_an_account_is_written_for_the_wire_as_its_typed_id() -> None:
    key = uuid8("account")

    assert account_wire(key) == str(AccountId(key))
