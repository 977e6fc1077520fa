"""The wallet's API as it runs in production, but for the issuer: tokens are verified against keys given to it."""

import os

import orjson
from joserfc.jwk import KeySet

from ledgerlink_kit.auth import TokenVerifier
from ledgerlink_kit.clock import SystemClock
from ledgerlink_kit.http_app import serve
from ledgerlink_kit.testing.tokens import AUDIENCE, ISSUER, StaticJwks
from ledgerlink_wallet.app import build_app
from ledgerlink_wallet.runtime import WalletSettings

if __name__ == "__main__":
    settings = WalletSettings()  # pyright: ignore[reportCallIssue] - the environment gives the rest
    jwks = StaticJwks(KeySet.import_key_set(orjson.loads(os.environ["BENCH_JWKS"])))
    clock = SystemClock()
    verifier = TokenVerifier(issuer=ISSUER, audience=AUDIENCE, jwks=jwks, clock=clock)
    serve(lambda: build_app(settings, clock, verifier), settings, "wallet")
