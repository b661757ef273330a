"""Passwords as argon2id hashes, computed in a thread: one takes tens of milliseconds of CPU."""

from __future__ import annotations

import asyncio
from functools import lru_cache

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError


async def hash_password(password: str) -> str:
    """Return the argon2id hash, which holds its parameters and salt."""
    return await asyncio.to_thread(_hasher().hash, password)


async def password_matches(password_hash: str | None, password: str) -> bool:
    """Return whether the password has this hash.

    Without a hash (no such user) it takes just as long and returns False, so that the time of an
    answer does not reveal who has an account.
    """
    return await asyncio.to_thread(_matches, password_hash, password)


def _matches(password_hash: str | None, password: str) -> bool:
    try:
        _hasher().verify(password_hash or _dummy_hash(), password)
    except (Argon2Error, InvalidHashError, UnicodeEncodeError):
        return False
    return password_hash is not None


@lru_cache(maxsize=1)
def _hasher() -> PasswordHasher:
    return PasswordHasher()


@lru_cache(maxsize=1)
def _dummy_hash() -> str:
    return _hasher().hash("nobody's")
