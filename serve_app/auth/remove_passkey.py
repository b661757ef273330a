"""Remove a passkey of an account."""

from __future__ import annotations

from db.accounts import passkeys, users
from db.operations import audit_log
from db.outbox import mails
from serve_app.auth.identity import Identity
from serve_app.auth.security_mail import write_security_mail
from serve_app.http.errors import NotFound
from serve_app.resources import Clients


async def remove_passkey(clients: Clients, identity: Identity, passkey_id: str) -> None:
    """Let the passkey log in no more; raises NotFound if the user has none such."""
    async with clients.sessions.begin() as session:
        user = await users.get(session, identity.user_id)
        if user is None or not await passkeys.remove(session, user.id, passkey_id):
            raise NotFound
        await write_security_mail(session, clients, user, mails.PASSKEY_REMOVED)
        await audit_log.write(session, actor=user.id, action="passkey.removed", subject=passkey_id)
