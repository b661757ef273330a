"""Answers in JSON are compressed for clients that take it, where no proxy in front does it."""

from __future__ import annotations

from starlette.datastructures import MutableHeaders
from starlette.middleware.gzip import DEFAULT_EXCLUDED_CONTENT_TYPES, GZipMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

# Below it headers outweigh what is saved.
LEAST_BYTES = 1024
# A list shrinks to a sixth in a fraction of a millisecond; higher levels take several times that.
LEVEL = 3
# What we send that is not JSON: pages, tables and downloads.
_NOT_JSON = ("application/jsonl", "application/octet-stream", "model/*", "text/*")
# The length of a compressed secret beside chosen text tells of it (BREACH).
_SECRETS = ("/v1/auth/", "/v1/api-keys", "/v1/webhooks/secret")


class CompressionMiddleware:
    """Compresses what is read in JSON; never streams, parts, or what shows a secret."""

    def __init__(self, app: ASGIApp) -> None:
        self._plain = app
        self._compressed = GZipMiddleware(
            app,
            minimum_size=LEAST_BYTES,
            compresslevel=LEVEL,
            exclude_content_types=(*DEFAULT_EXCLUDED_CONTENT_TYPES, *_NOT_JSON),
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_read = scope["type"] == "http" and scope["method"] == "GET"
        path = scope["path"].removeprefix(scope.get("root_path", "")) if is_read else ""
        if not is_read or path.startswith(_SECRETS):
            await self._plain(scope, receive, send)
            return

        async def send_with_weak_tag(message: Message) -> None:
            # A strong ETag is of these very bytes.
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                if "content-encoding" in headers and "etag" in headers:
                    headers["ETag"] = f"W/{headers['ETag']}"
            await send(message)

        await self._compressed(scope, receive, send_with_weak_tag)
