"""Webhooks: the secret that signs them, a test event, and what became of events."""

from typing import Annotated

from fastapi import Depends, Path, Query, Response

from serve_app.auth.identity import JobsReadDep, JobsWriteDep
from serve_app.http.dependencies import ClientsDep, IdempotencyKeyDep, LimitDep, require_json
from serve_app.http.pagination import Page
from serve_app.routing import make_router
from serve_app.webhooks import deliveries, secret
from serve_app.webhooks import send_test as trial
from serve_app.webhooks.schemas import DeliveryStatus, DeliveryView, SecretView, TriedView, TryBody

router = make_router("/v1/webhooks", tags=["webhooks"])

LARGEST_ID = 2**63 - 1

# The secret needs the scope that submits jobs, since it lets its holder forge events; the scope
# that reads jobs is not enough.


@router.get("/secret")
async def show(identity: JobsWriteDep, clients: ClientsDep, response: Response) -> SecretView:
    """What your webhooks are signed with, made when first asked for."""
    response.headers["Cache-Control"] = "no-store"
    return await secret.get_secret(clients, identity.user_id)


@router.post("/secret")
async def roll(
    identity: JobsWriteDep,
    clients: ClientsDep,
    response: Response,
    idempotency_key: IdempotencyKeyDep = None,
) -> SecretView:
    """Make a new one. For 24 hours the old one signs beside it; rolled again, it ends at once."""
    response.headers["Cache-Control"] = "no-store"
    view, replayed = await secret.rotate_secret(clients, identity.user_id, idempotency_key)
    if replayed:
        response.headers["Idempotent-Replayed"] = "true"
    return view


@router.post("/test", dependencies=[Depends(require_json)])
async def send_test(body: TryBody, identity: JobsWriteDep, clients: ClientsDep) -> TriedView:
    """Send a signed `webhook.test` event there now, once, and say what came back."""
    return await trial.send_test(clients, identity.user_id, body.url)


@router.get("/deliveries")
async def index(
    identity: JobsReadDep,
    clients: ClientsDep,
    status: DeliveryStatus | None = None,
    limit: LimitDep = 20,
    after: Annotated[int | None, Query(ge=1, le=LARGEST_ID)] = None,
) -> Page[DeliveryView]:
    """Your events, newest first: which were delivered, are tried again, or were given up."""
    return await deliveries.list_deliveries(clients, identity.user_id, status, after, limit)


@router.post("/deliveries/{delivery_id}/replay", status_code=202)
async def replay(
    delivery_id: Annotated[int, Path(ge=1, le=LARGEST_ID)],
    identity: JobsWriteDep,
    clients: ClientsDep,
) -> DeliveryView:
    """Send an event once more, now, with the same `webhook-id`.

    One older than a day is tried once. Nothing is sent of a job that was erased.
    """
    return await deliveries.replay(clients, identity.user_id, delivery_id)
