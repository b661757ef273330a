"""The plans: how many jobs of an account may wait, run and be followed, and its share of a queue.

Limits of a user, set by an administrator, replace those of the plan; ``MAX_WAITING_JOBS`` of the
installation limits them all. ``billing.offers`` has the prices of plans.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from db.tables import User


@dataclass(frozen=True)
class Plan:
    """A plan: limits on the jobs of one user over all generators; None is no limit.

    ``max_streams`` bounds the event streams and waiting requests that are open in one process of
    the API. ``discount_percent`` reduces the price of every job. While jobs of several users wait
    in a queue, each gets a share of it by ``queue_weight``. ``rate_factor`` multiplies how many
    requests the API takes (``serve_app.http.rates``).
    """

    name: str
    title: str
    max_waiting_jobs: int | None
    max_running_jobs: int | None
    max_streams: int | None
    discount_percent: int = 0
    queue_weight: int = 1
    rate_factor: int = 1


DEFAULT = Plan("free", "Free", max_waiting_jobs=10_000, max_running_jobs=20, max_streams=25)
PLANS = {
    plan.name: plan
    for plan in (
        DEFAULT,
        Plan(
            "starter",
            "Starter",
            max_waiting_jobs=20_000,
            max_running_jobs=40,
            max_streams=100,
            discount_percent=5,
            queue_weight=2,
            rate_factor=2,
        ),
        Plan(
            "pro",
            "Pro",
            max_waiting_jobs=50_000,
            max_running_jobs=100,
            max_streams=300,
            discount_percent=10,
            queue_weight=4,
            rate_factor=4,
        ),
        Plan(
            "unlimited",
            "Unlimited",
            max_waiting_jobs=None,
            max_running_jobs=None,
            max_streams=None,
            queue_weight=4,
            rate_factor=10,
        ),
    )
}


@dataclass(frozen=True)
class Limits:
    """The limits of one user: waiting and running jobs; None is no limit."""

    plan: Plan
    waiting: int | None
    running: int | None

    def max_waiting(self, ceiling: int) -> int:
        """Return how many jobs may wait if the installation allows ``ceiling``."""
        return ceiling if self.waiting is None else min(self.waiting, ceiling)


def discount_percent(plan: str) -> int:
    """Return the discount of a plan; 0 for a plan that no longer exists."""
    return PLANS.get(plan, DEFAULT).discount_percent


def max_streams(plan: str) -> int | None:
    """Return how many streams a user may have open; that of the default for an unknown plan."""
    return PLANS.get(plan, DEFAULT).max_streams


def limits(plan: str, max_waiting_jobs: int | None, max_running_jobs: int | None) -> Limits:
    """Build limits from columns of ``users``. A plan that no longer exists is the default."""
    of = PLANS.get(plan, DEFAULT)
    return Limits(
        of,
        of.max_waiting_jobs if max_waiting_jobs is None else max_waiting_jobs,
        of.max_running_jobs if max_running_jobs is None else max_running_jobs,
    )


async def limits_of(session: AsyncSession, user_id: str) -> Limits:
    """Return the limits of a user; raises sqlalchemy.exc.NoResultFound if there is no such user."""
    columns = select(User.plan, User.max_waiting_jobs, User.max_running_jobs)
    return limits(*(await session.execute(columns.where(User.id == user_id))).one())
