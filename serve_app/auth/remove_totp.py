"""Remove a second factor: it takes the password, and a code of the app or a recovery code."""

from __future__ import annotations

from db.accounts import recovery_codes, totp
from db.operations import audit_log
from db.outbox import mails
from serve_app.auth import second_factor
from serve_app.auth.confirm_password import confirm_password
from serve_app.auth.identity import Identity
from serve_app.auth.security_mail import write_security_mail
from serve_app.http.errors import NotFound
from serve_app.resources import Clients


async def remove_totp(
    clients: Clients, network: str, identity: Identity, password: str, otp: str
) -> None:
    """Let log-ins do without a code again; the recovery codes are gone, too.

    Raises:
        NotFound: the account has no second factor.
        WrongCredentials: the password is wrong.
        InvalidOtp: the code is wrong, or was used before.
        RateLimited: too many attempts failed before, or too many codes were wrong.
        Unavailable: too many passwords are being checked.
    """
    user = await confirm_password(clients, network, identity, password)
    proof = await second_factor.prove(clients, user, otp)
    if proof is None:
        raise NotFound
    async with clients.sessions.begin() as session:
        await second_factor.use_up(session, user.id, proof)
        await totp.remove(session, user.id)
        await recovery_codes.delete_of_user(session, user.id)
        await write_security_mail(session, clients, user, mails.SECOND_FACTOR_REMOVED)
        await audit_log.write(
            session, actor=user.id, action="totp.removed", subject=user.id, detail={"by": "login"}
        )
