"""``GET /v1/jobs?metadata.project=x``: which jobs it lists, and that their index is used."""

from typing import Any

import pytest
from sqlalchemy import event, text

from tests.support.http import Person, World, problem

MANY = 20_000
SAME = 20  # of these have the same project


@pytest.fixture
def api_settings() -> dict[str, Any]:
    return {"WELCOME_CREDITS": 1000}


async def tagged(person: Person, **metadata: Any) -> str:
    body = {"generator": "scribe", "input": {"text": "x"}, "metadata": metadata}
    answer = await person.post("/v1/jobs", json=body)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


async def listed(person: Person, **query: Any) -> list[str]:
    answer = await person.get("/v1/jobs", params=query)
    assert answer.status_code == 200, answer.text
    return [job["id"] for job in answer.json()["data"]]


async def test_jobs_are_listed_by_what_their_metadata_say(api: World, ada: Person) -> None:
    film = await tagged(ada, project="film", order=12, paid=True, note=None)
    poster = await tagged(ada, project="poster", order="12", **{"a.b": 1.5})
    await tagged(ada)
    eve = await api.guest()
    await tagged(eve, project="film")
    assert await listed(ada, **{"metadata.project": "film"}) == [film]
    assert await listed(ada, **{"metadata.order": "12"}) == [poster, film]
    assert await listed(ada, **{"metadata.order": "12.0"}) == [film], "the same number"
    assert await listed(ada, **{"metadata.order": "12", "metadata.project": "film"}) == [film]
    assert await listed(ada, **{"metadata.paid": "true"}) == [film]
    assert await listed(ada, **{"metadata.note": "null"}) == [film]
    assert await listed(ada, **{"metadata.a.b": "1.5"}) == [poster]
    assert await listed(ada, **{"metadata.project": "fil"}) == []
    assert await listed(ada, **{"metadata.other": "film"}) == []
    assert await listed(ada, **{"metadata.other": "[" * 4096}) == []
    assert await listed(ada, **{"metadata.other": "9" * 4096}) == []
    assert await listed(ada, **{"metadata.project": "film", "status": "failed"}) == []


async def test_pages_of_what_is_filtered_join_up(ada: Person) -> None:
    made = []
    for number in range(5):
        made.append(await tagged(ada, project="film", number=number))
        await tagged(ada, project="other")
    query: dict[str, Any] = {"metadata.project": "film", "limit": 2}
    found = []
    while True:
        page = (await ada.get("/v1/jobs", params=query)).json()
        found += [job["id"] for job in page["data"]]
        if page["next"] is None:
            break
        query["after"] = page["next"]
    assert found == made[::-1]


@pytest.mark.parametrize(
    "query",
    [
        {"metadata.": "x"},
        {f"metadata.{'k' * 65}": "x"},
        {"metadata.project": "x" * 4097},
        {"metadata.project": "\0"},
        {f"metadata.{number}": "x" for number in range(17)},
        {"metadata": "x"},
        {"metadata.project": ["x", "y"]},
    ],
)
async def test_a_filter_that_no_job_can_have_is_refused(ada: Person, query: Any) -> None:
    refused = problem(await ada.get("/v1/jobs", params=query), 422, "bad_input")
    assert refused["errors"][0]["loc"][0] == "query"


async def test_other_lists_take_no_such_filter(ada: Person) -> None:
    problem(await ada.get("/v1/files", params={"metadata.project": "x"}), 422, "bad_input")


async def test_among_many_jobs_they_are_found_by_their_index(api: World, ada: Person) -> None:
    async with api.sessions.begin() as session:
        await session.execute(
            text("""
                INSERT INTO jobs (id, user_id, generator, status, input, seed, credits_quoted,
                    credits_held, price_version, finished_at, metadata)
                SELECT 'job_' || lpad(n::text, 26, '0'), :user_id, 'scribe', 'canceled', '{}', 1,
                    0, 0, '1', now(), jsonb_build_object('project', n % :projects)
                FROM generate_series(1, :many) AS n
            """),
            {"user_id": ada.id, "projects": MANY // SAME, "many": MANY},
        )
    async with api.clients.statements() as session:
        await session.execute(text("ANALYZE jobs"))
    asked: list[tuple[str, Any]] = []

    def note(connection: Any, cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if "FROM jobs" in statement:
            asked.append((statement, parameters))

    engine = api.clients.engine.sync_engine
    event.listen(engine, "before_cursor_execute", note)
    try:
        assert len(await listed(ada, limit=100, **{"metadata.project": "7"})) == SAME
    finally:
        event.remove(engine, "before_cursor_execute", note)
    (statement, parameters), _ = asked
    async with api.clients.engine.connect() as connection:
        plan = await connection.exec_driver_sql(f"EXPLAIN {statement}", parameters)
        assert "jobs_by_metadata" in "\n".join(row[0] for row in plan)
