"""Ask somebody who is logged in for the password once more, before what a thief would do first."""

from __future__ import annotations

from db.accounts import users
from db.tables import User
from serve_app.auth.identity import Identity
from serve_app.auth.subjects import account_subject, network_subject
from serve_app.http.errors import NotFound, WrongCredentials
from serve_app.resources import Clients


async def confirm_password(
    clients: Clients, network: str, identity: Identity, password: str
) -> User:
    """Return the user if this is the password; a wrong one counts as a failed log-in does.

    Raises:
        WrongCredentials: it is not the password.
        RateLimited: too many attempts failed before.
        Unavailable: too many passwords are being checked.
    """
    settings = clients.settings.auth
    async with clients.sessions() as session:
        user = await users.get(session, identity.user_id)
    if user is None:
        raise NotFound
    own = account_subject(settings, user.email)
    subjects = [own, network_subject(settings, network)]
    async with clients.attempts.attempt(*subjects):
        if not await clients.passwords.matches(network, user.password_hash, password):
            await clients.attempts.failed(*subjects)
            raise WrongCredentials("The current password is wrong.")
        await clients.attempts.succeeded(own)
    return user
