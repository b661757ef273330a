"""Lists of jobs are what their models write, whatever reads the rows."""

import asyncio
import json
import time
from datetime import datetime
from typing import Any

import pytest
from sqlalchemy import text

from db.jobs.versions import PAGES
from db.object_store import output_key
from db.session import Sessions
from serve_app.http.pagination import Page
from serve_app.jobs.schemas import JobView
from serve_app.jobs.view import LINK_STEPS
from tests.support.http import Person, World
from tests.support.jobs import claim


@pytest.fixture
def api_settings() -> dict[str, Any]:
    return {"LINK_SECONDS": 7 * 86400}  # links are the same for half a day


async def test_a_list_is_byte_for_byte_what_its_model_writes(api: World, ada: Person) -> None:
    made = []
    for number, metadata in enumerate(({"ü": 0.1, "n": 2**60}, {})):
        body = {"generator": "scribe", "input": {"text": f"\u2028 {number}"}, "metadata": metadata}
        job_id = (await ada.post("/v1/jobs", json=body)).json()["id"]
        await claim(api.sessions, job_id, 1)
        output = {
            "name": "a.mp4", "kind": "video", "content_type": "video/mp4", "bytes": 9,
            "duration_s": 3, "sha256": "0", "object_key": output_key(ada.id, job_id, 1, "a.mp4"),
        }  # fmt: skip
        await api.end(job_id, "succeeded", 1.0, [output])
        made.append((await ada.get(f"/v1/jobs/{job_id}")).json())
    listed = await ada.get("/v1/jobs")
    assert listed.json() == {"data": made[::-1], "has_more": False, "next": None}
    assert (
        listed.content
        == Page[JobView].model_validate_json(listed.content).model_dump_json().encode()
    )
    assert listed.json()["data"][1]["metadata"] == {"ü": 0.1, "n": 2**60}
    assert (await ada.get("/v1/jobs")).content == listed.content


# What may happen to a job that ended, whoever does it: expiry, erasure, maintenance, an operator.
CHANGES = [
    "outputs = jsonb_set(outputs, '{0,name}', '\"b.mp4\"')",
    "outputs = '[]'",
    "metadata = '{\"new\": 1}'",
    "webhook_url = 'https://example.com/hook'",
    "input = '{}'",
    'error = \'{"code": "x", "title": "x", "detail": "x", "retryable": true}\'',
    "status = 'failed'",
    "credits_charged = 1",
    "quote = '[]'",
    "stage = 'other'",
    "cancel_at = now()",
    "finished_at = now()",
]


async def finished(api: World, person: Person, name: str = "a.mp4") -> str:
    job_id = (
        await person.post("/v1/jobs", json={"generator": "scribe", "input": {"text": "x"}})
    ).json()["id"]
    await claim(api.sessions, job_id, 1)
    output = {
        "name": name, "kind": "video", "content_type": "video/mp4", "bytes": 9,
        "duration_s": 3, "sha256": "0", "object_key": output_key(person.id, job_id, 1, name),
    }  # fmt: skip
    await api.end(job_id, "succeeded", 0.0, [output])
    return str(job_id)


async def test_whatever_changes_a_job_is_in_the_next_list(api: World, ada: Person) -> None:
    job_id = await finished(api, ada)
    before = (await ada.get("/v1/jobs")).json()["data"]
    for change in CHANGES:
        async with api.sessions.begin() as session:
            where = {"id": job_id}
            await session.execute(text(f"UPDATE jobs SET {change} WHERE id = :id"), where)
        listed = (await ada.get("/v1/jobs")).json()["data"]
        assert listed == [(await ada.get(f"/v1/jobs/{job_id}")).json()], change
        assert listed != before, change
        before = listed
    assert (await ada.delete(f"/v1/jobs/{job_id}")).status_code == 204
    assert (await ada.get("/v1/jobs")).json()["data"] == []


async def test_a_job_that_waits_is_listed_with_its_place_of_now(api: World, ada: Person) -> None:
    first, second = [
        (await ada.post("/v1/jobs", json={"generator": "scribe", "input": {"text": "x"}})).json()
        for _ in range(2)
    ]

    async def places() -> list[Any]:
        listed = (await ada.get("/v1/jobs")).json()["data"]
        return [(job["status"], job["queue_position"]) for job in listed]

    for _ in range(2):
        assert await places() == [("queued", 1), ("queued", 0)]
    await ada.post(f"/v1/jobs/{first['id']}/cancel")
    assert await places() == [("queued", 0), ("canceled", None)]
    await claim(api.sessions, second["id"], 1)
    assert await places() == [("running", None), ("canceled", None)]


async def test_nobody_lists_what_was_written_for_another(api: World, ada: Person) -> None:
    job_id = await finished(api, ada)
    bob = await api.guest()
    assert len((await ada.get("/v1/jobs")).json()["data"]) == 1
    for path in ("/v1/jobs", f"/v1/jobs?after={job_id}", f"/v1/jobs?after={job_id[:-1]}Z"):
        assert (await bob.get(path)).json()["data"] == []
    assert (await ada.get(f"/v1/jobs?after={job_id[:-1]}Z")).json()["data"] != []


async def test_people_who_list_at_the_same_time_get_their_own(api: World, ada: Person) -> None:
    people = [ada, *[await api.guest() for _ in range(5)]]
    jobs = {person.id: [await finished(api, person) for _ in range(3)] for person in people}

    async def listed(person: Person, after: str | None) -> list[str]:
        tail = f"&after={after}" if after else ""
        page = (await person.get(f"/v1/jobs?limit=2{tail}")).json()
        assert page["has_more"] == (after is None)
        return [job["id"] for job in page["data"]]

    asked = [
        (person, after)
        for _ in range(3)
        for person in people
        for after in (None, jobs[person.id][1])
    ]
    found = await asyncio.gather(*(listed(person, after) for person, after in asked))
    for (person, after), ids in zip(asked, found, strict=True):
        first, second, third = jobs[person.id]
        assert ids == ([first] if after else [third, second])


async def test_links_of_a_list_begin_anew_with_their_step(
    api: World, ada: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    await finished(api, ada)
    lasts = api.clients.settings.limits.link_seconds

    async def link() -> tuple[str, datetime]:
        (output,) = (await ada.get("/v1/jobs")).json()["data"][0]["outputs"]
        return output["url"], datetime.fromisoformat(output["expires_at"])

    now = time.time()
    step = lasts // LINK_STEPS
    seen = []
    for moment in (now, now + step, now + 2 * step):
        monkeypatch.setattr("serve_app.jobs.view.time.time", lambda moment=moment: moment)
        for _ in range(2):
            url, expires = await link()
            left = expires.timestamp() - moment
            assert lasts - step <= left <= lasts
        seen.append(url)
    assert len(set(seen)) == 3


@pytest.mark.parametrize(
    "value",
    ["{}", "[]", "null", '"\\u00fc\\u2028\\ud83d\\ude00"', "0.1", "1e308", "-0.5", str(2**70),
     '{"a": [1, 2.50, {"b": null}], "c": true, "": "x"}'],
)  # fmt: skip
async def test_json_is_read_as_python_reads_it(sessions: Sessions, value: str) -> None:
    async with sessions() as session:
        row = await session.execute(text(f"SELECT jsonb '{value}', CAST(jsonb '{value}' AS text)"))
    read, written = row.one()
    assert json.dumps(read) == json.dumps(json.loads(written))


async def test_a_page_of_nobodys_jobs_is_found_without_those_of_all_others(
    api: World, ada: Person
) -> None:
    """One plan serves all, so that of who has all jobs must do for who has none."""
    fill = text("""
        INSERT INTO jobs (id, user_id, generator, status, input, seed, credits_quoted,
            credits_held, price_version, finished_at)
        SELECT 'job_' || lpad(CAST(n AS text), 26, '0'), :user_id, 'scribe', 'succeeded', '{}', 1,
            0, 0, 'x', now()
        FROM generate_series(1, 20000) AS n
    """)
    async with api.sessions.begin() as session:
        await session.execute(fill, {"user_id": ada.id})
        await session.execute(text("ANALYZE jobs"))
        await session.execute(text("SET LOCAL plan_cache_mode = force_generic_plan"))
        asked = {"users": [(await api.guest()).id], "afters": ["k"], "mosts": [21]}
        plan = "\n".join(await session.scalars(text(f"EXPLAIN {PAGES}"), asked))
    assert "Index Scan using jobs_by_user" in plan, plan
    assert "Sort" not in plan, plan
