"""The route of usage: jobs and credits by day, generator and API key."""

from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import Annotated

from fastapi import Query
from sqlalchemy.ext.asyncio import AsyncSession

from billing.usage import GROUPS, UsageRow, usage
from serve_app.auth.identity import BillingDep
from serve_app.http.dependencies import ClientsDep
from serve_app.http.errors import BadInput, FieldError
from serve_app.http.schemas import Day, View
from serve_app.routing import make_router

router = make_router("/v1/usage", tags=["credits"])

MAX_DAYS = 366
DEFAULT_DAYS = 30


class CountsView(View):
    """Jobs that ended, and the credits they cost."""

    jobs: int
    succeeded: int
    failed: int
    canceled: int
    credits: int


class UsedView(CountsView):
    """The same of one group; null is what was not asked to be grouped by, or has no API key."""

    day: date | None
    generator: str | None
    api_key_id: str | None


class UsageView(View):
    """``from`` and ``to`` are days in UTC, both included."""

    data: list[UsedView]
    total: CountsView


@router.get("")
async def index(
    identity: BillingDep,
    clients: ClientsDep,
    first: Annotated[Day | None, Query(alias="from", description="The first day (UTC).")] = None,
    last: Annotated[Day | None, Query(alias="to", description="The last day (UTC).")] = None,
    by: Annotated[str, Query(description="Of `day`, `generator`, `key`, with commas.")] = "day",
) -> UsageView:
    """What your jobs cost, by the day they ended, the generator, the API key. Usually of the last
    thirty days."""
    last = last or datetime.now(UTC).date()
    if first is None:
        first = date.fromordinal(max(1, last.toordinal() - (DEFAULT_DAYS - 1)))
    groups = [name.strip() for name in by.split(",") if name.strip()]
    faults: list[FieldError] = []
    if not set(groups) <= set(GROUPS):
        faults.append({"loc": ["query", "by"], "msg": f"of {', '.join(GROUPS)}", "code": "enum"})
    if not 0 <= (last - first).days < MAX_DAYS:
        words = f"`from` to `to` is one day at least and {MAX_DAYS} at most"
        faults.append({"loc": ["query", "to"], "msg": words, "code": "invalid_period"})
    if faults:
        raise BadInput(errors=faults)

    async def read_usage(session: AsyncSession) -> Sequence[UsageRow]:
        return await usage(session, identity.user_id, first, last, groups)

    rows = await clients.read_sessions(read_usage)
    counts = ("jobs", "succeeded", "failed", "canceled", "credits")
    return UsageView(
        data=[UsedView.model_validate(row, from_attributes=True) for row in rows],
        total=CountsView(**{name: sum(getattr(row, name) for row in rows) for name in counts}),
    )
