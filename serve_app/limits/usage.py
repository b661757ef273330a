"""The limits of a user (jobs waiting and running, streams) and how much of them is used."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import Field
from sqlalchemy.ext.asyncio import AsyncSession

from billing import plans
from db.jobs import deferred
from serve_app.http.schemas import View


@dataclass(frozen=True)
class LimitUsage:
    """A user's limits, those of the installation applied, and how much of them is used.

    ``most_running`` of None is no bound.
    """

    plan: str
    waiting: int
    max_waiting: int
    running: int
    max_running: int | None


async def limit_usage(session: AsyncSession, user_id: str, ceiling: int) -> LimitUsage:
    """Return the user's limits and their use.

    ``ceiling`` is the installation's limit of waiting jobs per user; counting stops there.

    Raises:
        sqlalchemy.exc.NoResultFound: no such user.
    """
    limits = await plans.limits_of(session, user_id)
    return LimitUsage(
        plan=limits.plan.name,
        waiting=await deferred.count_queued(session, user_id, up_to=ceiling),
        max_waiting=limits.max_waiting(ceiling),
        running=await deferred.count_running(session, user_id),
        max_running=limits.running,
    )


class Used(View):
    """How many there are and may be; ``max`` of null is no bound."""

    now: int
    max: int | None


class RateView(View):
    """How many requests come back in a minute, and how many may be sent at once."""

    per_minute: int
    burst: int


class LimitsView(View):
    """What you may have, and have."""

    plan: str
    waiting: Used
    running: Used = Field(description="Over all generators; what is above waits.")
    streams: Used = Field(
        description="Event streams and waiting requests that are open at the replica that answers."
    )
    storage: Used = Field(description="The bytes of your files, those of your jobs included.")
    requests_per_minute: int = Field(description="Those of the class read.")
    rates: dict[str, RateView] = Field(description="By class of request, of all you send.")


def limit_views(usage: LimitUsage) -> dict[str, Used]:
    """Return the fields ``waiting`` and ``running`` of ``LimitsView``."""
    return {
        "waiting": Used(now=usage.waiting, max=usage.max_waiting),
        "running": Used(now=usage.running, max=usage.max_running),
    }
