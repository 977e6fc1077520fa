"""Who may call the provider: whoever holds its one API key, sent as a bearer token."""

import hmac
from typing import Annotated

from fastapi import Depends, Request

from ledgerlink_kit.auth import bearer_token
from ledgerlink_kit.errors import Kind, Refused
from ledgerlink_sandbox.runtime import Runtime


async def _runtime(request: Request) -> Runtime:
    return request.app.state.runtime


async def require_api_key(request: Request) -> None:
    """Refuse callers without the key: `token-missing`, `api-key-invalid` (401)."""
    runtime: Runtime = request.app.state.runtime
    given = bearer_token(request.headers.get("authorization"))
    expected = runtime.settings.api_key.get_secret_value()
    if not hmac.compare_digest(given.encode("utf-8", "surrogateescape"), expected.encode()):
        raise Refused(Kind.UNAUTHENTICATED, "api-key-invalid", "This API key is not the provider's.")


Provider = Annotated[Runtime, Depends(_runtime)]
"""A route parameter of this type is the running provider."""

KEY_HOLDERS = [Depends(require_api_key)]
"""The dependencies of every router but health's."""
