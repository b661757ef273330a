"""What administrators see: everybody's jobs, and the memory of replicas."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest

from db.session import Sessions
from db.tables import GpuStat
from tests.support.http import Person, World, problem


@pytest.fixture
def api_generators() -> list[str]:
    return ["deployments.generators.image"]


async def listed(root: Person, **filters: Any) -> list[str]:
    answer = await root.get("/v1/admin/jobs", params=filters)
    assert answer.status_code == 200, answer.text
    return [job["id"] for job in answer.json()["data"]]


async def test_the_jobs_of_all_users_are_listed_by_filters(
    api: World, ada: Person, root: Person
) -> None:
    bob = await api.guest()
    first = await ada.job()
    named = await bob.submit(**{"X-Request-ID": "support-17"})
    second = named.json()["id"]
    third = await ada.job()
    await ada.post(f"/v1/jobs/{third}/cancel")
    assert await listed(root) == [third, second, first]
    page = (await root.get("/v1/admin/jobs", params={"limit": 2})).json()
    assert [job["id"] for job in page["data"]] == [third, second]
    assert await listed(root, after=page["next"]) == [first]
    assert await listed(root, user_id=ada.id) == [third, first]
    assert await listed(root, status="canceled") == [third]
    assert await listed(root, request_id="support-17") == [second]
    assert await listed(root, generator="image", user_id=bob.id) == [second]
    assert await listed(root, generator="none") == []
    moment = named.json()["created_at"]
    assert await listed(root, created_after=moment) == [third]
    assert await listed(root, created_before=moment) == [first]
    problem(await root.get("/v1/admin/jobs", params={"user_id": "ada"}), 422, "bad_input")


async def test_a_job_shows_whose_it_is_and_not_what_was_asked(
    api: World, ada: Person, root: Person
) -> None:
    await ada.submit("something private")
    answer = await root.get("/v1/admin/jobs")
    (job,) = answer.json()["data"]
    assert (job["user_id"], job["status"], job["credits_charged"]) == (ada.id, "queued", 0)
    assert job["credits_quoted"] > 0
    assert "something private" not in answer.text


async def test_erased_jobs_are_listed_too(api: World, ada: Person, root: Person) -> None:
    job_id = await ada.job()
    await ada.post(f"/v1/jobs/{job_id}/cancel")
    assert (await ada.delete(f"/v1/jobs/{job_id}")).status_code == 204
    assert await listed(root) == [job_id]


async def sampled(sessions: Sessions, replica: str, ages: list[timedelta], **more: Any) -> None:
    """Samples of that age; each has allocated as many bytes as it is seconds old."""
    now = datetime.now(UTC)
    common = {"generator": "image", "device": "cpu", "reserved_bytes": 0, "peak_bytes": 0, **more}
    async with sessions.begin() as session:
        for age in ages:
            seconds = int(age.total_seconds())
            taken = {"allocated_bytes": seconds, "sampled_at": now - age}
            session.add(GpuStat(replica=replica, **common, **taken))


async def test_the_newest_sample_of_each_replica_that_is_there_is_shown(
    api: World, root: Person
) -> None:
    minute = timedelta(minutes=1)
    await sampled(api.sessions, "a", [3 * minute, minute, 2 * minute], plans={"tiny": "resident"})
    await sampled(
        api.sessions, "b", [5 * minute], generator="story_video", loads=2, card_utilization=0.25
    )
    await sampled(api.sessions, "gone", [timedelta(hours=2)])
    answer = (await root.get("/v1/admin/gpu-stats")).json()
    newest = {one["replica"]: one for one in answer["newest"]}
    assert answer["series"] is None and set(newest) == {"a", "b"}
    assert (newest["a"]["allocated_bytes"], newest["a"]["plans"]) == (60, {"tiny": "resident"})
    assert (newest["b"]["generator"], newest["b"]["loads"]) == ("story_video", 2)
    assert (newest["a"]["card_utilization"], newest["b"]["card_utilization"]) == (None, 0.25)
    only = (await root.get("/v1/admin/gpu-stats", params={"generator": "image"})).json()
    assert [one["replica"] for one in only["newest"]] == ["a"]


async def test_a_series_is_thinned_and_oldest_first(api: World, root: Person) -> None:
    every = [timedelta(seconds=30 * n) for n in range(1, 2401)]  # 20 hours
    await sampled(api.sessions, "a", every)
    await sampled(api.sessions, "b", [timedelta(hours=3), timedelta(hours=30)])
    since = (datetime.now(UTC) - timedelta(hours=20)).isoformat()
    answer = (await root.get("/v1/admin/gpu-stats", params={"since": since})).json()
    of_a = [one for one in answer["series"] if one["replica"] == "a"]
    assert 199 <= len(of_a) <= 201
    moments = [datetime.fromisoformat(one["sampled_at"]) for one in answer["series"]]
    assert moments == sorted(moments)
    assert max(b - a for a, b in pairwise(moments)) < timedelta(minutes=13)
    assert of_a[-1]["allocated_bytes"] <= 90
    of_b = [one["allocated_bytes"] for one in answer["series"] if one["replica"] == "b"]
    assert of_b == [3 * 3600]
    for wrong in ({"since": "1"}, {"generator": "A B"}):
        problem(await root.get("/v1/admin/gpu-stats", params=wrong), 422, "bad_input")
