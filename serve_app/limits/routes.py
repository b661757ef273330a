"""The limits of waiting and running jobs, and of streams."""

from billing import plans
from db.accounts import storage
from serve_app.auth.identity import JobsReadDep
from serve_app.http.dependencies import ClientsDep
from serve_app.limits.storage import quota_of
from serve_app.limits.usage import LimitsView, RateView, Used, limit_usage, limit_views
from serve_app.routing import make_router

router = make_router("/v1/limits", tags=["limits"])


@router.get("")
async def limits(identity: JobsReadDep, clients: ClientsDep) -> LimitsView:
    """Your plan, how many jobs and streams you have and may have, and how fast you may ask."""
    bounds = clients.settings.limits
    async with clients.sessions() as session:
        usage = await limit_usage(session, identity.user_id, bounds.max_waiting_jobs)
        stored = await storage.used(session, identity.user_id)
    rates = clients.rates.of_user(usage.plan)
    return LimitsView(
        plan=usage.plan,
        **limit_views(usage),
        streams=Used(
            now=clients.open_streams.count(identity.user_id), max=plans.max_streams(usage.plan)
        ),
        storage=Used(now=stored, max=quota_of(bounds, usage.plan)),
        requests_per_minute=rates["read"].per_minute,
        rates={
            kind: RateView(per_minute=rate.per_minute, burst=rate.capacity)
            for kind, rate in rates.items()
        },
    )
