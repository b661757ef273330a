"""Webhooks over HTTP: the secret that signs them, and a try; the keeper delivers them."""
