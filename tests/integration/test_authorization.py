"""Who gets what of every route: a table, in which no route of the application is left out.

The callers: ``nobody`` sends nothing. ``ended`` are five at once: a revoked key, one that has
expired, an access token that has expired, one whose login has ended, and text that is neither.
``lesser`` is a key of the owner with every scope of customers but that of the row
(``any``: every identity will do; ``login``: no key will); where a row names a permission, a key of
an administrator without the scope ``admin``. ``other`` is another customer, ``owner`` the one whose
resources the paths name; ``support``, ``ops`` and ``admin`` are staff, who own none of them.

What they get: a status; ``ok``, which is any of 2xx and 3xx, or a WebSocket; or ``in``: the caller
may, and the call refuses what is asked, which is often nothing (no body, or an empty object).
"""

import io
import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from PIL import Image
from sqlalchemy import func, select, update

from db.accounts import passkeys
from db.jobs import dead_letters
from db.operations import incidents
from db.outbox import webhook_events
from db.tables import ApiKey, DeadLetter, Job, Outbox
from serve_app.auth import refresh
from serve_app.auth.api_keys import USER_SCOPES, create_api_key
from serve_app.auth.tokens import AccessTokens
from tests.support.http import IDENTITIES_KEPT, Person, World, problem

TABLE = Path(__file__).with_name("authorization.txt")

CALLERS = ("nobody", "ended", "lesser", "other", "owner", "support", "ops", "admin")
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
    """A line of the table: ``what`` is method and path, ``expected`` what each caller gets.

    ``need`` is a scope, or a permission, whose name has a dot.
    """

    what: str
    need: str
    expected: tuple[str, ...]

    def __str__(self) -> str:
        columns = " ".join(f"{answer:<3}" for answer in self.expected)
        return f"{self.what:<65}{self.need:<21}{columns}".rstrip()


def rows() -> Iterator[Row]:
    for line in TABLE.read_text().splitlines():
        if not line.startswith("#"):
            method, path, need, *expected = line.split()
            yield Row(f"{method} {path}", need, tuple(expected))


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
    return {
        "WELCOME_CREDITS": 1000,
        **IDENTITIES_KEPT,
        "PUBLIC_URL": "https://a.test",
    }


async def test_every_route_has_a_row_and_every_row_a_route(api: World) -> None:
    listed = [row.what for row in rows()]
    assert len(listed) == len(set(listed))
    assert set(listed) == routes(api.api)


async def test_the_document_says_where_a_token_or_key_is_needed(api: World) -> None:
    needed = {row.what: row.need != "-" for row in rows()}
    for path, item in api.api.openapi()["paths"].items():
        for method, operation in item.items():
            what = f"{method.upper()} {path}"
            assert ("security" in operation) == needed[what], what


async def test_each_caller_gets_what_the_table_says(api: World, ada: Person, root: Person) -> None:
    other = await api.guest()
    ended = await ended_credentials(api)
    lesser = await lesser_keys(api, ada.id, root.id)
    staff = [await api.guest("support"), await api.guest("ops"), root]
    names = await belongings(api, ada)
    found = []
    for row in rows():
        method, path = row.what.split()
        where = path.format_map(names[path.startswith("/replicate")])
        callers: list[Sequence[Headers]] = [
            [{}],
            ended,
            [lesser["admin" if "." in row.need else row.need]],
            [other.headers],
            [ada.headers],
            *([one.headers] for one in staff),
        ]
        # Whoever is refused goes first: had it been let in, the owner would find nothing.
        got: dict[int, str] = {}
        for at in sorted(range(len(CALLERS)), key=lambda n: (not row.expected[n].isdigit(), n)):
            answers = {await send(api, method, where, headers) for headers in callers[at]}
            got[at] = "/".join(sorted(answers))
        found.append(Row(row.what, row.need, tuple(got[at] for at in range(len(CALLERS)))))
    assert [str(row) for row in found] == [str(row) for row in rows()]


async def test_a_refusal_names_the_permission_of_the_row(api: World, ada: Person) -> None:
    refused = {"support": await api.guest("support"), "ops": await api.guest("ops"), "owner": ada}
    names = defaultdict(lambda: "none", generator="image", order="pause")
    for row in rows():
        for who, person in refused.items():
            if "." in row.need and row.expected[CALLERS.index(who)] == "403":
                method, path = row.what.split()
                sent = {} if method == "GET" else {"json": {}}
                answer = await api.http.request(
                    method, path.format_map(names), headers=person.headers, **sent
                )
                code = "scope_missing" if person is ada else "permission_missing"
                said = problem(answer, 403, code)
                assert said["permission"] == row.need and row.need in said["detail"], row.what


async def send(api: World, method: str, path: str, headers: Headers) -> str:
    """What the table calls the answer."""
    if method == "WS":
        status = await websocket_status(api.api, path, headers)
    else:
        bare = method in ("GET", "DELETE") and path not in ("/v1/me", "/v1/me/totp")
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


async def lesser_keys(api: World, user_id: str, admin_id: str) -> dict[str, Headers]:
    """By scope, the header of a key without it; that without ``admin`` is an administrator's."""
    made = {}
    async with api.sessions.begin() as session:
        for scope in (*USER_SCOPES, "admin", "login", "any", "-"):
            owner_id = admin_id if scope == "admin" else user_id
            _, secret = await create_api_key(session, owner_id, scope, USER_SCOPES - {scope})
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
        passkey = await passkeys.add(session, person.id, "phone", b"credential", b"key", 0)
        assert passkey is not None
        incident_id = await incidents.open_incident(session, "Films wait", None)
        delivery_id = await session.scalar(select(Outbox.id).where(Outbox.topic == "webhook"))
        letter_id = await session.scalar(select(DeadLetter.id))
    names = {
        **jobs,
        "file_id": file_id,
        "passkey_id": passkey.id,
        "persona_id": await made("/v1/personas", json=persona),
        "key_id": await made("/v1/api-keys", json={"name": "ours"}),
        "batch_id": await made("/v1/batches", files=lines),
        "upload_id": await made("/v1/files/uploads", json={"name": "a", "bytes": 1}),
        "letter_id": str(letter_id),
        "delivery_id": str(delivery_id),
        "incident_id": incident_id,
        "user_id": (await api.guest()).id,  # whom staff act on; nobody here needs the account
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
