"""The frame of the pages for people: one style, no script, and a policy that allows no more."""

from __future__ import annotations

import base64
import hashlib
from html import escape

from fastapi.responses import HTMLResponse

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 44rem; margin: 3rem auto; padding: 0 1rem;
  color: #1c1c1c; background: #fff; }
h1 { margin-bottom: 0; }
pre { background: #f3f3f3; padding: 1rem; overflow-x: auto; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; padding: .4rem .8rem .4rem 0; border-bottom: 1px solid #8884; }
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
<title>{title}</title>
<link rel="icon" href="docs/favicon.png">
<style>{style}</style>
{body}
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


def page(title: str, body: str) -> HTMLResponse:
    """Return a page; ``body`` is HTML whose texts are escaped already."""
    content = _PAGE.format(title=escape(title), style=_STYLE, body=body)
    return HTMLResponse(content, headers={"Content-Security-Policy": _policy()})
