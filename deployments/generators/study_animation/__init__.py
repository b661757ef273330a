"""Narrated lesson films from a topic, a document or a script."""
