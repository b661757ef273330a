"""Give an account another address, at once or after a mail to that address."""

from __future__ import annotations

from db.accounts import users
from db.operations import audit_log
from db.outbox import mails
from db.tables import User
from serve_app.auth.confirm_password import confirm_password
from serve_app.auth.identity import Identity
from serve_app.auth.register import DailyBound, write_mail
from serve_app.http.errors import EmailTaken, NotFound
from serve_app.resources import Clients


async def change_email(
    clients: Clients, network: str, identity: Identity, email: str, password: str
) -> tuple[User, bool]:
    """Return the account, and whether the new address must be confirmed by a mail first.

    Where mails are sent, an address that another account has gets a mail that says so, and the
    answer is the same: it does not tell who has an account.

    Raises:
        WrongCredentials: the password is wrong.
        RateLimited: too many attempts failed, or too many addresses were given from this network
            today.
        EmailTaken: no mails are sent here, and another account has the address.
        Unavailable: too many passwords are being checked.
    """
    user = await confirm_password(clients, network, identity, password)
    if email.lower() == user.email:
        return user, False
    settings, is_mailed = clients.settings.auth, clients.settings.mail.enabled
    async with clients.sessions.begin() as session:
        await DailyBound(settings, "address_changes", network).take(session)
        if is_mailed:
            await write_mail(session, settings, network, mails.NEW_ADDRESS, email, user_id=user.id)
    if not is_mailed:
        # In a transaction of its own, so that an address that is taken counts as well.
        async with clients.sessions.begin() as session:
            if not await users.change_email(session, user.id, email):
                raise EmailTaken
            await audit_log.write(session, actor=user.id, action="user.email", subject=user.id)
    async with clients.sessions() as session:
        changed = await users.get(session, user.id)
    if changed is None:
        raise NotFound
    return changed, is_mailed
