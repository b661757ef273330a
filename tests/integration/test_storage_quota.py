"""The storage quota: exact whoever comes at once, never in the way of a job that runs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from redis.asyncio import Redis
from sqlalchemy import delete, func, select, text

from db.accounts import storage
from db.ids import new_id
from db.session import Sessions
from db.settings import StoreSettings
from db.tables import File
from tests.support.http import Person, World, problem, world
from tests.support.waiting import until

GIF = b"GIF89a"
QUOTA = 10_000


@pytest.fixture
async def bounded(
    store_settings: StoreSettings, sessions: Sessions, redis: Redis
) -> AsyncIterator[World]:
    quotas = {"free": QUOTA, "starter": 2 * QUOTA}
    async with world(store_settings, STORAGE_QUOTAS=quotas, WELCOME_CREDITS=1000) as api:
        yield api


async def upload(person: Person, size: int) -> httpx.Response:
    content = GIF + b"\0" * (size - len(GIF))
    return await person.post("/v1/files", files={"file": ("a.gif", content)})


async def shown(person: Person) -> dict[str, Any]:
    found: dict[str, Any] = (await person.get("/v1/limits")).json()["storage"]
    return found


async def counted(sessions: Sessions, user_id: str) -> tuple[int, int]:
    """What the counter says, and what the files come to."""
    async with sessions() as session:
        files = select(func.sum(File.bytes)).where(
            File.user_id == user_id, File.deleted_at.is_(None)
        )
        return await storage.used(session, user_id), int(await session.scalar(files) or 0)


def file_row(person: Person, size: int, **more: Any) -> File:
    own = new_id("file")
    return File(
        id=own, user_id=person.id, purpose="output", object_key=f"outputs/{own}", name="x.png",
        content_type="image/png", bytes=size, sha256="", **more,
    )  # fmt: skip


async def keep(person: Person, size: int) -> None:
    """A file of so many bytes, as a job leaves it."""
    async with person.world.sessions.begin() as session:
        session.add(file_row(person, size))


async def test_uploads_at_once_take_no_more_than_there_is(bounded: World) -> None:
    ada = await bounded.guest()
    answers = await asyncio.gather(*(upload(ada, 3000) for _ in range(8)))
    assert sorted(answer.status_code for answer in answers) == [201] * 3 + [403] * 5
    refused = next(answer for answer in answers if answer.status_code == 403)
    body = problem(refused, 403, "storage_quota_exceeded")
    assert body["quota"] == QUOTA and QUOTA - 3000 < body["used"] <= QUOTA
    assert await shown(ada) == {"now": 9000, "max": QUOTA}
    assert await counted(bounded.sessions, ada.id) == (9000, 9000)
    stored = await bounded.clients.objects.list(f"inputs/{ada.id}/")
    assert len(stored) == 3, "what was refused is not kept"


async def test_what_is_erased_makes_room(bounded: World) -> None:
    ada = await bounded.guest()
    file_id = (await upload(ada, 9000)).json()["id"]
    problem(await upload(ada, 2000), 403, "storage_quota_exceeded")
    assert (await ada.delete(f"/v1/files/{file_id}")).status_code == 204
    assert await shown(ada) == {"now": 0, "max": QUOTA}
    assert (await upload(ada, QUOTA)).status_code == 201, "to the last byte"


async def test_a_full_account_submits_nothing_and_what_runs_goes_on(bounded: World) -> None:
    ada = await bounded.guest()
    job_id = await ada.job()
    await keep(ada, QUOTA + 500)
    refused = problem(await ada.submit(), 403, "storage_quota_exceeded")
    assert (refused["used"], refused["quota"]) == (QUOTA + 500, QUOTA)
    retried = await ada.post(f"/v1/jobs/{job_id}/cancel")
    assert retried.status_code == 200
    problem(await ada.post(f"/v1/jobs/{job_id}/retry"), 403, "storage_quota_exceeded")
    line = b'{"generator": "image", "input": {"prompt": "a"}}\n'
    batch = await ada.post("/v1/batches", files={"file": ("a.jsonl", line)})
    problem(batch, 403, "storage_quota_exceeded")
    assert await bounded.movements(ada.id) == {"hold": 1, "release": 1}
    await keep(ada, 7)  # what another job made, kept all the same
    assert (await shown(ada))["now"] == QUOTA + 507


async def test_a_better_plan_has_more_room_and_some_have_all(bounded: World) -> None:
    ada = await bounded.guest()
    admin = await bounded.guest("admin")
    await keep(ada, QUOTA + 500)
    for plan, quota in (("starter", 2 * QUOTA), ("pro", None)):
        await admin.patch(f"/v1/admin/users/{ada.id}", json={"plan": plan})
        assert await shown(ada) == {"now": QUOTA + 500, "max": quota}
        assert (await ada.submit()).status_code == 202


async def test_a_picture_inside_a_submit_counts(bounded: World) -> None:
    ada = await bounded.guest()
    await keep(ada, QUOTA - 10)
    data = "data:image/gif;base64,R0lGODlhAQABAAAAACw="
    body = {"generator": "image", "input": {"prompt": "a", "init_image": {"data": data}}}
    before = await bounded.movements(ada.id)
    problem(await ada.post("/v1/jobs", json=body), 403, "storage_quota_exceeded")
    assert await bounded.movements(ada.id) == before
    assert await counted(bounded.sessions, ada.id) == (QUOTA - 10, QUOTA - 10)


async def test_a_direct_upload_is_refused_at_its_begin_and_at_its_end(
    bounded: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada = await bounded.guest()
    announced = {"name": "a.gif", "bytes": 8000}
    begun = (await ada.post("/v1/files/uploads", json=announced)).json()
    for part in begun["parts"]:
        content = GIF + b"\0" * (8000 - len(GIF))
        async with httpx.AsyncClient() as outside:
            sent = await outside.post(
                part["url"], data=part["fields"], files={"file": ("part", content)}
            )
        assert sent.is_success
    await keep(ada, 5000)
    problem(await ada.post("/v1/files/uploads", json=announced), 403, "storage_quota_exceeded")
    complete = f"/v1/files/uploads/{begun['id']}/complete"
    with monkeypatch.context() as patched:
        patched.setattr(bounded.clients.objects, "compose", None)  # nothing is copied in vain
        refused = await ada.post(complete)
    problem(refused, 403, "storage_quota_exceeded")
    assert '"upload"' in refused.headers["RateLimit-Policy"]
    async with bounded.sessions.begin() as session:
        await session.execute(delete(File).where(File.user_id == ada.id))
    assert (await ada.post(complete)).status_code == 201, "its parts stayed"
    assert await counted(bounded.sessions, ada.id) == (8000, 8000)


async def test_without_quotas_nothing_is_refused(api: World, ada: Person) -> None:
    await keep(ada, 10**15)
    assert await shown(ada) == {"now": 10**15, "max": None}
    assert (await upload(ada, 100)).status_code == 201


async def test_whatever_writes_files_is_counted(api: World, ada: Person, root: Person) -> None:
    """Rows of several people in one statement, changes of other columns, and deletions."""
    async with api.sessions.begin() as session:
        rows = [file_row(ada, size) for size in (1, 20, 300)]
        session.add_all([*rows, file_row(root, 4000)])
    assert await counted(api.sessions, ada.id) == (321, 321)
    assert await counted(api.sessions, root.id) == (4000, 4000)
    async with api.sessions.begin() as session:
        await session.execute(text("UPDATE files SET name = 'y', bytes = bytes + 1"))
    assert await counted(api.sessions, ada.id) == (324, 324)
    async with api.sessions.begin() as session:
        await session.execute(text("UPDATE files SET deleted_at = now() WHERE bytes = 21"))
        await session.execute(delete(File).where(File.id == rows[0].id))
    assert await counted(api.sessions, ada.id) == (301, 301)
    async with api.sessions.begin() as session:
        await session.execute(delete(File))
    assert await counted(api.sessions, ada.id) == (0, 0)
    assert await counted(api.sessions, root.id) == (0, 0)


async def test_the_documented_repair_misses_no_upload_that_is_under_way(
    api: World, ada: Person
) -> None:
    page = Path("docs/operations.md").read_text().partition("`storage_use_differs`")[2]
    repair = page.partition("```sql\n")[2].partition("```")[0].replace("usr_...", ada.id)
    await keep(ada, 500)
    async with api.sessions.begin() as session:
        await session.execute(text("UPDATE storage_use SET bytes = 7"))

    async def put_right() -> None:
        async with api.sessions.begin() as session:
            for statement in repair.split(";")[:-1]:
                if statement.strip() not in ("BEGIN", "COMMIT"):
                    await session.execute(text(statement))

    async def waits() -> bool:
        async with api.sessions() as session:
            waiting = text(
                "SELECT count(*) FROM pg_stat_activity"
                " WHERE datname = current_database() AND wait_event_type = 'Lock'"
            )
            return bool(await session.scalar(waiting))

    async with api.sessions.begin() as session:
        session.add(file_row(ada, 30))
        await session.flush()
        repairing = asyncio.create_task(put_right())
        await until(waits)
    await repairing
    assert await counted(api.sessions, ada.id) == (530, 530)
