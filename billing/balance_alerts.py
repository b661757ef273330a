"""The alert of low credits: sent once each time a balance falls below the user's threshold."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncSession

from db.outbox import rows as outbox

CREDITS_LOW = "credits.low"


async def enqueue_alert(
    session: AsyncSession, user_id: str, balance: int, threshold: int, transaction_id: str
) -> None:
    """Write the alert, in the transaction that took the balance below the threshold."""
    payload = {
        "type": CREDITS_LOW,
        "user_id": user_id,
        "data": {"balance": balance, "threshold": threshold},
    }
    key = f"{user_id}:{CREDITS_LOW}:{transaction_id}"
    await outbox.write(session, outbox.WEBHOOK, key, payload)
