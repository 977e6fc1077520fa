"""Who may call: a route's parameter type is its permission."""

from typing import Annotated

from ledgerlink_contracts.permissions import Permission
from ledgerlink_kit.auth import Caller, requires

PaymentsReader = Annotated[Caller, requires(Permission.PAYMENTS_READ)]
PaymentsWriter = Annotated[Caller, requires(Permission.PAYMENTS_WRITE)]
Refunder = Annotated[Caller, requires(Permission.PAYMENTS_REFUND)]
PaymentsPayer = Annotated[Caller, requires(Permission.PAYMENTS_PAYOUT)]
