"""How much one may have at a time."""

from fastapi import APIRouter

from serve_app.auth.identity import ReaderDep
from serve_app.deps import ClientsDep
from serve_app.limits import LimitsView, standing, used

router = APIRouter(prefix="/v1/limits", tags=["limits"])


@router.get("")
async def limits(identity: ReaderDep, clients: ClientsDep) -> LimitsView:
    """Your plan, and how many jobs you have and may have, waiting and running."""
    bounds = clients.settings.limits
    async with clients.sessions() as session:
        found = await standing(session, identity.user_id, bounds.max_waiting_jobs)
    return LimitsView(
        plan=found.plan, **used(found), requests_per_minute=bounds.rate_limit_per_minute
    )
