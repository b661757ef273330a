"""Confirm a second factor by a code of the app: from now on log-ins need one."""

from __future__ import annotations

from collections.abc import Sequence

from db.accounts import recovery_codes, totp, users
from db.operations import audit_log
from db.outbox import mails
from serve_app.auth import second_factor
from serve_app.auth.identity import Identity
from serve_app.auth.security_mail import write_security_mail
from serve_app.http.errors import InvalidOtp, NotFound, TotpEnabled
from serve_app.resources import Clients


async def confirm_totp(clients: Clients, identity: Identity, code: str) -> Sequence[str]:
    """Return the recovery codes, which are shown this once.

    Raises:
        NotFound: no factor was enrolled.
        TotpEnabled: it was confirmed before.
        InvalidOtp: the code is wrong, or the factor was enrolled anew meanwhile.
        RateLimited: too many codes were wrong.
    """
    async with clients.sessions() as session:
        factor = await totp.get(session, identity.user_id)
        user = await users.get(session, identity.user_id)
    if factor is None or user is None:
        raise NotFound
    if factor.confirmed_at is not None:
        raise TotpEnabled
    right = await second_factor.check_code(clients, user, code)
    async with clients.sessions.begin() as session:
        if not await totp.confirm(session, user.id, right.sealed_secret, right.step):
            raise InvalidOtp
        codes = await recovery_codes.replace(session, user.id)
        await write_security_mail(session, clients, user, mails.SECOND_FACTOR_ADDED)
        await audit_log.write(session, actor=user.id, action="totp.enabled", subject=user.id)
    return codes
