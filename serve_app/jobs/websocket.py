"""The events of a job over a WebSocket, each a JSON message ``{event, id, data}``.

Whoever may not read the job is refused before the connection is a WebSocket, with the problem
document that other calls answer. Browsers cannot send headers here: they name two subprotocols,
``atelier`` and the token.
"""

from __future__ import annotations

from contextlib import aclosing, suppress
from functools import partial

import structlog
from anyio import CancelScope, create_task_group
from starlette.websockets import WebSocket, WebSocketDisconnect

from serve_app.auth.identity import Identity, authenticate_secret, is_still_valid
from serve_app.http.dependencies import validate_id
from serve_app.http.errors import Problem, ScopeMissing, Unavailable
from serve_app.http.problems import STORE_FAILURES, problem_response
from serve_app.jobs.event_stream import FollowedJob, JobEvents, find_job
from serve_app.resources import Clients

log = structlog.get_logger()

SUBPROTOCOL = "atelier"
# Codes of WebSockets: the events are over; the service failed.
DONE, FAILED = 1000, 1011


async def follow_by_websocket(websocket: WebSocket, job_id: str) -> None:
    """Send the events of a job until it is done, or the client leaves.

    ``?last_event_id=`` resumes behind an event.
    """
    clients: Clients = websocket.app.state.clients
    try:
        identity = await authenticate_secret(clients, _secret(websocket))
        if "jobs:read" not in identity.scopes:
            raise ScopeMissing("This key lacks the scope jobs:read.")
        with clients.open_streams.admit(identity.user_id, identity.plan):
            job = await find_job(clients, identity.user_id, validate_id(job_id, "job"))
            await _follow(websocket, clients, identity, job)
    except Problem as problem:
        await _refuse(websocket, problem)
    except STORE_FAILURES:
        await _refuse(websocket, Unavailable())


def _secret(websocket: WebSocket) -> str | None:
    """Return the token or key of the headers or, for browsers, of the subprotocols."""
    scheme, _, token = websocket.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and token:
        return token.strip()
    if key := websocket.headers.get("x-api-key"):
        return key
    match websocket.scope.get("subprotocols", []):
        case [name, token, *_] if name == SUBPROTOCOL:
            return str(token)
        case _:
            return None


async def _refuse(websocket: WebSocket, problem: Problem) -> None:
    with suppress(RuntimeError):  # the connection is a WebSocket by now, or was closed
        await websocket.send_denial_response(problem_response(problem, websocket.url.path))


async def _follow(
    websocket: WebSocket, clients: Clients, identity: Identity, job: FollowedJob
) -> None:
    asked = websocket.scope.get("subprotocols", [])
    await websocket.accept(SUBPROTOCOL if SUBPROTOCOL in asked else None)
    may_read = partial(is_still_valid, clients, identity)
    events = JobEvents(clients, job, websocket.query_params.get("last_event_id"), may_read)
    # A task group cancels until it is obeyed: now and then a client of a store swallows a
    # cancellation, and the stream of somebody who has left would count for as long as its job runs.
    async with create_task_group() as tasks:
        tasks.start_soon(_cancel_when_left, websocket, tasks.cancel_scope)
        try:
            await _send(websocket, events)
        except WebSocketDisconnect:
            pass
        except Exception:
            log.exception("websocket_failed", job_id=job.id)
            with suppress(RuntimeError):
                await websocket.close(FAILED)
        tasks.cancel_scope.cancel()


async def _send(websocket: WebSocket, job_events: JobEvents) -> None:
    async with aclosing(job_events.stream()) as events:
        async for event in events:
            if event is not None:  # uvicorn sends pings of its own
                await websocket.send_json({"event": event.name, "id": event.id, "data": event.data})
    await websocket.close(DONE)


async def _cancel_when_left(websocket: WebSocket, scope: CancelScope) -> None:
    """Cancel ``scope`` once the client has left; what it sends is read and dropped."""
    while (await websocket.receive())["type"] != "websocket.disconnect":
        pass
    scope.cancel()
