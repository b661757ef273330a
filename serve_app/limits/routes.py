"""The limits of waiting and running jobs."""

from fastapi import APIRouter

from serve_app.auth.identity import JobsReadDep
from serve_app.http.dependencies import ClientsDep
from serve_app.limits.usage import LimitsView, limit_usage, limit_views

router = APIRouter(prefix="/v1/limits", tags=["limits"])


@router.get("")
async def limits(identity: JobsReadDep, clients: ClientsDep) -> LimitsView:
    """Your plan, and how many jobs you have and may have, waiting and running."""
    bounds = clients.settings.limits
    async with clients.sessions() as session:
        usage = await limit_usage(session, identity.user_id, bounds.max_waiting_jobs)
    return LimitsView(
        plan=usage.plan, **limit_views(usage), requests_per_minute=bounds.rate_limit_per_minute
    )
