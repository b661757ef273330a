"""The plans: what an account may have waiting and running at a time.

A user's own numbers, set by an administrator, come before the plan's; ``MAX_WAITING_JOBS`` of the
installation bounds them all. What a plan costs is no business of this file.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from db.tables import User


@dataclass(frozen=True)
class Plan:
    """Jobs of one user over all generators; None is no bound of the plan's own.

    ``discount_percent`` is off every job's price.
    """

    name: str
    title: str
    max_waiting_jobs: int | None
    max_running_jobs: int | None
    discount_percent: int = 0


DEFAULT = Plan("free", "Free", max_waiting_jobs=10_000, max_running_jobs=20)
PLANS = {
    plan.name: plan
    for plan in (
        DEFAULT,
        Plan(
            "starter", "Starter", max_waiting_jobs=20_000, max_running_jobs=40, discount_percent=5
        ),
        Plan("pro", "Pro", max_waiting_jobs=50_000, max_running_jobs=100, discount_percent=10),
        Plan("unlimited", "Unlimited", max_waiting_jobs=None, max_running_jobs=None),
    )
}


@dataclass(frozen=True)
class Limits:
    """What holds for one user: jobs waiting and jobs running; None is no bound."""

    plan: Plan
    waiting: int | None
    running: int | None

    def max_waiting(self, ceiling: int) -> int:
        """How many may wait where the installation allows ``ceiling``."""
        return ceiling if self.waiting is None else min(self.waiting, ceiling)


def discount_percent(plan: str) -> int:
    """Off every job's price; of a plan that is not known any more nothing."""
    return PLANS.get(plan, DEFAULT).discount_percent


def limits(plan: str, max_waiting_jobs: int | None, max_running_jobs: int | None) -> Limits:
    """From the columns of ``users``. A plan that is not known any more counts as the default."""
    of = PLANS.get(plan, DEFAULT)
    return Limits(
        of,
        of.max_waiting_jobs if max_waiting_jobs is None else max_waiting_jobs,
        of.max_running_jobs if max_running_jobs is None else max_running_jobs,
    )


async def limits_of(session: AsyncSession, user_id: str) -> Limits:
    """Raises sqlalchemy.exc.NoResultFound: no such user."""
    columns = select(User.plan, User.max_waiting_jobs, User.max_running_jobs)
    return limits(*(await session.execute(columns.where(User.id == user_id))).one())
