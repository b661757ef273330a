"""The events of a user's webhooks: what became of them, and once more."""

from __future__ import annotations

from db.outbox import webhook_events
from db.tables import Outbox
from serve_app.http.errors import NotFound
from serve_app.http.pagination import Page
from serve_app.resources import Clients
from serve_app.webhooks.schemas import DeliveryStatus, DeliveryView


async def list_deliveries(
    clients: Clients, user_id: str, status: DeliveryStatus | None, after: int | None, limit: int
) -> Page[DeliveryView]:
    """List the user's events, newest first."""
    async with clients.sessions() as session:
        rows = await webhook_events.page(session, user_id, status, after, limit + 1)
    views = [_view(row) for row in rows[:limit]]
    has_more = len(rows) > limit
    return Page(data=views, has_more=has_more, next=str(views[-1].id) if has_more else None)


async def replay(clients: Clients, user_id: str, delivery_id: int) -> DeliveryView:
    """Have an event sent once more.

    Raises:
        NotFound: there is no such event, it is somebody else's, or it is not kept any more.
    """
    async with clients.sessions.begin() as session:
        row = await webhook_events.replay(session, user_id, delivery_id)
    if row is None:
        raise NotFound
    return _view(row)


def _view(row: Outbox) -> DeliveryView:
    status: DeliveryStatus = "pending"
    if row.done_at is not None:
        status = "delivered" if row.error is None else "failed"
    return DeliveryView(
        id=row.id,
        type=row.payload["type"],
        job_id=row.payload.get("job_id"),
        batch_id=row.payload.get("batch_id"),
        status=status,
        attempts=row.attempts,
        error=row.error,
        created_at=row.created_at,
        next_attempt_at=row.available_at if row.done_at is None else None,
        ended_at=row.done_at,
    )
