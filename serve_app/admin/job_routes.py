"""For administrators: the jobs of all users."""

from typing import Annotated

from fastapi import Query

from db.jobs import queries
from db.jobs.queries import JobFilter
from serve_app.admin.schemas import AdminJobView
from serve_app.auth.identity import AdminDep
from serve_app.http.dependencies import (
    AfterDep,
    ClientsDep,
    CreatedAfterDep,
    CreatedBeforeDep,
    LimitDep,
)
from serve_app.http.pagination import Page, paginate
from serve_app.jobs.schemas import Status
from serve_app.routing import make_router

router = make_router("/v1/admin/jobs", tags=["admin"])


@router.get("")
async def index(
    admin: AdminDep,
    clients: ClientsDep,
    user_id: Annotated[str | None, Query(pattern=r"^usr_[0-9A-Z]{26}$")] = None,
    status: Status | None = None,
    generator: Annotated[str | None, Query(pattern=r"^[a-z0-9_]{1,64}$")] = None,
    request_id: Annotated[
        str | None,
        Query(
            pattern=r"^[A-Za-z0-9._:-]{1,128}$",
            description="The `X-Request-ID` that submitted them.",
        ),
    ] = None,
    created_after: CreatedAfterDep = None,
    created_before: CreatedBeforeDep = None,
    limit: LimitDep = 20,
    after: AfterDep = None,
) -> Page[AdminJobView]:
    """Everybody's jobs, newest first, without what was asked and made. Erased ones, too."""
    which = JobFilter(
        status, generator, created_after, created_before, user_id=user_id, request_id=request_id
    )
    rows = await clients.read_sessions(
        lambda session: queries.page_of_all(session, which, after, limit + 1)
    )
    page_rows, has_more, following = paginate(rows, limit)
    views = [AdminJobView.model_validate(row, from_attributes=True) for row in page_rows]
    return Page(data=views, has_more=has_more, next=following)
