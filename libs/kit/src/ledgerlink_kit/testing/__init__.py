"""What tests of services need: a clock to turn, tokens to present, faults to inject, routes to walk."""

from ledgerlink_kit.testing.clock import ManualClock
from ledgerlink_kit.testing.faults import Fault, Faults
from ledgerlink_kit.testing.http import AsgiTransport, client_for
from ledgerlink_kit.testing.routes import assert_every_route_is_guarded
from ledgerlink_kit.testing.tokens import StaticJwks, TokenMint

__all__ = [
    "AsgiTransport",
    "Fault",
    "Faults",
    "ManualClock",
    "StaticJwks",
    "TokenMint",
    "assert_every_route_is_guarded",
    "client_for",
]
