"""Change the password of an account whose owner is logged in."""

from __future__ import annotations

from db.accounts import users
from db.operations import audit_log
from serve_app.auth import refresh
from serve_app.auth.identity import Identity
from serve_app.auth.subjects import account_subject, network_subject
from serve_app.http.errors import NotFound, WrongCredentials
from serve_app.resources import Clients


async def change_password(
    clients: Clients, network: str, identity: Identity, current: str, new: str
) -> None:
    """Set a new password and end all other logins of the user; API keys stay.

    A wrong current password counts as a failed log-in does.

    Raises:
        WrongCredentials: ``current`` is not the password.
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
        if not await clients.passwords.matches(network, user.password_hash, current):
            await clients.attempts.failed(*subjects)
            raise WrongCredentials("The current password is wrong.")
        await clients.attempts.succeeded(own)
    password_hash = await clients.passwords.hash(network, new)
    async with clients.sessions.begin() as session:
        # It may have been changed or reset meanwhile; then the later one would win unseen.
        if not await users.replace_password(session, user.id, user.password_hash, password_hash):
            raise WrongCredentials("The password was changed meanwhile.")
        await refresh.revoke_user(session, user.id, but_family=identity.family_id)
        await audit_log.write(
            session, actor=user.id, action="user.password", subject=user.id, detail={"by": "login"}
        )
