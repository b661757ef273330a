"""Stores: Postgres, Redis, the object store, job documents, and the embedded servers."""
