"""``/``: what this service is, for people who open its address in a browser."""

from __future__ import annotations

import base64
import hashlib
from html import escape

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from serve_app.http.dependencies import ClientsDep

router = APIRouter(include_in_schema=False)

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 44rem; margin: 3rem auto; padding: 0 1rem;
  color: #1c1c1c; background: #fff; }
h1 { margin-bottom: 0; }
pre { background: #f3f3f3; padding: 1rem; overflow-x: auto; }
dt { font-weight: 600; margin-top: .75rem; }
dd { margin: 0; }
@media (prefers-color-scheme: dark) {
  body { color: #eaeaea; background: #161616; }
  pre { background: #262626; }
  a { color: #8ab4ff; }
}
"""
_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Atelier</title>
<link rel="icon" href="docs/favicon.png">
<style>{style}</style>
<h1>Atelier</h1>
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
<li><a href="readyz">Whether it is up</a></li>
</ul>
</html>
"""


def _policy() -> str:
    digest = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
    return "; ".join(
        (
            "default-src 'none'",
            f"style-src 'sha256-{digest}'",
            "img-src 'self'",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        )
    )


@router.get("/", response_class=HTMLResponse)
async def start_page(clients: ClientsDep, request: Request) -> HTMLResponse:
    """What this service is, and where to go on."""
    generators = "\n".join(
        f"<dt>{escape(spec.title)} <code>{escape(spec.name)}</code></dt>"
        f"<dd>{escape(spec.description)}</dd>"
        for spec in clients.catalog.values()
    )
    page = _PAGE.format(style=_STYLE, generators=generators, base=escape(str(request.base_url)))
    return HTMLResponse(page, headers={"Content-Security-Policy": _policy()})
