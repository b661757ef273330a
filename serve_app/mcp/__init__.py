"""The MCP server: the HTTP API as tools for agents, over HTTP at ``/mcp`` and over stdio."""
