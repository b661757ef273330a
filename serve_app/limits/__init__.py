"""The HTTP route of a user's limits."""
