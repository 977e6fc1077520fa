"""`/openapi.json` and `/docs`: one document of the whole house, and a page that reads it.

The page's script and style come from here, not from somebody else's server, and nothing stands inline, so that the
page works without the internet and under a strict Content-Security-Policy.
"""

from importlib.resources import files
from typing import Final, cast

import fastapi_standalone_docs
from fastapi import APIRouter, Request, Response

from ledgerlink_gateway.runtime import Runtime
from ledgerlink_kit.errors import Kind, Refused

router = APIRouter(include_in_schema=False)

_PAGE: Final = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>LedgerLink API</title>
<link rel="stylesheet" href="/docs/swagger-ui.css">
</head>
<body>
<div id="docs"></div>
<script src="/docs/swagger-ui-bundle.js"></script>
<script src="/docs/start.js"></script>
</body>
</html>
"""
_START: Final = """\
window.SwaggerUIBundle({
  url: "/openapi.json", dom_id: "#docs", deepLinking: true, persistAuthorization: false, tryItOutEnabled: true,
  docExpansion: "none", tagsSorter: "alpha", validatorUrl: null,
});
"""
_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self';"
    " connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_ASSETS: Final = {"swagger-ui.css": "text/css; charset=utf-8", "swagger-ui-bundle.js": "text/javascript; charset=utf-8"}


@router.get("/openapi.json")
async def read_document(request: Request) -> Response:
    """Give the merged OpenAPI document; parts that are stale or unavailable are marked in it."""
    runtime = cast("Runtime", request.app.state.runtime)
    document = await runtime.documents.merged()
    return Response(document, media_type="application/json", headers={"cache-control": "no-cache"})


@router.get("/docs")
async def read_page() -> Response:
    """Give the page."""
    headers = {"content-security-policy": _POLICY, "cache-control": "no-cache"}
    return Response(_PAGE, media_type="text/html", headers=headers)


@router.get("/docs/{name}")
async def read_asset(name: str) -> Response:
    """Give the page's script, style or start."""
    headers = {"cache-control": "public, max-age=86400"}
    if name == "start.js":
        return Response(_START, media_type="text/javascript", headers=headers)
    media_type = _ASSETS.get(name)
    if media_type is None:
        raise Refused(Kind.NOT_FOUND, "unknown-path", "The documentation has no such part.")
    content = files(fastapi_standalone_docs).joinpath("static", "swagger", name).read_bytes()
    return Response(content, media_type=media_type, headers=headers)
