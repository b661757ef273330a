"""The HTTP API as the tools see it: one caller's requests, and errors in words for an agent.

Over HTTP the application is called in process, over stdio through the network. Either way a tool
can do what its caller's key can do with a request of its own, and nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx
from mcp.server.mcpserver import Context
from mcp.server.mcpserver.exceptions import ToolError

ApiContext = Context[httpx.AsyncClient, Any]

# Of a request to /mcp; over stdio the client has the key itself.
_PASSED_ON = ("authorization", "x-api-key", "x-request-id")
# What an agent can do about a problem, where its document does not say so.
_ADVICE = {
    "scope_missing": "Ask the user for an API key with this scope.",
    "not_enough_credits": "Make the order smaller (quote tells what it costs), or ask the user to"
    " buy credits.",
    "spending_cap_reached": "Ask the user to raise the monthly cap of the key.",
    "not_found": "Check the id; list_jobs and list_generators tell which there are.",
    "too_large": "Name large media by a public URL, or upload them over HTTP (POST /v1/files).",
    "too_many_streams": "Fewer calls may wait at a time; get_job does not wait.",
}


@dataclass(frozen=True)
class AtelierAPI:
    """Sends requests with the caller's credentials.

    Every call raises:
        ToolError: the service refused the request, or does not answer; its message says why.
    """

    http: httpx.AsyncClient
    credentials: Mapping[str, str]

    @classmethod
    def of(cls, ctx: ApiContext) -> AtelierAPI:
        """The API for whoever sent the message that is being answered."""
        sent = ctx.headers or {}
        passed_on = {name: sent[name] for name in _PASSED_ON if name in sent}
        return cls(ctx.request_context.lifespan_context, passed_on)

    async def get(self, path: str, **params: Any) -> Any:
        """Return the answer's JSON; parameters of None are left out."""
        given = {name: value for name, value in params.items() if value is not None}
        return await self._send("GET", path, params=given)

    async def post(
        self, path: str, body: Mapping[str, Any] | None = None, idempotency_key: str | None = None
    ) -> Any:
        """Post ``body`` as JSON and return the answer's."""
        key = {"Idempotency-Key": idempotency_key} if idempotency_key is not None else {}
        return await self._send("POST", path, json=body, headers=key)

    async def upload(self, name: str, content: bytes, purpose: str) -> Any:
        """Post a file to ``/v1/files`` and return what is told of it."""
        files = {"file": (name, content)}
        return await self._send("POST", "/v1/files", files=files, data={"purpose": purpose})

    async def _send(self, method: str, path: str, **more: Any) -> Any:
        headers = {**self.credentials, **more.pop("headers", {})}
        try:
            answer = await self.http.request(method, path, headers=headers, **more)
        except httpx.HTTPError as error:
            raise ToolError(f"Atelier does not answer: {type(error).__name__}") from error
        except ValueError as error:  # half a surrogate pair, NaN: neither is JSON
            raise ToolError(
                "The arguments hold a text or a number that JSON cannot hold"
            ) from error
        if answer.is_error:
            raise ToolError(problem_words(answer))
        return answer.json()


def problem_words(answer: httpx.Response) -> str:
    """Say what a problem document says, each faulty field with its reason, and what to do."""
    try:
        problem = answer.json()
        title, code = problem["title"], problem["code"]
    except (ValueError, KeyError, TypeError):
        return f"Atelier answered {answer.status_code}: {answer.text[:200]}"
    faults = [
        ": ".join(filter(None, (".".join(map(str, one["loc"])), one["msg"])))
        for one in problem.get("errors") or ()
    ]
    said = "; ".join(faults) or str(problem.get("detail", ""))
    words = [f"{title} ({code}): {said.removesuffix('.')}."]
    if wait_s := answer.headers.get("retry-after"):
        words.append(f"Try again in {wait_s} seconds.")
    if advice := _ADVICE.get(code):
        words.append(advice)
    return " ".join(words)
