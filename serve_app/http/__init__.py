"""Shared by all routes: errors, middleware, pagination, rate limit, idempotency."""
