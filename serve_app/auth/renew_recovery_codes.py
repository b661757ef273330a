"""New recovery codes for an app that stays as it is: for an owner who used the others up."""

from __future__ import annotations

from collections.abc import Sequence

from db.accounts import recovery_codes
from db.operations import audit_log
from db.outbox import mails
from serve_app.auth import second_factor
from serve_app.auth.confirm_password import confirm_password
from serve_app.auth.identity import Identity
from serve_app.auth.security_mail import write_security_mail
from serve_app.http.errors import NotFound
from serve_app.resources import Clients


async def renew_recovery_codes(
    clients: Clients, network: str, identity: Identity, password: str, otp: str
) -> Sequence[str]:
    """Return new recovery codes, which are shown this once; all others do not work any more.

    Raises:
        NotFound: the account has no second factor.
        WrongCredentials: the password is wrong.
        InvalidOtp: the code is wrong, or was used before, or the factor was removed meanwhile.
        RateLimited: too many attempts failed before, or too many codes were wrong.
        Unavailable: too many passwords are being checked.
    """
    user = await confirm_password(clients, network, identity, password)
    proof = await second_factor.prove(clients, user, otp)
    if proof is None:
        raise NotFound
    async with clients.sessions.begin() as session:
        await second_factor.use_up(session, user.id, proof)
        codes = await recovery_codes.replace(session, user.id)
        await write_security_mail(session, clients, user, mails.RECOVERY_CODES_RENEWED)
        await audit_log.write(
            session, actor=user.id, action="totp.recovery_codes_renewed", subject=user.id
        )
    return codes
