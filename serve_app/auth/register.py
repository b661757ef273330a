"""Register an account: every address gets the same answer, whether it has an account or not."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncSession

from db.accounts import daily_counters, users
from db.operations import audit_log
from db.outbox import mails
from serve_app.auth.pseudonyms import pseudonym
from serve_app.auth.welcome import grant_welcome
from serve_app.http.errors import RateLimited, RegistrationClosed
from serve_app.resources import Clients
from serve_app.settings import AuthSettings

# Mails of one kind to one address on a day: those that one network asks for, and all. A stranger
# who asks for some leaves the owner's to be sent.
MAILS_OF_NETWORK = 3
MAILS_PER_DAY = 20


async def register(clients: Clients, network: str, email: str, password: str) -> None:
    """Make an account unless the address has one; in the mode ``verified`` it is pending.

    The bound of the network is read before the password is hashed, which is dear, and taken in the
    transaction that makes the account, which is exact.

    Raises:
        RegistrationClosed: only administrators make accounts.
        RateLimited: too many were registered from this network today.
        Unavailable: too many passwords are being hashed.
    """
    settings = clients.settings.auth
    if settings.registration == "closed":
        raise RegistrationClosed
    counter = DailyBound(settings, "registrations", network)
    async with clients.sessions() as session:
        await counter.check(session)
    password_hash = await clients.passwords.hash(network, password)
    async with clients.sessions.begin() as session:
        await counter.take(session)
        if settings.registration == "verified":
            await users.add(session, email, password_hash, pending=True)
            await write_mail(session, settings, network, mails.REGISTERED, email, password_hash)
        else:
            await _add_active(session, clients, email, password_hash)


async def _add_active(
    session: AsyncSession, clients: Clients, email: str, password_hash: str
) -> None:
    user = await users.add(session, email, password_hash)
    if user is None:
        # It may be pending since the time when addresses were verified: then it has no owner yet.
        user = await users.by_email(session, email)
        if user is None or not await users.activate(session, user.id, password_hash):
            return
    await grant_welcome(session, clients, user.id)
    await record_account(session, user.id)


async def record_account(session: AsyncSession, user_id: str) -> None:
    """Write to the audit log that the account can be used; its owner made it."""
    await audit_log.write(
        session,
        actor=user_id,
        action="user.created",
        subject=user_id,
        detail={"by": "registration"},
    )


class DailyBound:
    """How often a network may do something on a day (UTC)."""

    def __init__(self, settings: AuthSettings, what: str, network: str) -> None:
        self._day = datetime.now(UTC).date()
        # With the day in it, so that the rows of two days do not tell of the same network.
        name = pseudonym(settings, what, network, self._day.isoformat())
        self._subject = f"{what}:{name}"
        self._limit = settings.registrations_per_address

    async def check(self, session: AsyncSession) -> None:
        """Raises RateLimited if nothing is left of it."""
        if await daily_counters.read(session, self._day, self._subject) >= self._limit:
            raise RateLimited(_seconds_left_today())

    async def take(self, session: AsyncSession) -> None:
        """Take one in this transaction; raises RateLimited if none is left."""
        if await daily_counters.take(session, self._day, self._subject, 1, self._limit) is None:
            raise RateLimited(_seconds_left_today())


async def write_mail(
    session: AsyncSession,
    settings: AuthSettings,
    network: str,
    kind: str,
    email: str,
    password_hash: str | None = None,
    user_id: str | None = None,
) -> None:
    """Write a mail to the outbox, unless the address was sent enough of this kind today."""
    day = datetime.now(UTC).date()
    to = (kind, email.lower(), day.isoformat())
    for limit, of in ((MAILS_OF_NETWORK, (*to, network)), (MAILS_PER_DAY, to)):
        subject = f"mails:{pseudonym(settings, 'mails', *of)}"
        if await daily_counters.take(session, day, subject, 1, limit) is None:
            return
    await mails.write(session, kind, email, password_hash, user_id)


def _seconds_left_today() -> int:
    now = datetime.now(UTC)
    midnight = datetime.combine(now.date() + timedelta(days=1), datetime.min.time(), UTC)
    return int((midnight - now).total_seconds()) + 1
