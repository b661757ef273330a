"""What became of a user's webhooks, and once more."""

from dataclasses import replace
from typing import Any

import pytest

from deployments.maintenance.context import MaintenanceContext
from deployments.maintenance.deliver_webhooks import deliver_webhooks
from deployments.settings import SharedSettings
from tests.support.http import Person, World
from tests.support.receiver import Receiver


@pytest.fixture
def api_settings() -> dict[str, Any]:
    return {"ATELIER_FETCH_PRIVATE": True}


@pytest.fixture
def sender(maintenance: MaintenanceContext) -> MaintenanceContext:
    shared = SharedSettings(ATELIER_FETCH_PRIVATE=True)  # type: ignore[call-arg]
    return replace(maintenance, shared=shared)


async def canceled(person: Person, hooks: Receiver, path: str = "/hook") -> str:
    """A job with one event to tell of it."""
    url = hooks.url.removesuffix("/hook") + path
    body = {"generator": "scribe", "input": {"text": "hello"}, "webhook_url": url}
    job_id = str((await person.post("/v1/jobs", json=body)).json()["id"])
    await person.post(f"/v1/jobs/{job_id}/cancel")
    return job_id


async def listed(person: Person, **which: str) -> list[dict[str, Any]]:
    answer = await person.get("/v1/webhooks/deliveries", params=which)
    assert answer.status_code == 200, answer.text
    return list(answer.json()["data"])


async def test_events_are_listed_by_what_became_of_them(
    api: World, ada: Person, hooks: Receiver, sender: MaintenanceContext
) -> None:
    hooks.status["/refuses"] = 500
    hooks.status["/gone"] = 410
    well = await canceled(ada, hooks)
    postponed = await canceled(ada, hooks, "/refuses")
    failed = await canceled(ada, hooks, "/gone")
    assert {one["status"] for one in await listed(ada)} == {"pending"}
    await deliver_webhooks(sender)
    assert [(one["job_id"], one["status"], one["attempts"]) for one in await listed(ada)] == [
        (failed, "failed", 1), (postponed, "pending", 1), (well, "delivered", 1),
    ]  # fmt: skip
    assert [one["job_id"] for one in await listed(ada, status="failed")] == [failed]
    assert [one["job_id"] for one in await listed(ada, status="delivered")] == [well]
    (waiting,) = await listed(ada, status="pending")
    assert waiting["error"] == "the server answered 500"
    assert waiting["next_attempt_at"] > waiting["created_at"] and waiting["ended_at"] is None
    first = (await ada.get("/v1/webhooks/deliveries", params={"limit": 2})).json()
    assert first["has_more"]
    second = await listed(ada, limit="2", after=first["next"])
    assert [one["job_id"] for one in second] == [well]
    assert await listed(await api.guest()) == []


async def test_one_that_was_given_up_is_sent_once_more_under_the_same_id(
    api: World, ada: Person, hooks: Receiver, sender: MaintenanceContext
) -> None:
    hooks.status["/hook"] = 410
    await canceled(ada, hooks)
    await deliver_webhooks(sender)
    (given_up,) = await listed(ada, status="failed")
    path = f"/v1/webhooks/deliveries/{given_up['id']}/replay"
    assert (await (await api.guest()).post(path)).status_code == 404
    assert (await ada.post("/v1/webhooks/deliveries/999999999/replay")).status_code == 404
    hooks.status.clear()
    again = await ada.post(path)
    assert (again.status_code, again.json()["status"]) == (202, "pending")
    assert await deliver_webhooks(sender) == 1
    assert len({one.id for one in hooks.got}) == 1
    assert [one["status"] for one in await listed(ada)] == ["delivered"]
    assert (await ada.post(path)).status_code == 202, "also one that was delivered"
    assert await deliver_webhooks(sender) == 1
