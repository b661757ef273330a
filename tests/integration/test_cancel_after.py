"""``Cancel-After``: a job whose time is up ends by itself, and costs what was done of it."""

from datetime import UTC, datetime, timedelta

import httpx
import pytest
from sqlalchemy import text

from db.jobs import queries
from db.session import Sessions
from deployments.maintenance.cancel_jobs import cancel_jobs
from deployments.maintenance.context import MaintenanceContext
from tests.support.http import Person, World


async def time_passes(sessions: Sessions, job_id: str) -> None:
    async with sessions.begin() as session:
        await session.execute(
            text("UPDATE jobs SET cancel_at = now() WHERE id = :id"), {"id": job_id}
        )


async def submitted(person: Person, after: str) -> httpx.Response:
    body = {"generator": "scribe", "input": {"text": "hello"}}
    return await person.post("/v1/jobs", json=body, headers={"Cancel-After": after})


@pytest.mark.parametrize(
    ("after", "seconds"), [("90", 90), ("5s", 5), ("5m", 300), ("1h30m45s", 5445)]
)
async def test_a_job_says_when_it_will_be_canceled(ada: Person, after: str, seconds: int) -> None:
    job = (await submitted(ada, after)).json()
    left = datetime.fromisoformat(job["cancel_at"]) - datetime.now(UTC)
    assert left < timedelta(seconds=seconds)
    assert left > timedelta(seconds=seconds) - timedelta(minutes=2)
    assert (await ada.get(f"/v1/jobs/{job['id']}")).json()["cancel_at"] == job["cancel_at"]


@pytest.mark.parametrize("after", ["", "4s", "soon", "-5", "1d", "200h", "5.5s", "999999h"])
async def test_another_time_is_refused(ada: Person, after: str) -> None:
    answer = await submitted(ada, after)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["loc"] == ["header", "Cancel-After"]


async def test_who_waits_too_long_pays_nothing_and_who_runs_is_asked_to_stop(
    api: World, ada: Person, maintenance: MaintenanceContext
) -> None:
    waiting, running, early = [(await submitted(ada, "1h")).json()["id"] for _ in range(3)]
    async with api.sessions.begin() as session:
        begun = "UPDATE jobs SET status = 'running', attempt = 1, heartbeat_at = now()"
        await session.execute(text(f"{begun} WHERE id = :id"), {"id": running})
    assert await cancel_jobs(maintenance) == 0
    for job_id in (waiting, running):
        await time_passes(api.sessions, job_id)
    assert await cancel_jobs(maintenance) == 2
    assert await cancel_jobs(maintenance) == 0
    ended = (await ada.get(f"/v1/jobs/{waiting}")).json()
    assert (ended["status"], ended["cost"]["charged"]) == ("canceled", 0)
    async with api.sessions() as session:
        job = await queries.get(session, running)
    assert job is not None and job.cancel_requested_at is not None
    assert (await ada.get(f"/v1/jobs/{early}")).json()["status"] == "queued"
