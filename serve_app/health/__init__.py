"""The HTTP routes of health checks and metrics."""
