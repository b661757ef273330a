"""Webhooks: the secret that signs them, and a test event."""

from fastapi import Depends, Response

from serve_app.auth.identity import JobsWriteDep
from serve_app.http.dependencies import ClientsDep, IdempotencyKeyDep, require_json
from serve_app.routing import make_router
from serve_app.webhooks import secret
from serve_app.webhooks import send_test as trial
from serve_app.webhooks.schemas import SecretView, TriedView, TryBody

router = make_router("/v1/webhooks", tags=["webhooks"])

# All routes need the scope that submits jobs, since the secret lets its holder forge events; the
# scope that reads jobs is not enough.


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
