"""Ask for a code after the password: one of the app, or a recovery code.

``prove`` looks at the code and counts the guess; ``use_up`` spends it, in the transaction of what
it was asked for. So of two requests with the same code one wins, and a code is not lost with a
request that fails.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from db.accounts import recovery_codes, totp
from db.operations import audit_log
from db.outbox import mails
from db.tables import User
from serve_app.auth import sealed_secrets, totp_codes
from serve_app.auth.security_mail import write_security_mail
from serve_app.http.errors import InvalidOtp, OtpRequired, RateLimited
from serve_app.resources import Clients

log = structlog.get_logger()


@dataclass(frozen=True)
class RightCode:
    """A code of the app: its time step, and the secret as it is kept."""

    step: int
    sealed_secret: bytes


@dataclass(frozen=True)
class RecoveryCodeGiven:
    """What was sent is no code of an app; its use shows whether it is a recovery code."""

    code: str


Proof = RightCode | RecoveryCodeGiven


async def prove(clients: Clients, user: User, otp: str | None) -> Proof | None:
    """Return what the code proves; None if the user has no second factor.

    The password is to be checked before, so that strangers do not learn who has one.

    Raises:
        OtpRequired: there is no code.
        InvalidOtp: it is not that of the app.
        RateLimited: too many codes were wrong. Recovery codes are taken all the same: nobody
            guesses those.
    """
    async with clients.sessions() as session:
        if not await totp.is_enabled(session, user.id):
            return None
    if not otp:
        raise OtpRequired
    if not totp_codes.is_code(otp):
        return RecoveryCodeGiven(otp)
    return await check_code(clients, user, otp)


async def check_code(clients: Clients, user: User, code: str) -> RightCode:
    """Compare a code with those of the user's app, confirmed or not.

    Each guess is counted in Postgres before it is looked at, and a right code that is used up takes
    it back, as does a secret that cannot be read.

    Raises:
        InvalidOtp: it is wrong, or the secret cannot be read, or is gone.
        RateLimited: too many codes were wrong.
    """
    async with clients.sessions.begin() as session:
        guess = await totp.count_guess(session, user.id)
    if guess is None:
        await _refuse(clients, user.id)
        raise InvalidOtp
    try:
        opened = sealed_secrets.unseal(clients.settings.auth, user.id, guess.sealed_secret)
    except sealed_secrets.CannotOpen as error:
        log.warning("totp_secret_unreadable", user_id=user.id)
        # Nothing was learned, and the owner must not be blocked once the right key is back.
        async with clients.sessions.begin() as session:
            await totp.take_back_guess(session, user.id)
        raise InvalidOtp from error
    step = totp_codes.matching_step(opened.secret, code)
    if step is None:
        if guess.number == totp.FREE_GUESSES:
            await _tell_of_guesses(clients, user)
        raise InvalidOtp
    if opened.is_current:
        return RightCode(step, guess.sealed_secret)
    return RightCode(step, await _reseal(clients, user.id, guess.sealed_secret, opened.secret))


async def use_up(session: AsyncSession, user_id: str, proof: Proof) -> None:
    """Spend the code; raises InvalidOtp if it was used before, or is no recovery code."""
    match proof:
        case RightCode(step=step):
            is_ours = await totp.use_step(session, user_id, step)
        case RecoveryCodeGiven(code):
            is_ours = await totp.lock(session, user_id) and await recovery_codes.use(
                session, user_id, code
            )
    if not is_ours:
        raise InvalidOtp


async def record_use(
    session: AsyncSession, clients: Clients, user: User, proof: Proof | None
) -> None:
    """Tell the owner that a recovery code was used; the last statement of the transaction."""
    if isinstance(proof, RecoveryCodeGiven):
        left = await recovery_codes.left(session, user.id)
        await write_security_mail(session, clients, user, mails.RECOVERY_CODE_USED)
        await audit_log.write(
            session,
            actor=user.id,
            action="totp.recovery_code",
            subject=user.id,
            detail={"left": left},
        )


async def _reseal(clients: Clients, user_id: str, sealed: bytes, secret: str) -> bytes:
    """Seal the secret by the key that seals now; returns what is kept, as far as we know.

    Another request may have done it at the same moment, or replaced the secret: that stays.
    """
    anew = sealed_secrets.seal(clients.settings.auth, user_id, secret)
    async with clients.sessions.begin() as session:
        if not await totp.reseal(session, user_id, sealed, anew):
            return sealed
    log.info("totp_secret_resealed", user_id=user_id)
    return anew


async def _refuse(clients: Clients, user_id: str) -> None:
    async with clients.sessions() as session:
        factor = await totp.get(session, user_id)
    if factor is not None and factor.blocked_until is not None:
        wait = factor.blocked_until - datetime.now(UTC)
        raise RateLimited(int(wait.total_seconds()) + 1)


async def _tell_of_guesses(clients: Clients, user: User) -> None:
    """Tell the owner, once until the next right code: whoever guesses knows the password."""
    async with clients.sessions.begin() as session:
        await write_security_mail(session, clients, user, mails.CODES_GUESSED)
        await audit_log.write(session, actor=user.id, action="totp.guessed", subject=user.id)
