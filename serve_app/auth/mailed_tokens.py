"""What is done with a mailed token: an address is verified, a forgotten password set anew."""

from __future__ import annotations

from dataclasses import dataclass

from db.accounts import account_tokens, factors, users
from db.operations import audit_log
from db.outbox import mails
from serve_app.auth import refresh
from serve_app.auth.log_in import refuse_token
from serve_app.auth.register import DailyBound, record_account, write_mail
from serve_app.auth.subjects import account_subject
from serve_app.auth.welcome import grant_welcome
from serve_app.http.errors import EmailTaken, MailDisabled
from serve_app.resources import Clients


@dataclass(frozen=True)
class Reset:
    """A device token, and what else logs in to the account, which the new password leaves as it is:
    a mail is no second factor. The owner sees whether somebody else added one.
    """

    device_token: str
    factors: tuple[factors.Factor, ...]


async def verify_address(clients: Clients, network: str, token: str) -> str:
    """Let the account log in, and grant its welcome credits, or give it the address that the token
    was mailed to; returns a device token.

    Raises:
        InvalidToken: the token is unknown, expired or used.
        RateLimited: too many wrong tokens came from this network.
        EmailTaken: another account got the address meanwhile.
    """
    if token.startswith("change_"):
        return await _change_address(clients, network, token)
    async with clients.sessions.begin() as session:
        used = await account_tokens.use(session, token, "verify")
        if (
            used is not None
            and used.password_hash is not None
            and await users.activate(session, used.user_id, used.password_hash)
        ):
            await grant_welcome(session, clients, used.user_id)
            await record_account(session, used.user_id)
    if used is None:
        await refuse_token(clients, network)
    return clients.devices.sign(used.user_id)


async def _change_address(clients: Clients, network: str, token: str) -> str:
    async with clients.sessions.begin() as session:
        used = await account_tokens.use(session, token, "change")
        if used is not None and used.email is not None:
            user = await users.get(session, used.user_id)
            before = user.email if user is not None else used.email
            if not await users.change_email(session, used.user_id, used.email):
                raise EmailTaken
            if before != used.email:
                await mails.write(session, mails.ADDRESS_CHANGED, before, user_id=used.user_id)
            await audit_log.write(
                session, actor=used.user_id, action="user.email", subject=used.user_id
            )
    if used is None:
        await refuse_token(clients, network)
    return clients.devices.sign(used.user_id)


async def ask_reset(clients: Clients, network: str, email: str) -> None:
    """Mail a token that sets a new password, if the address has an account.

    Raises:
        MailDisabled: no mails are sent here.
        RateLimited: too many were asked for from this network today.
    """
    if not clients.settings.mail.enabled:
        raise MailDisabled
    settings = clients.settings.auth
    async with clients.sessions.begin() as session:
        await DailyBound(settings, "resets", network).take(session)
        await write_mail(session, settings, network, mails.RESET, email)


async def reset_password(clients: Clients, network: str, token: str, password: str) -> Reset:
    """Set a new password and end all log-ins of the user.

    Raises:
        MailDisabled: no mails are sent here.
        InvalidToken: the token is unknown, expired or used.
        RateLimited: too many wrong tokens came from this network.
        Unavailable: too many passwords are being hashed.
    """
    if not clients.settings.mail.enabled:
        raise MailDisabled
    async with clients.sessions() as session:
        if not await account_tokens.is_usable(session, token, "reset"):
            await refuse_token(clients, network)
    password_hash = await clients.passwords.hash(network, password)
    async with clients.sessions.begin() as session:
        used = await account_tokens.use(session, token, "reset")
        if used is not None:
            await users.set_password(session, used.user_id, password_hash)
            await refresh.revoke_user(session, used.user_id)
            user = await users.get(session, used.user_id)
            left = await factors.of_user(session, used.user_id)
            await audit_log.write(
                session,
                actor=used.user_id,
                action="user.password",
                subject=used.user_id,
                detail={"by": "mail"},
            )
    if used is None:
        await refuse_token(clients, network)
    if user is not None:
        await clients.attempts.succeeded(account_subject(clients.settings.auth, user.email))
    return Reset(clients.devices.sign(used.user_id), left)
