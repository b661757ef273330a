"""Refusals in Stripe's envelope."""

from __future__ import annotations

from typing import Any


class Problem(Exception):
    """Answered as ``{"error": {...}}`` with ``status``; ``type``, ``code`` are Stripe's words."""

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        status: int = 400,
        type: str = "invalid_request_error",
    ) -> None:
        super().__init__(message)
        self.status = status
        self.error: dict[str, Any] = {"type": type, "message": message}
        if code is not None:
            self.error["code"] = code
            self.error["doc_url"] = f"https://stripe.com/docs/error-codes/{code.replace('_', '-')}"
        if param is not None:
            self.error["param"] = param


def missing(kind: str, found: str, param: str = "id", status: int = 404) -> Problem:
    return Problem(
        f"No such {kind}: '{found}'", code="resource_missing", param=param, status=status
    )
