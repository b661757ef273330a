"""For staff: the jobs of all users."""

from typing import Annotated

from fastapi import Query, Request, Response

from db.jobs import queries
from db.jobs.queries import JobFilter
from db.tables import Job
from serve_app.admin import jobs
from serve_app.admin.schemas import AdminJobView
from serve_app.auth.identity import Identity, require
from serve_app.auth.permissions import Permission
from serve_app.http.dependencies import (
    AfterDep,
    ClientsDep,
    CreatedAfterDep,
    CreatedBeforeDep,
    IdempotencyKeyDep,
    LimitDep,
    validate_id,
)
from serve_app.http.errors import JobNotFinal
from serve_app.http.pagination import Page, paginate
from serve_app.http.problems import problem_responses
from serve_app.http.request_context import request_context
from serve_app.jobs.schemas import Status
from serve_app.jobs.submit import SUBMISSION_REFUSALS
from serve_app.routing import make_router

router = make_router("/v1/admin/jobs", tags=["admin"])


@router.get("")
async def index(
    staff: Annotated[Identity, require(Permission.JOBS_READ)],
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
    views = [_view(row) for row in page_rows]
    return Page(data=views, has_more=has_more, next=following)


@router.post("/{job_id}/cancel")
async def cancel(
    job_id: str,
    staff: Annotated[Identity, require(Permission.JOBS_CANCEL)],
    clients: ClientsDep,
) -> AdminJobView:
    """Cancel a job: a waiting one ends now and costs nothing, a running one is asked to stop.

    Calling it again, or for a job that has ended, changes nothing. A job of staff takes the
    permission `accounts.staff`, too.
    """
    return _view(await jobs.cancel(clients, staff, validate_id(job_id, "job")))


@router.post(
    "/{job_id}/retry",
    status_code=202,
    responses=problem_responses(JobNotFinal, *SUBMISSION_REFUSALS),
)
async def retry(
    job_id: str,
    staff: Annotated[Identity, require(Permission.JOBS_RETRY)],
    clients: ClientsDep,
    request: Request,
    response: Response,
    idempotency_key: IdempotencyKeyDep = None,
) -> AdminJobView:
    """Make a job that ended again, as a new one of its owner, who pays for it as for any job."""
    request_id = request_context(request).request_id
    job_id = validate_id(job_id, "job")
    done = await jobs.retry(clients, staff, job_id, idempotency_key, request_id)
    if done.replayed:
        response.headers["Idempotent-Replayed"] = "true"
    return _view(done.job)


def _view(job: Job) -> AdminJobView:
    return AdminJobView.model_validate(job, from_attributes=True)
