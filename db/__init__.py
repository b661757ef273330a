"""Stores: Postgres, Redis, objects, documents, and the embedded servers."""
