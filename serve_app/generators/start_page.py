"""``/``: what this service is, for people who open its address in a browser."""

from __future__ import annotations

from html import escape

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from serve_app.http.dependencies import ClientsDep
from serve_app.http.page import page

router = APIRouter(include_in_schema=False)

_PAGE = """<h1>Atelier</h1>
<p>Pictures and films from prompts, photos and texts, over one HTTP API, billed in credits.</p>
<h2>What it makes</h2>
<dl>
{generators}
</dl>
<h2>A first picture</h2>
<p>With an API key of your account here:</p>
<pre>curl {base}v1/jobs -H "Authorization: Bearer $ATELIER_API_KEY" \\
  -H "Content-Type: application/json" \\
  -d '{{"generator": "image", "input": {{"prompt": "a red circle on a blue background"}}}}'</pre>
<h2>Further</h2>
<ul>
<li><a href="docs">Try every call</a>, and the <a href="openapi.json">OpenAPI document</a></li>
<li>Clients of OpenAI (<code>{base}openai/v1</code>), fal (<code>{base}fal</code>) and Replicate
(<code>{base}replicate</code>) work with these addresses</li>
<li>Agents: MCP at <code>{base}mcp</code>, and <a href="llms.txt">llms.txt</a></li>
<li><a href="status">Which generators are up, and how long a job takes</a></li>
</ul>"""


@router.get("/", response_class=HTMLResponse)
async def start_page(clients: ClientsDep, request: Request) -> HTMLResponse:
    """What this service is, and where to go on."""
    generators = "\n".join(
        f"<dt>{escape(spec.title)} <code>{escape(spec.name)}</code></dt>"
        f"<dd>{escape(spec.description)}</dd>"
        for spec in clients.catalog.values()
    )
    return page("Atelier", _PAGE.format(generators=generators, base=escape(str(request.base_url))))
