"""The OpenAPI document, and the pages at ``/docs`` to try the API on: Swagger UI, from this server
and no other.

FastAPI's own page loads scripts from a CDN and has one inline: who alters them reads the tokens
that are typed in. Here the files are those of the ``fastapi-offline`` wheel, and the policy allows
this server's scripts alone.
"""

from __future__ import annotations

from importlib.resources import files

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response
from starlette.concurrency import run_in_threadpool

from serve_app.http.conditional import answer_conditionally
from serve_app.http.errors import NotFound

router = APIRouter(include_in_schema=False)

PAGE = "/docs"

# The addresses are relative, so that the page works under a prefix as well.
_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Atelier API</title>
<link rel="stylesheet" href="docs/swagger-ui.css">
<link rel="icon" href="docs/favicon.png">
<div id="swagger-ui"></div>
<script src="docs/swagger-ui-bundle.js"></script>
<script src="docs/start.js"></script>
</html>
"""
_START = """SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  validatorUrl: null,
});
"""
# Swagger UI's icons are data.
_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
_MEDIA_TYPES = {
    "swagger-ui-bundle.js": "text/javascript",
    "swagger-ui.css": "text/css",
    "favicon.png": "image/png",
}
_CACHED = {"Cache-Control": "public, max-age=86400"}


@router.get("/openapi.json")
async def document(request: Request) -> Response:
    """The document; below the prefix that the service is reached under, if there is one."""
    found = request.app.openapi()
    if prefix := request.scope.get("root_path", "").rstrip("/"):
        found = {**found, "servers": [{"url": prefix}]}
    return answer_conditionally(request, JSONResponse(found))


@router.get(PAGE)
async def page() -> Response:
    """Swagger UI on this API's OpenAPI document."""
    return Response(_PAGE, media_type="text/html", headers={"Content-Security-Policy": _POLICY})


@router.get(f"{PAGE}/start.js")
async def start() -> Response:
    """What starts it: a file, since the policy allows no script inside the page."""
    return Response(_START, media_type="text/javascript", headers=_CACHED)


@router.get(f"{PAGE}/{{name}}")
async def asset(name: str) -> Response:
    """A file of Swagger UI."""
    media_type = _MEDIA_TYPES.get(name)
    if media_type is None:
        raise NotFound
    content = await run_in_threadpool((files("fastapi_offline") / "static" / name).read_bytes)
    return Response(content, media_type=media_type, headers=_CACHED)
