"""``GET /llms.txt``: the service in a page that a language model reads (https://llmstxt.org)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from fastapi.responses import PlainTextResponse

from deployments.contract import GeneratorSpec
from serve_app.http.dependencies import ClientsDep
from serve_app.routing import make_router, rate_class

router = make_router(tags=["generators"])

_PAGE = """# Atelier

> Makes images and films with AI models. Work is ordered as jobs; each costs credits of an account.

## Who you are

Every call but those under /v1/generators needs an API key (atl_...), sent as
`Authorization: Bearer KEY` or `X-API-Key: KEY`. A person makes one: `POST /v1/auth/register`,
`POST /v1/auth/token`, then `POST /v1/api-keys`. There is no OAuth.

## Generators

{generators}

## Calls

- `GET /v1/generators/{{name}}`: the JSON Schema of a generator's input, with an example
- `POST /v1/generators/{{name}}/quote` with `{{"input": ...}}`: what a job would cost; costs nothing
- `POST /v1/jobs` with `{{"generator": name, "input": ...}}`: order a job; a header
  `Idempotency-Key` makes it safe to repeat
- `GET /v1/jobs/{{job_id}}?wait=60`: the job, once it has ended or after 60 seconds; `outputs` have
  signed links
- `POST /v1/jobs/{{job_id}}/cancel`: cancel it
- `POST /v1/batches`: many jobs of one JSON Lines file, at half the price
- `POST /v1/files`: upload a picture or a sound as a form, for inputs to name by `{{"file_id": id}}`
- `GET /v1/credits`: the balance

Errors are RFC 9457 problem documents with a stable `code`.

## More

- [OpenAPI document](/openapi.json): every call, every field, every error
- [Interactive pages](/docs): to try the calls in a browser
- [MCP server](/mcp): the same as tools for agents, over Streamable HTTP, with the same API key
"""


@router.get("/llms.txt", response_class=PlainTextResponse)
@rate_class(None)
async def llms_txt(clients: ClientsDep) -> PlainTextResponse:
    """The service in a page for language models. Needs no token."""
    return PlainTextResponse(render(clients.catalog.values()))


def render(specs: Iterable[GeneratorSpec[Any]]) -> str:
    """Write the page for these generators."""
    lines = [f"- `{spec.name}`: {spec.title}. {spec.description}" for spec in specs]
    return _PAGE.format(generators="\n".join(lines))
