"""What is kept of a user, as JSON values: the rows of an export.

Long lists are read page by page, newest first.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from dataclasses import asdict
from datetime import timedelta
from functools import partial
from typing import Any

from sqlalchemy import or_, select

from db.accounts import files, passkeys, personas, recovery_codes, totp, users
from db.jobs import batches, queries
from db.jobs.queries import JobFilter
from db.tables import (
    ApiKey,
    AuditLog,
    Base,
    Job,
    Payment,
    Reversal,
    StripeCustomer,
    Subscription,
    WebhookSecret,
)
from deployments.batch_representation import batch_representation
from deployments.job_representation import job_representation
from serve_app.account.paths import archive_path
from serve_app.credits import statement
from serve_app.http.errors import NotFound
from serve_app.resources import Clients

PAGE = 200
# Of a link that is left out: signed with the key that made it, it would outlive the export.
_LINK = ("url", "expires_at")

Record = dict[str, Any]


async def account(clients: Clients, user_id: str) -> Record:
    """Return the account; raises NotFound if there is none."""
    async with clients.sessions() as session:
        user = await users.get(session, user_id)
    if user is None:
        raise NotFound
    names = (
        "id", "email", "role", "plan", "balance", "held", "debt", "max_waiting_jobs",
        "max_running_jobs", "created_at",
    )  # fmt: skip
    return _fields(user, names)


async def api_keys(clients: Clients, user_id: str) -> list[Record]:
    """List the keys, revoked ones too, without what would open anything."""
    query = select(ApiKey).where(ApiKey.user_id == user_id).order_by(ApiKey.id)
    names = (
        "id", "name", "hint", "scopes", "monthly_cap", "created_at", "last_used_at", "expires_at",
        "revoked_at",
    )  # fmt: skip
    async with clients.sessions() as session:
        return [_fields(row, names) for row in await session.scalars(query)]


async def second_factors(clients: Clients, user_id: str) -> Record:
    """Return what else log-ins need or are done by, without what would open anything."""
    async with clients.sessions() as session:
        factor = await totp.get(session, user_id)
        left = await recovery_codes.left(session, user_id)
        keys = await passkeys.of_user(session, user_id)
    names = ("id", "name", "created_at", "last_used_at")
    return {
        "passkeys": [_fields(key, names) for key in keys],
        "totp": None
        if factor is None
        else {
            "created_at": factor.created_at,
            "confirmed_at": factor.confirmed_at,
            "recovery_codes_left": left,
        },
    }


async def audit_entries(clients: Clients, user_id: str) -> list[Record]:
    """List what the audit log says of the user: who changed what of the account, and when."""
    query = (
        select(AuditLog)
        .where(or_(AuditLog.actor == user_id, AuditLog.subject == user_id))
        .order_by(AuditLog.id)
    )
    async with clients.sessions() as session:
        names = ("actor", "action", "subject", "detail", "created_at")
        return [_fields(row, names) for row in await session.scalars(query)]


async def personas_with_consent(clients: Clients, user_id: str) -> list[Record]:
    """List the personas, each with its pictures and every record of a consent."""
    found: list[Record] = []
    after: str | None = None
    while True:
        async with clients.sessions() as session:
            page = await personas.page(session, user_id, after, PAGE)
            ids = [saved.id for saved in page]
            entries = select(AuditLog).where(AuditLog.subject.in_(ids)).order_by(AuditLog.id)
            consents = (await session.scalars(entries)).all()
        for saved in page:
            names = ("id", "name", "description", "consented_at", "consent", "created_at")
            records = [
                {"at": entry.created_at, **entry.detail}
                for entry in consents
                if entry.subject == saved.id
            ]
            found.append(
                {
                    **_fields(saved.persona, (*names, "updated_at")),
                    "pictures": [archive_path(file) for file in saved.files],
                    "consent_records": records,
                }
            )
        if len(page) < PAGE:
            return found
        after = page[-1].id


async def payments(clients: Clients, user_id: str) -> Record:
    """Return payments, what of them went back, and subscriptions."""
    async with clients.sessions() as session:
        paid = (
            await session.scalars(
                select(Payment).where(Payment.user_id == user_id).order_by(Payment.created_at)
            )
        ).all()
        back = await session.scalars(
            select(Reversal).where(Reversal.payment_id.in_([payment.id for payment in paid]))
        )
        plans = await session.scalars(select(Subscription).where(Subscription.user_id == user_id))
        customer_id = await session.scalar(
            select(StripeCustomer.customer_id).where(StripeCustomer.user_id == user_id)
        )
        return {
            "stripe_customer_id": customer_id,
            "payments": [_columns(row) for row in paid],
            "reversals": [_columns(row) for row in back],
            "subscriptions": [_columns(row) for row in plans],
        }


async def webhooks(clients: Clients, user_id: str) -> Record:
    """Return the alert of low credits, and when the secret was made, which stays unsaid."""
    async with clients.sessions() as session:
        user = await users.get(session, user_id)
        secret = await session.get(WebhookSecret, user_id)
    return {
        "low_balance_alert": {
            "threshold": user.low_balance if user else None,
            "webhook_url": user.low_balance_url if user else None,
        },
        "signing_secret": None
        if secret is None
        else {"created_at": secret.created_at, "previous_until": secret.previous_until},
    }


async def batches_of(clients: Clients, user_id: str) -> AsyncIterator[Record]:
    after: str | None = None
    while True:
        async with clients.sessions() as session:
            page = await batches.page(session, user_id, after, PAGE)
        for batch in page:
            yield batch_representation(batch)
        if len(page) < PAGE:
            return
        after = page[-1].id


async def jobs(clients: Clients, user_id: str) -> AsyncIterator[Record]:
    """Yield the jobs that are not erased, each with its metadata document."""
    after: str | None = None
    while True:
        async with clients.sessions() as session:
            page = await queries.page(session, user_id, JobFilter(), after, PAGE)
        for job in page:
            document = await clients.documents.get(job.id)
            yield {**_without_links(clients, job), "document": document or {}}
        if len(page) < PAGE:
            return
        after = page[-1].id


async def transactions(clients: Clients, user_id: str) -> AsyncIterator[Record]:
    selection, after = statement.StatementFilter(user_id), None
    while True:
        page = await clients.read_sessions(
            partial(statement.get_lines, selection=selection, after=after, limit=PAGE)
        )
        for line in page:
            yield asdict(line)
        if len(page) < PAGE:
            return
        after = page[-1].id


async def file_records(clients: Clients, user_id: str) -> AsyncIterator[Record]:
    """Yield what is known of each file, and its path in the export."""
    names = ("id", "purpose", "name", "content_type", "bytes", "sha256", "job_id", "created_at")
    after: str | None = None
    while True:
        async with clients.sessions() as session:
            page = await files.page(session, user_id, None, after, PAGE)
        for file in page:
            yield {**_fields(file, names), "path": archive_path(file)}
        if len(page) < PAGE:
            return
        after = page[-1].id


def _without_links(clients: Clients, job: Job) -> Record:
    record = job_representation(job, clients.objects, timedelta(minutes=1))
    for output in record["outputs"]:
        for name in _LINK:
            output.pop(name)
    return record


def _fields(row: Base, names: Iterable[str]) -> Record:
    return {name: getattr(row, name) for name in names}


def _columns(row: Base) -> Record:
    return _fields(row, (column.key for column in row.__table__.columns))
