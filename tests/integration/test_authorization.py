"""Who gets what of every route: a table, in which no route of the application is left out.

The callers: ``nobody`` sends nothing. ``ended`` are five at once: a revoked key, one that has
expired, an access token that has expired, one whose login has ended, and text that is neither.
``lesser`` is a key of the owner with every scope of customers but that of the row
(``any``: every identity will do; ``login``: no key will). ``other`` is another customer, ``owner``
the one whose resources the paths name, ``admin`` an administrator, who owns none of them.

What they get: a status; ``ok``, which is any of 2xx and 3xx, or a WebSocket; or ``in``: the caller
may, and the call refuses what is asked, which is often nothing (no body, or an empty object).
"""

import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from PIL import Image
from sqlalchemy import func, select, update

from db.jobs import dead_letters
from db.outbox import webhook_events
from db.tables import ApiKey, DeadLetter, Job, Outbox
from serve_app.auth import refresh
from serve_app.auth.api_keys import USER_SCOPES, create_api_key
from serve_app.auth.tokens import AccessTokens
from tests.support.http import Person, World

# nobody, ended, lesser, other, owner, admin; what erases and what logs out come last.
TABLE = """
GET /openapi.json                                                -          ok  ok  ok  ok  ok  ok
POST /v1/auth/register                                           -          in  in  in  in  in  in
POST /v1/auth/verify                                             -          in  in  in  in  in  in
POST /v1/auth/token                                              -          in  in  in  in  in  in
POST /v1/auth/refresh                                            -          in  in  in  in  in  in
POST /v1/auth/password-reset                                     -          in  in  in  in  in  in
POST /v1/auth/password-reset/confirm                             -          in  in  in  in  in  in
PUT /v1/me/password                                              login      401 401 403 in  in  in
GET /v1/me                                                       any        401 401 ok  ok  ok  ok
PATCH /v1/me                                                     login      401 401 403 in  in  in
GET /v1/me/export                                                login      401 401 403 ok  ok  ok
DELETE /v1/me                                                    login      401 401 403 in  in  in
POST /v1/api-keys                                                login      401 401 403 in  in  in
GET /v1/api-keys                                                 login      401 401 403 ok  ok  ok
PATCH /v1/api-keys/{key_id}                                      login      401 401 403 404 ok  404
GET /v1/limits                                                   jobs:read  401 401 403 ok  ok  ok
GET /v1/credits                                                  billing    401 401 403 ok  ok  ok
GET /v1/credits/transactions                                     billing    401 401 403 ok  ok  ok
GET /v1/credits/transactions.csv                                 billing    401 401 403 ok  ok  ok
GET /v1/credits/alert                                            billing    401 401 403 ok  ok  ok
PUT /v1/credits/alert                                            billing    401 401 403 in  in  in
GET /v1/usage                                                    billing    401 401 403 ok  ok  ok
GET /v1/billing/packs                                            billing    401 401 403 404 404 404
POST /v1/billing/checkout                                        billing    401 401 403 in  in  in
POST /v1/billing/portal                                          billing    401 401 403 404 404 404
GET /v1/billing/subscription                                     billing    401 401 403 404 404 404
GET /v1/billing/receipts                                         billing    401 401 403 404 404 404
GET /v1/billing/thanks                                           -          ok  ok  ok  ok  ok  ok
POST /v1/billing/stripe/webhook                                  -          404 404 404 404 404 404
GET /v1/generators                                               -          ok  ok  ok  ok  ok  ok
GET /v1/generators/{name}                                        -          ok  ok  ok  ok  ok  ok
POST /v1/generators/{name}/quote                                 any        401 401 in  in  in  in
POST /v1/jobs                                                    jobs:write 401 401 403 in  in  in
GET /v1/jobs                                                     jobs:read  401 401 403 ok  ok  ok
GET /v1/jobs/{job_id}                                            jobs:read  401 401 403 404 ok  404
POST /v1/jobs/{job_id}/cancel                                    jobs:write 401 401 403 404 ok  404
POST /v1/jobs/{job_id}/retry                                     jobs:write 401 401 403 404 ok  404
GET /v1/jobs/{job_id}/events                                     jobs:read  401 401 403 404 ok  404
WS /v1/jobs/{job_id}/ws                                          jobs:read  401 401 403 404 ok  404
GET /v1/jobs/{job_id}/metadata                                   jobs:read  401 401 403 404 ok  404
POST /v1/batches                                                 jobs:write 401 401 403 in  in  in
GET /v1/batches                                                  jobs:read  401 401 403 ok  ok  ok
GET /v1/batches/{batch_id}                                       jobs:read  401 401 403 404 ok  404
GET /v1/batches/{batch_id}/results                               jobs:read  401 401 403 404 ok  404
POST /v1/batches/{batch_id}/cancel                               jobs:write 401 401 403 404 ok  404
POST /v1/files                                                   files      401 401 403 in  in  in
GET /v1/files                                                    files      401 401 403 ok  ok  ok
GET /v1/files/{file_id}                                          files      401 401 403 404 ok  404
POST /v1/files/uploads                                           files      401 401 403 in  in  in
GET /v1/files/uploads/{upload_id}                                files      401 401 403 404 ok  404
POST /v1/files/uploads/{upload_id}/complete                      files      401 401 403 404 in  404
POST /v1/personas                                                files      401 401 403 in  in  in
GET /v1/personas                                                 files      401 401 403 ok  ok  ok
GET /v1/personas/{persona_id}                                    files      401 401 403 404 ok  404
PATCH /v1/personas/{persona_id}                                  files      401 401 403 404 ok  404
GET /v1/webhooks/secret                                          jobs:write 401 401 403 ok  ok  ok
POST /v1/webhooks/secret                                         jobs:write 401 401 403 ok  ok  ok
POST /v1/webhooks/test                                           jobs:write 401 401 403 in  in  in
GET /v1/webhooks/deliveries                                      jobs:read  401 401 403 ok  ok  ok
POST /v1/webhooks/deliveries/{delivery_id}/replay                jobs:write 401 401 403 404 ok  404
POST /fal/storage/upload/initiate                                files      401 401 403 ok  ok  ok
PUT /fal/storage/upload                                          -          in  in  in  in  in  in
GET /fal/queue/{owner}/{app}/requests/{request_id}/status        jobs:read  401 401 403 404 ok  404
GET /fal/queue/{owner}/{app}/requests/{request_id}/status/stream jobs:read  401 401 403 404 ok  404
GET /fal/queue/{owner}/{app}/requests/{request_id}               jobs:read  401 401 403 404 in  404
PUT /fal/queue/{owner}/{app}/requests/{request_id}/cancel        jobs:write 401 401 403 404 in  404
POST /fal/queue/{endpoint}                                       jobs:write 401 401 403 in  in  in
POST /fal/{endpoint}/stream                                      jobs:write 401 401 403 in  in  in
POST /fal/{endpoint}                                             jobs:write 401 401 403 in  in  in
GET /openai/v1/models                                            jobs:read  401 401 403 ok  ok  ok
GET /openai/v1/models/{model}                                    jobs:read  401 401 403 ok  ok  ok
POST /openai/v1/images/generations                               jobs:write 401 401 403 in  in  in
POST /openai/v1/images/edits                                     jobs:write 401 401 403 in  in  in
POST /openai/v1/videos                                           jobs:write 401 401 403 in  in  in
GET /openai/v1/videos                                            jobs:read  401 401 403 ok  ok  ok
GET /openai/v1/videos/{video_id}                                 jobs:read  401 401 403 404 ok  404
GET /openai/v1/videos/{video_id}/content                         jobs:read  401 401 403 404 ok  404
POST /openai/v1/videos/{video_id}/remix                          jobs:write 401 401 403 in  in  in
GET /replicate/v1/models                                         jobs:read  401 401 403 ok  ok  ok
GET /replicate/v1/models/{owner}/{name}                          jobs:read  401 401 403 ok  ok  ok
GET /replicate/v1/models/{owner}/{name}/versions/{version}       jobs:read  401 401 403 ok  ok  ok
POST /replicate/v1/predictions                                   jobs:write 401 401 403 in  in  in
POST /replicate/v1/models/{owner}/{name}/predictions             jobs:write 401 401 403 in  in  in
GET /replicate/v1/predictions                                    jobs:read  401 401 403 ok  ok  ok
GET /replicate/v1/predictions/{prediction_id}                    jobs:read  401 401 403 404 ok  404
POST /replicate/v1/predictions/{prediction_id}/cancel            jobs:write 401 401 403 404 ok  404
POST /replicate/v1/files                                         files      401 401 403 in  in  in
GET /replicate/v1/files                                          files      401 401 403 ok  ok  ok
GET /replicate/v1/files/{file_id}                                files      401 401 403 404 ok  404
POST /mcp                                                        any        401 401 in  in  in  in
GET /v1/admin/queues                                             admin      401 401 403 403 403 ok
POST /v1/admin/queues/{generator}/{order}                        admin      401 401 403 403 403 ok
GET /v1/admin/dead-letters                                       admin      401 401 403 403 403 ok
GET /v1/admin/dead-letters/{letter_id}                           admin      401 401 403 403 403 ok
POST /v1/admin/dead-letters/{letter_id}/retry                    admin      401 401 403 403 403 ok
POST /v1/admin/dead-letters/{letter_id}/drop                     admin      401 401 403 403 403 in
GET /v1/admin/ledger.csv                                         admin      401 401 403 403 403 ok
GET /v1/admin/users/{user_id}                                    admin      401 401 403 403 403 ok
PATCH /v1/admin/users/{user_id}                                  admin      401 401 403 403 403 ok
POST /v1/admin/users/{user_id}/grants                            admin      401 401 403 403 403 in
GET /v1/admin/audit-log                                          admin      401 401 403 403 403 ok
GET /v1/admin/jobs                                               admin      401 401 403 403 403 ok
GET /v1/admin/gpu-stats                                          admin      401 401 403 403 403 ok
GET /healthz                                                     -          ok  ok  ok  ok  ok  ok
GET /readyz                                                      -          ok  ok  ok  ok  ok  ok
GET /metrics                                                     -          ok  ok  ok  ok  ok  ok
GET /                                                            -          ok  ok  ok  ok  ok  ok
GET /status                                                      -          ok  ok  ok  ok  ok  ok
GET /llms.txt                                                    -          ok  ok  ok  ok  ok  ok
GET /docs                                                        -          ok  ok  ok  ok  ok  ok
GET /docs/start.js                                               -          ok  ok  ok  ok  ok  ok
GET /docs/{name}                                                 -          404 404 404 404 404 404
DELETE /v1/api-keys/{key_id}                                     login      401 401 403 404 ok  404
DELETE /v1/credits/alert                                         billing    401 401 403 ok  ok  ok
DELETE /v1/jobs/{job_id}                                         jobs:write 401 401 403 404 ok  404
DELETE /v1/files/uploads/{upload_id}                             files      401 401 403 404 ok  404
DELETE /v1/files/{file_id}                                       files      401 401 403 404 ok  404
DELETE /v1/personas/{persona_id}                                 files      401 401 403 404 ok  404
DELETE /openai/v1/videos/{video_id}                              jobs:write 401 401 403 404 ok  404
DELETE /replicate/v1/files/{file_id}                             files      401 401 403 404 ok  404
POST /v1/auth/logout                                             login      401 401 403 ok  ok  ok
"""

CALLERS = ("nobody", "ended", "lesser", "other", "owner", "admin")
LINE = {"generator": "image", "input": {"prompt": "a circle"}}
FILM = {
    "name": "film.mp4",
    "kind": "video",
    "content_type": "video/mp4",
    "object_key": "film",
    "bytes": 1,
    "width": 64,
    "height": 64,
    "duration_s": 1.0,
    "sha256": "",
}
UNFIT = (400, 409, 415, 422)
# These look at the form before they look at the scope; the others are sent an empty object.
FORMS = (
    "POST /v1/files",
    "POST /v1/batches",
    "POST /openai/v1/images/edits",
    "POST /openai/v1/videos",
    "POST /replicate/v1/files",
)
Headers = dict[str, str]


@dataclass(frozen=True)
class Row:
    """A line of the table: ``what`` is method and path, ``expected`` what each caller gets."""

    what: str
    scope: str
    expected: tuple[str, ...]

    def __str__(self) -> str:
        columns = " ".join(f"{answer:<3}" for answer in self.expected)
        return f"{self.what:<65}{self.scope:<11}{columns}".rstrip()


def rows() -> Iterator[Row]:
    for line in TABLE.strip().splitlines():
        method, path, scope, *expected = line.split()
        yield Row(f"{method} {path}", scope, tuple(expected))


def routes(api: FastAPI) -> set[str]:
    """Method and path of every route; HEAD and OPTIONS are answered for all by a middleware."""
    return {
        f"{method} {route.path_format}"
        for route in iter_route_contexts(api.routes)
        for method in (route.methods or {"WS"}) - {"HEAD", "OPTIONS"}
    }


@pytest.fixture
def api_generators() -> list[str]:
    return ["deployments.generators.image"]


@pytest.fixture
def api_settings() -> dict[str, Any]:
    return {"WELCOME_CREDITS": 1000, "RATE_LIMIT_PER_MINUTE": 100_000}


async def test_every_route_has_a_row_and_every_row_a_route(api: World) -> None:
    listed = [row.what for row in rows()]
    assert len(listed) == len(set(listed))
    assert set(listed) == routes(api.api)


async def test_the_document_says_where_a_token_or_key_is_needed(api: World) -> None:
    needed = {row.what: row.scope != "-" for row in rows()}
    for path, item in api.api.openapi()["paths"].items():
        for method, operation in item.items():
            what = f"{method.upper()} {path}"
            assert ("security" in operation) == needed[what], what


async def test_each_caller_gets_what_the_table_says(api: World, ada: Person, root: Person) -> None:
    other = await api.guest()
    ended = await ended_credentials(api)
    lesser = await lesser_keys(api, ada.id)
    names = await belongings(api, ada)
    found = []
    for row in rows():
        method, path = row.what.split()
        where = path.format_map(names[path.startswith("/replicate")])
        callers: list[Sequence[Headers]] = [
            [{}],
            ended,
            [lesser[row.scope]],
            [other.headers],
            [ada.headers],
            [root.headers],
        ]
        # Whoever is refused goes first: had it been let in, the owner would find nothing.
        got: dict[int, str] = {}
        for at in sorted(range(len(CALLERS)), key=lambda n: (row.expected[n] == "ok", n)):
            answers = {await send(api, method, where, headers) for headers in callers[at]}
            got[at] = "/".join(sorted(answers))
        found.append(Row(row.what, row.scope, tuple(got[at] for at in range(len(CALLERS)))))
    assert [str(row) for row in found] == [str(row) for row in rows()]


async def send(api: World, method: str, path: str, headers: Headers) -> str:
    """What the table calls the answer."""
    if method == "WS":
        status = await websocket_status(api.api, path, headers)
    else:
        bare = method in ("GET", "DELETE") and path != "/v1/me"
        sent = {} if bare else {"json": {}}
        if f"{method} {path}" in FORMS:
            sent = {"files": {"file": ("empty.txt", b"")}}
        status = (await api.http.request(method, path, headers=headers, **sent)).status_code
    if status < 400:
        return "ok"
    return "in" if status in UNFIT else str(status)


async def websocket_status(app: FastAPI, path: str, headers: Headers) -> int:
    """The status that a WebSocket is refused with, or 101; httpx has none in process."""
    arriving = [{"type": "websocket.connect"}, {"type": "websocket.disconnect", "code": 1000}]
    sent: list[Mapping[str, Any]] = []

    async def receive() -> Mapping[str, Any]:
        return arriving.pop(0)

    async def note(message: Mapping[str, Any]) -> None:
        sent.append(message)

    scope = {
        "type": "websocket",
        "asgi": {"version": "3.0"},
        "scheme": "ws",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": b"",
        "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()],
        "server": ("api.test", 80),
        "client": ("127.0.0.1", 1),
        "subprotocols": [],
        "extensions": {"websocket.http.response": {}},
        "state": {},
    }
    await app(scope, receive, note)  # type: ignore[arg-type]
    return int(sent[0].get("status", 101))


async def ended_credentials(api: World) -> list[Headers]:
    person = await api.guest()
    async with api.sessions.begin() as session:
        keys = [await create_api_key(session, person.id, "a", USER_SCOPES) for _ in range(2)]
        gone = [update(ApiKey).where(ApiKey.id == row.id) for row, _ in keys]
        await session.execute(gone[0].values(revoked_at=func.now()))
        await session.execute(gone[1].values(expires_at=func.now()))
        over = await refresh.issue(session, person.id, 3600)
        await refresh.revoke_family(session, over.family_id)
        login = await refresh.issue(session, person.id, 3600)
    settings = api.clients.settings.auth.model_copy(update={"access_token_seconds": -60})
    secrets = [
        *(secret for _, secret in keys),
        api.clients.tokens.sign(person.id, over.family_id),
        AccessTokens(settings).sign(person.id, login.family_id),
        "neither",
    ]
    return [{"Authorization": f"Bearer {secret}"} for secret in secrets]


async def lesser_keys(api: World, user_id: str) -> dict[str, Headers]:
    """By scope, the header of a key without it."""
    made = {}
    async with api.sessions.begin() as session:
        for scope in (*USER_SCOPES, "admin", "login", "any", "-"):
            _, secret = await create_api_key(session, user_id, scope, USER_SCOPES - {scope})
            made[scope] = {"X-API-Key": secret}
    return made


async def belongings(api: World, person: Person) -> tuple[dict[str, str], dict[str, str]]:
    """What the paths name: things of the person. Replicate's name another file to be erased."""
    picture = io.BytesIO()
    Image.new("RGB", (64, 64), "red").save(picture, "PNG")
    file = {"file": ("a.png", picture.getvalue(), "image/png")}
    jobs = {}
    for name in ("job_id", "video_id", "prediction_id", "request_id"):
        jobs[name] = await person.job()
        # One that has ended: its events end, and it may be erased.
        assert (await person.post(f"/v1/jobs/{jobs[name]}/cancel")).status_code == 200

    model = await person.get("/replicate/v1/models/atelier/image")

    async def made(path: str, **sent: Any) -> str:
        answer = await person.post(path, **sent)
        assert answer.status_code in (201, 202), answer.text
        return str(answer.json()["id"])

    file_id = await made("/v1/files", files=file)
    persona = {"name": "Mira", "file_ids": [file_id], "consent": True}
    lines = {"file": ("jobs.jsonl", json.dumps(LINE).encode())}
    async with api.sessions.begin() as session:
        # What makes films is not served here, which would load more than this test needs.
        await session.execute(
            update(Job)
            .where(Job.id == jobs["video_id"])
            .values(generator="story_video", outputs=[FILM])
        )
        job = await session.get_one(Job, jobs["job_id"])
        await dead_letters.add(session, job, "quarantined")
        job.webhook_url = "https://example.com/hook"
        await webhook_events.write(session, job, "job.canceled")
        delivery_id = await session.scalar(select(Outbox.id).where(Outbox.topic == "webhook"))
        letter_id = await session.scalar(select(DeadLetter.id))
    names = {
        **jobs,
        "file_id": file_id,
        "persona_id": await made("/v1/personas", json=persona),
        "key_id": await made("/v1/api-keys", json={"name": "ours"}),
        "batch_id": await made("/v1/batches", files=lines),
        "upload_id": await made("/v1/files/uploads", json={"name": "a", "bytes": 1}),
        "letter_id": str(letter_id),
        "delivery_id": str(delivery_id),
        "user_id": person.id,
        "generator": "image",
        "order": "resume",
        "owner": "atelier",
        "app": "image",
        "name": "image",
        "model": "image",
        "version": model.json()["latest_version"]["id"],
        "endpoint": "atelier/image",
    }
    return names, {**names, "file_id": await made("/v1/files", files=file)}
