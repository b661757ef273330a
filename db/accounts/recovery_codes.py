"""Recovery codes: ten at a time, each works once, and is stored as a hash."""

from __future__ import annotations

import base64
import hashlib
import secrets
from collections.abc import Sequence

from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from db.ids import new_id
from db.tables import RecoveryCode

NUMBER = 10
_BYTES = 10  # 16 letters of base32
_GROUP = 4


async def replace(session: AsyncSession, user_id: str) -> Sequence[str]:
    """Make new codes in the place of all others, and return them."""
    await delete_of_user(session, user_id)
    codes = [_new_code() for _ in range(NUMBER)]
    rows = [{"id": new_id("rec"), "user_id": user_id, "code_hash": _hash(code)} for code in codes]
    await session.execute(insert(RecoveryCode), rows)
    return codes


async def use(session: AsyncSession, user_id: str, code: str) -> bool:
    """Use a code up; returns False if there is none such, or it was used before."""
    used = await session.scalar(
        update(RecoveryCode)
        .where(
            RecoveryCode.user_id == user_id,
            RecoveryCode.code_hash == _hash(code),
            RecoveryCode.used_at.is_(None),
        )
        .values(used_at=func.now())
        .returning(RecoveryCode.id)
    )
    return used is not None


async def left(session: AsyncSession, user_id: str) -> int:
    """Return how many of the codes were not used yet."""
    query = select(func.count()).where(
        RecoveryCode.user_id == user_id, RecoveryCode.used_at.is_(None)
    )
    return int(await session.scalar(query) or 0)


async def delete_of_user(session: AsyncSession, user_id: str) -> None:
    await session.execute(delete(RecoveryCode).where(RecoveryCode.user_id == user_id))


def _new_code() -> str:
    text = base64.b32encode(secrets.token_bytes(_BYTES)).decode().lower()
    return "-".join(text[at : at + _GROUP] for at in range(0, len(text), _GROUP))


def _hash(code: str) -> str:
    # As people copy them: any case, with or without what is between the groups. Plain SHA-256
    # suffices: the code is 80 random bits, there is nothing to guess.
    text = "".join(code.split()).replace("-", "").lower()
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()
