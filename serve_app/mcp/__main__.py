"""The MCP server over stdio, before a service that runs elsewhere.

    ATELIER_URL=https://atelier.example.com ATELIER_API_KEY=atl_... python -m serve_app.mcp

It speaks to the HTTP API alone: no database, no Ray.
"""

from __future__ import annotations

import os
import sys

import httpx

from deployments.log_config import configure_logging
from serve_app.mcp.server import create_server

TIMEOUT = httpx.Timeout(30, read=90)  # the API lets a request wait for 60


def main() -> None:
    """Answer messages until stdin ends. Exits with a message if the environment lacks a value."""
    url, key = os.environ.get("ATELIER_URL"), os.environ.get("ATELIER_API_KEY")
    if not url or not key:
        sys.exit(
            "set ATELIER_URL to the address of the service, and ATELIER_API_KEY to a key of it"
        )
    configure_logging()  # to stderr: stdout is the protocol's
    headers = {"Authorization": f"Bearer {key}"}
    create_server(lambda: httpx.AsyncClient(base_url=url, headers=headers, timeout=TIMEOUT)).run(
        "stdio"
    )


if __name__ == "__main__":
    main()
