"""Password hashes that take no time: for tests that make dozens of accounts."""

import pytest
from argon2 import PasswordHasher

from serve_app.auth import passwords


def hash_quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hash with the least that argon2 allows, until the test ends."""
    cheap = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
    nobody = cheap.hash("nobody's")
    monkeypatch.setattr(passwords, "_hasher", lambda: cheap)
    monkeypatch.setattr(passwords, "_dummy_hash", lambda: nobody)
