"""Send the mails of the outbox, a few at a time: nothing else waits for the mail server.

A mail is sent at least once, and twice if this process ends between the server's answer and the
confirmation; each time it brings a token of its own.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from db.accounts import account_tokens, factors, users
from db.outbox import mails
from db.outbox import rows as outbox
from db.tables import Outbox
from deployments.maintenance.context import MaintenanceContext
from deployments.maintenance.delivery_counts import count_delivery
from deployments.maintenance.mail_texts import (
    change_mail,
    changed_mail,
    known_mail,
    reset_mail,
    security_mail,
    verify_mail,
)
from deployments.messaging.mail import Mail, Mailer, MailNotSent

# Each has a thread and a connection to the server.
MAX_CONCURRENT = 4

# The delays between the attempts; the last one repeats until the mail is given up.
RETRY_DELAYS = (
    timedelta(seconds=5),
    timedelta(seconds=30),
    timedelta(minutes=2),
    timedelta(minutes=10),
    timedelta(minutes=30),
    timedelta(hours=1),
)
GIVE_UP_AFTER = timedelta(hours=24)

log = structlog.get_logger(__name__)


async def deliver_mails(context: MaintenanceContext) -> int:
    """Send the mails that are due, at most ``MAX_CONCURRENT``; returns how many were tried."""
    if context.mailer is None:
        return 0
    if not await outbox.is_any_due(context.stores.statements, outbox.MAIL):
        return 0
    async with context.stores.sessions.begin() as session:
        rows = await mails.lease_due(session, MAX_CONCURRENT)
    await asyncio.gather(*(_deliver(context, context.mailer, row) for row in rows))
    return len(rows)


async def _deliver(context: MaintenanceContext, mailer: Mailer, row: Outbox) -> None:
    """Send one mail and record what came of it; without anybody to send it to, it is done."""
    kind = row.payload["kind"]
    try:
        mail = await _write_mail(context, row)
        if mail is not None:
            await mailer.send(mail)
    except MailNotSent as error:
        await _record_failure(context, row, error)
        return
    async with context.stores.sessions.begin() as session:
        await mails.finish(session, row)
    count_delivery(row, "delivered")
    log.info("mail_sent" if mail is not None else "mail_to_nobody", kind=kind, attempt=row.attempts)


async def _write_mail(context: MaintenanceContext, row: Outbox) -> Mail | None:
    """Write the mail, with a new token; None if there is no account that it could be for."""
    to, kind, link_url = row.payload["email"], row.payload["kind"], context.mail_link_url
    async with context.stores.sessions.begin() as session:
        if kind in (mails.NEW_ADDRESS, mails.ADDRESS_CHANGED):
            return await _write_address_mail(session, kind, to, row.payload["user_id"], link_url)
        if kind in mails.SECURITY_KINDS:
            owner = await users.get(session, row.payload["user_id"])
            return None if owner is None or owner.deleted_at else security_mail(to, kind)
        user = await users.by_email(session, to)
        if user is None or user.deleted_at is not None:
            return None
        if kind == mails.REGISTERED:
            if not user.pending:
                return known_mail(user.email)
            password_hash = row.payload["password_hash"]
            token = await account_tokens.issue(session, user.id, "verify", password_hash)
            return verify_mail(user.email, token, link_url)
        if user.pending:  # it has no password yet that could be forgotten
            return None
        token = await account_tokens.issue(session, user.id, "reset")
        left = await factors.of_user(session, user.id)
        return reset_mail(user.email, token, link_url, left)


async def _write_address_mail(
    session: AsyncSession, kind: str, to: str, user_id: str, link_url: str | None
) -> Mail | None:
    user = await users.get(session, user_id)
    if user is None or user.deleted_at is not None:
        return None
    if kind == mails.ADDRESS_CHANGED:
        return changed_mail(to)
    owner = await users.by_email(session, to)
    if owner is not None and not owner.pending:
        # It is told, as whoever asked is not, that there is an account.
        return known_mail(to) if owner.deleted_at is None and owner.id != user_id else None
    token = await account_tokens.issue(session, user.id, "change", email=to.lower())
    return change_mail(to, token, link_url)


async def _record_failure(context: MaintenanceContext, row: Outbox, error: MailNotSent) -> None:
    kind, reason = row.payload["kind"], str(error)
    delay = RETRY_DELAYS[min(row.attempts, len(RETRY_DELAYS)) - 1]
    ends = error.permanent or datetime.now(UTC) + delay > row.created_at + GIVE_UP_AFTER
    async with context.stores.sessions.begin() as session:
        if ends:
            await mails.finish(session, row, reason)
        else:
            await mails.postpone(session, row, delay, reason)
    count_delivery(row, "given_up" if ends else "postponed")
    if ends:
        log.warning("mail_given_up", kind=kind, attempt=row.attempts, error=reason)
    else:
        again_in_s = delay.total_seconds()
        log.info(
            "mail_postponed", kind=kind, attempt=row.attempts, error=reason, again_in_s=again_in_s
        )
