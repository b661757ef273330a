"""Tell the owner of an account by mail what was changed of its log-in."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncSession

from db.outbox import mails
from db.tables import User
from serve_app.resources import Clients


async def write_security_mail(
    session: AsyncSession, clients: Clients, user: User, kind: mails.SecurityKind
) -> None:
    """Write the mail in the transaction that it tells of, where mails are sent."""
    if clients.settings.mail.enabled:
        await mails.write(session, kind, user.email, user_id=user.id)
