"""Delete an account: nobody can use it from now on, and maintenance erases what it holds."""

from __future__ import annotations

import structlog
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from billing.stripe.payments import ENDED_STATUSES
from db.accounts import account_tokens, erasure
from db.operations import audit_log
from db.tables import Subscription, User
from serve_app.auth import api_keys, refresh
from serve_app.auth.confirm_password import confirm_password
from serve_app.auth.identity import Identity
from serve_app.http.errors import OwnAccount, SubscriptionActive, WrongCredentials
from serve_app.resources import Clients

log = structlog.get_logger()


async def delete_account(clients: Clients, network: str, identity: Identity, password: str) -> None:
    """Mark the account as deleted and end its log-ins and keys, in one transaction.

    ``deployments.maintenance.erase_accounts`` cancels its jobs and erases the rest.

    Raises:
        WrongCredentials: the password is wrong.
        OwnAccount: an administrator's, so that one is always left.
        SubscriptionActive: a plan would go on being paid.
        RateLimited: too many attempts failed before.
        Unavailable: too many passwords are being checked.
    """
    user = await confirm_password(clients, network, identity, password)
    async with clients.sessions.begin() as session:
        # The tokens before the user, as whoever uses one does.
        await account_tokens.delete_of_user(session, user.id)
        if not await erasure.mark_deleted(session, user.id, user.password_hash):
            raise WrongCredentials("The password was changed meanwhile.")
        # The row is locked by now: the role is the one that it has.
        if await session.scalar(select(User.role).where(User.id == user.id)) == "admin":
            raise OwnAccount("Ask another administrator to make your account a user first.")
        if await _has_plan_to_pay(session, user.id):
            raise SubscriptionActive
        await refresh.revoke_user(session, user.id)
        await api_keys.revoke_all(session, user.id)
        await audit_log.write(session, actor=user.id, action="user.deleted", subject=user.id)
    log.info("account_deleted", user_id=user.id)


async def _has_plan_to_pay(session: AsyncSession, user_id: str) -> bool:
    """Whether a subscription goes on. One that ends with its period is paid already."""
    found = await session.scalar(
        select(Subscription.id)
        .where(
            Subscription.user_id == user_id,
            Subscription.status.not_in(ENDED_STATUSES),
            ~Subscription.cancel_at_period_end,
        )
        .limit(1)
    )
    return found is not None
