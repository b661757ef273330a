"""Change the password of an account whose owner is logged in."""

from __future__ import annotations

from db.accounts import users
from db.operations import audit_log
from serve_app.auth import refresh
from serve_app.auth.confirm_password import confirm_password
from serve_app.auth.identity import Identity
from serve_app.http.errors import WrongCredentials
from serve_app.resources import Clients


async def change_password(
    clients: Clients, network: str, identity: Identity, current: str, new: str
) -> None:
    """Set a new password and end all other logins of the user; API keys stay.

    Raises:
        WrongCredentials: ``current`` is not the password.
        RateLimited: too many attempts failed before.
        Unavailable: too many passwords are being checked.
    """
    user = await confirm_password(clients, network, identity, current)
    password_hash = await clients.passwords.hash(network, new)
    async with clients.sessions.begin() as session:
        # It may have been changed or reset meanwhile; then the later one would win unseen.
        if not await users.replace_password(session, user.id, user.password_hash, password_hash):
            raise WrongCredentials("The password was changed meanwhile.")
        await refresh.revoke_user(session, user.id, but_family=identity.family_id)
        await audit_log.write(
            session, actor=user.id, action="user.password", subject=user.id, detail={"by": "login"}
        )
