"""Challenges that are to be signed: kept for five minutes, and taken once.

If Redis loses them, who was about to log in asks for another.
"""

from __future__ import annotations

import hashlib
import secrets
from typing import Literal

from redis.asyncio import Redis

from db.redis.client import PREFIX, translate_redis_errors

LIFETIME_S = 300
_BYTES = 32

Use = Literal["log_in", "register"]


async def issue(redis: Redis, use: Use, subject: str = "") -> bytes:
    """Return a new challenge for one use, of one user where there is a ``subject``.

    Raises:
        StoreUnavailable: Redis is away.
    """
    challenge = secrets.token_bytes(_BYTES)
    with translate_redis_errors():
        await redis.set(_key(use, subject, challenge), 1, ex=LIFETIME_S)
    return challenge


async def take(redis: Redis, use: Use, challenge: bytes, subject: str = "") -> bool:
    """Use the challenge up; returns False if it is not ours, for another use, used or expired.

    Raises:
        StoreUnavailable: Redis is away.
    """
    with translate_redis_errors():
        return bool(await redis.delete(_key(use, subject, challenge)))


def _key(use: Use, subject: str, challenge: bytes) -> str:
    return f"{PREFIX}:challenge:{use}:{subject}:{hashlib.sha256(challenge).hexdigest()}"
