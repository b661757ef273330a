"""For staff: queues, dead letters and the ledger."""

import asyncio
from collections.abc import Mapping
from typing import Annotated

from fastapi import Request

from db.jobs import dead_letters, queue_states
from db.jobs.queue_states import RUNNING, QueueStatus
from serve_app.admin import dead_letters as letters
from serve_app.admin.dead_letters import Letter
from serve_app.admin.queues import QueueAction
from serve_app.admin.queues import apply_action as give_order
from serve_app.admin.schemas import DeadLetterView, QueueStateView
from serve_app.auth.identity import Identity, require
from serve_app.auth.permissions import Permission
from serve_app.credits import statement
from serve_app.generators.routes import queue_counts
from serve_app.http.csv_response import CSVResponse, csv_response
from serve_app.http.dependencies import (
    AfterDep,
    ClientsDep,
    CreatedAfterDep,
    CreatedBeforeDep,
    LimitDep,
    validate_id,
)
from serve_app.http.errors import AlreadyResolved, JobNotFinal
from serve_app.http.pagination import Page, paginate
from serve_app.http.problems import problem_responses
from serve_app.http.request_context import request_context
from serve_app.jobs.submit import SUBMISSION_REFUSALS
from serve_app.resources import Clients
from serve_app.routing import make_router

router = make_router("/v1/admin", tags=["admin"])


@router.get("/queues")
async def queues(
    staff: Annotated[Identity, require(Permission.QUEUES_READ)], clients: ClientsDep
) -> dict[str, list[QueueStateView]]:
    """Every generator's queue."""
    async with clients.sessions() as session:
        states = await queue_states.get_all(session)
    replicas = await clients.replicas()
    views = [
        _queue_view(clients, name, states.get(name, RUNNING), replicas) for name in clients.catalog
    ]
    return {"data": list(await asyncio.gather(*views))}


@router.post("/queues/{generator}/{order}")
async def order_queue(
    generator: str,
    order: QueueAction,
    staff: Annotated[Identity, require(Permission.QUEUES_ORDER)],
    clients: ClientsDep,
) -> QueueStateView:
    """`pause`: replicas finish what they have and take no more. `drain`: no new jobs are accepted.
    `resume`: neither."""
    state = await give_order(clients, staff, generator, order)
    return await _queue_view(clients, generator, state, await clients.replicas())


async def _queue_view(
    clients: Clients, generator: str, state: QueueStatus, replicas: Mapping[str, int] | None
) -> QueueStateView:
    counts = await queue_counts(clients.queues[generator])
    return QueueStateView(
        generator=generator,
        waiting=None if counts is None else counts.waiting,
        active=None if counts is None else counts.active,
        replicas=None if replicas is None else replicas.get(generator, 0),
        paused=state.paused,
        draining=state.draining,
    )


@router.get("/dead-letters")
async def index(
    staff: Annotated[Identity, require(Permission.DEAD_LETTERS_READ)],
    clients: ClientsDep,
    unresolved: bool = True,
    limit: LimitDep = 20,
    after: AfterDep = None,
) -> Page[DeadLetterView]:
    """Jobs that were given up after their replicas were lost, newest first."""
    letters = await clients.read_sessions(
        lambda session: dead_letters.page(
            session, unresolved=unresolved, after=after, limit=limit + 1
        )
    )
    views = [_view(staff, letter) for letter in letters]
    page_rows, has_more, following = paginate(views, limit)
    return Page(data=list(page_rows), has_more=has_more, next=following)


@router.get("/dead-letters/{letter_id}")
async def look(
    letter_id: str,
    staff: Annotated[Identity, require(Permission.DEAD_LETTERS_READ)],
    clients: ClientsDep,
) -> DeadLetterView:
    """One of them."""
    return _view(staff, await letters.get(clients, validate_id(letter_id, "dead")))


@router.post(
    "/dead-letters/{letter_id}/retry",
    responses=problem_responses(AlreadyResolved, JobNotFinal, *SUBMISSION_REFUSALS),
)
async def retry(
    letter_id: str,
    staff: Annotated[Identity, require(Permission.DEAD_LETTERS_RESOLVE)],
    clients: ClientsDep,
    request: Request,
) -> DeadLetterView:
    """Submit it once more as a new job of its owner, who pays for it as for any job."""
    request_id = request_context(request).request_id
    return _view(
        staff, await letters.retry(clients, staff, validate_id(letter_id, "dead"), request_id)
    )


@router.post("/dead-letters/{letter_id}/drop", responses=problem_responses(AlreadyResolved))
async def drop(
    letter_id: str,
    staff: Annotated[Identity, require(Permission.DEAD_LETTERS_RESOLVE)],
    clients: ClientsDep,
) -> DeadLetterView:
    """Nothing more is to be done about it."""
    return _view(staff, await letters.drop(clients, staff, validate_id(letter_id, "dead")))


@router.get("/ledger.csv", response_class=CSVResponse)
async def ledger(
    staff: Annotated[Identity, require(Permission.LEDGER_READ)],
    clients: ClientsDep,
    created_after: CreatedAfterDep = None,
    created_before: CreatedBeforeDep = None,
) -> CSVResponse:
    """Every movement of everybody's credits as a CSV file, newest first."""
    selection = statement.StatementFilter(None, since=created_after, until=created_before)
    return csv_response("ledger.csv", statement.as_csv(clients.read_sessions, selection))


def _view(staff: Identity, letter_and_job: Letter) -> DeadLetterView:
    letter, job = letter_and_job
    return DeadLetterView(
        id=letter.id,
        job_id=letter.job_id,
        user_id=job.user_id,
        generator=letter.generator,
        reason=letter.reason,
        replica=letter.replica,
        attempts=job.attempt,
        crashes=job.crashes,
        input=job.input if staff.may(Permission.INPUTS_READ) else None,
        created_at=letter.created_at,
        resolution=letter.resolution,
        resolved_at=letter.resolved_at,
        retried_as=letter.retried_as,
    )
