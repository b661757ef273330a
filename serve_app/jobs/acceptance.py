"""What a submit and a batch share: the row of a job, and why jobs are not accepted."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import ARRAY, Integer, Select, Text, any_, bindparam, exists, select
from sqlalchemy.ext.asyncio import AsyncSession

from billing import key_budgets, ledger, lots, plans
from billing.prices import PriceLine, total
from db.accounts import storage
from db.jobs import deferred, fair_queue
from db.tables import Job, QueueState, User
from deployments.contract import GeneratorSpec, Request
from deployments.tracing import current_traceparent
from serve_app.auth.identity import Identity
from serve_app.http import errors
from serve_app.jobs.schemas import SubmitBody
from serve_app.limits.storage import check_room_for_outputs
from serve_app.settings import LimitSettings


@dataclass(frozen=True)
class CheckedInput:
    """A checked input, with the seed the service chose if it had none; ``input`` is stored.

    ``full_price`` is what it costs before discounts, and the measure of its work.
    """

    request: Request
    input: dict[str, Any]
    seed: int
    lines: Sequence[PriceLine]
    full_price: int

    @property
    def credits(self) -> int:
        return total(self.lines)


def new_job(
    job_id: str,
    identity: Identity,
    spec: GeneratorSpec[Any],
    body: SubmitBody,
    checked: CheckedInput,
    stored_input: dict[str, Any],
    request_id: str,
) -> Job:
    """Build the row of a job that waits, and holds its price."""
    return Job(
        id=job_id,
        user_id=identity.user_id,
        api_key_id=identity.api_key_id,
        generator=spec.name,
        status="queued",
        attempt=0,
        priority=body.priority,
        input=stored_input,
        seed=checked.seed,
        credits_quoted=checked.credits,
        credits_held=checked.credits,
        price_version=spec.price_version,
        quote=[asdict(line) for line in checked.lines],
        user_metadata=body.metadata,
        webhook_url=body.webhook_url,
        request_id=request_id,
        traceparent=current_traceparent(),
    )


# What a refusal depends on, in one round trip. Built once, since every submit runs it.
_ROOM = select(
    User.plan,
    User.max_waiting_jobs,
    User.max_running_jobs,
    deferred.queued_count(bindparam("user_id"), bindparam("up_to", type_=Integer)),
    storage.used_by(bindparam("user_id")),
    exists().where(
        QueueState.generator == any_(bindparam("generators", type_=ARRAY(Text))),
        QueueState.draining,
    ),
).where(User.id == bindparam("user_id"))
# The same, and what a submit reads besides.
_ROOM_FOR_ONE = _ROOM.add_columns(*fair_queue.CLOCK, lots.HAS_OPEN)


async def check_room_for_one(
    session: AsyncSession, job: Job, bounds: LimitSettings
) -> tuple[plans.Plan, Sequence[int | None], bool]:
    """As ``check_room`` for a job; returns also the clock of its flow (``fair_queue.tag_at``), and
    whether the user has credits that expire."""
    flow = fair_queue.flow_of(job)
    plan, (*clock, has_lots) = await _check(
        session, _ROOM_FOR_ONE, flow, [job.generator], 1, bounds
    )
    return plan, clock, has_lots


async def check_room(
    session: AsyncSession,
    user_id: str,
    generators: Iterable[str],
    count: int,
    bounds: LimitSettings,
) -> plans.Plan:
    """Return the user's plan, if so many more of their jobs may wait.

    Raises:
        Draining: one of the generators accepts no jobs for now.
        TooManyWaiting: the user would have more waiting jobs than may be.
        StorageQuotaExceeded: the user's files take all of the plan's room.
    """
    plan, _ = await _check(session, _ROOM, {"user_id": user_id}, generators, count, bounds)
    return plan


async def _check(
    session: AsyncSession,
    room: Select[*tuple[Any, ...]],
    whose: Mapping[str, str],
    generators: Iterable[str],
    count: int,
    bounds: LimitSettings,
) -> tuple[plans.Plan, Sequence[Any]]:
    """Return the plan, and what ``room`` selects beside what is checked."""
    named = {"up_to": bounds.max_waiting_jobs, "generators": sorted(set(generators))}
    plan, own_waiting, own_running, queued, used, draining, *others = (
        await session.execute(room, {**whose, **named})
    ).one()
    if draining:
        raise errors.Draining
    check_room_for_outputs(bounds, plan, used)
    limits = plans.limits(plan, own_waiting, own_running)
    most = limits.max_waiting(bounds.max_waiting_jobs)
    waiting = min(queued, most)
    if waiting + count > most:
        words = f"You have {waiting} jobs waiting"
        if count == 1:
            raise errors.TooManyWaiting(f"{words}, which is as many as may.")
        raise errors.TooManyWaiting(f"{words}, and {most} may; these are {count} more.")
    return limits.plan, others


def check_account(account: ledger.AccountBalance) -> None:
    """Raise InvalidToken if the account was deleted since the request was let in."""
    if account.deleted:
        raise errors.InvalidToken


@contextmanager
def refusals(what: str) -> Iterator[None]:
    """Turn what the books refuse into problems; ``what`` is bought.

    Raises:
        NotEnoughCredits: the balance does not cover it.
        SpendingCapReached: the API key may not spend that much more this month.
    """
    try:
        yield
    except ledger.NotEnoughCredits as error:
        raise errors.NotEnoughCredits(
            f"This {what} costs {error.required} credits, the balance is {error.balance}.",
            required=error.required,
            balance=error.balance,
        ) from error
    except key_budgets.BudgetExceeded as error:
        raise errors.SpendingCapReached(
            f"This {what} costs {error.required} credits, and this key has spent {error.spent} of"
            f" the {error.cap} it may this month.",
            required=error.required,
            spent=error.spent,
            cap=error.cap,
        ) from error
