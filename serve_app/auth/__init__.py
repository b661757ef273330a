"""Authentication: passwords, access and refresh tokens, API keys, the identity of a request."""
