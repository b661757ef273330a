"""What the HTTP API costs beside a route that does nothing."""
