"""Who is asking: passwords, access and refresh tokens, API keys, and the identity they give."""
