"""Webhooks over HTTP: where they may go, what signs them, and a try."""

import asyncio
import base64
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from redis.asyncio import Redis
from sqlalchemy import update

from db.jobs import dead_letters
from db.object_store import ObjectStore, output_key
from db.session import Sessions
from db.settings import StoreSettings
from db.tables import DeadLetter, Job, User, WebhookSecret
from deployments.maintenance.deliver_webhooks import deliver_webhooks
from serve_app.api import create_api
from tests.support.http import Person, World, problem, running, settings_for
from tests.support.jobs import claim
from tests.support.receiver import Receiver, verifies
from tests.support.waiting import HANG_S
from tests.support.webhooks import row, sending

HOOK = "https://hooks.example.com/atelier?token=1"


@pytest.fixture
async def intranet(
    store_settings: StoreSettings, sessions: Sessions, redis: Redis, objects: ObjectStore
) -> AsyncIterator[World]:
    """An API of a service that sends to addresses that are not public, too."""
    settings = settings_for(store_settings, ATELIER_FETCH_PRIVATE=True)
    async with running(app := create_api(["tests.support.scribe"], settings)) as client:
        yield World(app, client)


async def submit(person: Person, url: str | None, **headers: str) -> httpx.Response:
    body = {"generator": "scribe", "input": {"text": "x"}, "webhook_url": url}
    return await person.post("/v1/jobs", json=body, headers=headers)


async def secret(person: Person) -> dict[str, Any]:
    answer = await person.get("/v1/webhooks/secret")
    assert answer.status_code == 200, answer.text
    assert answer.headers["cache-control"] == "no-store"
    found: dict[str, Any] = answer.json()
    return found


# Where they may go


async def test_a_job_shows_where_it_tells_of_itself_and_a_retry_keeps_it(api: World) -> None:
    ada = await api.guest()
    job = (await submit(ada, HOOK)).json()
    assert job["webhook_url"] == HOOK
    assert (await ada.get(f"/v1/jobs/{job['id']}")).json()["webhook_url"] == HOOK
    await ada.post(f"/v1/jobs/{job['id']}/cancel")
    assert (await ada.post(f"/v1/jobs/{job['id']}/retry")).json()["webhook_url"] == HOOK


async def test_so_does_a_dead_letter_that_an_administrator_retries(api: World) -> None:
    ada, root = await api.guest(), await api.guest()
    job_id = (await submit(ada, HOOK)).json()["id"]
    ended = await api.end(job_id, "failed")
    async with api.sessions.begin() as session:
        await session.execute(update(User).where(User.id == root.id).values(role="admin"))
        await dead_letters.add(session, ended, "worker_lost")
    (letter,) = (await root.get("/v1/admin/dead-letters")).json()["data"]
    answer = await root.post(f"/v1/admin/dead-letters/{letter['id']}/retry")
    again = await ada.get(f"/v1/jobs/{answer.json()['retried_as']}")
    assert again.json()["webhook_url"] == HOOK
    assert await api.count(DeadLetter) == 1


@pytest.mark.parametrize(
    ("url", "code"),
    [("http://hooks.example.com/", "invalid_url"), ("ftp://hooks.example.com/", "invalid_url"),
     ("https:///hook", "invalid_url"), ("hook", "invalid_url"), ("https://a:99999/", "invalid_url"),
     ("https://ada:secret@hooks.example.com/", "invalid_url"), ("https://[::1/", "invalid_url"),
     ("https://127.0.0.1/", "invalid_url"), ("https://[::1]/", "invalid_url"),
     ("https://hooks.example.com/a b", "string_pattern_mismatch"),
     ("https://hooks.example.com/\n", "string_pattern_mismatch"),
     ("https://hooks.example.com/ü", "string_pattern_mismatch"),
     ("https://hooks.example.com/" + 2048 * "a", "string_too_long"),
     ("", "string_too_short"), (7, "string_type")],
)  # fmt: skip
async def test_what_is_no_address_to_tell_is_refused_at_its_place(
    api: World, url: Any, code: str
) -> None:
    ada = await api.guest()
    (error,) = problem(await submit(ada, url), 422, "bad_input")["errors"]
    assert (error["loc"], error["code"]) == (["webhook_url"], code)
    tried = await ada.post("/v1/webhooks/test", json={"url": url})
    (error,) = problem(tried, 422, "bad_input")["errors"]
    assert (error["loc"], error["code"]) == (["url"], code)
    assert await api.nothing_happened(ada.id)


async def test_the_longest_address_is_taken(api: World) -> None:
    ada = await api.guest()
    url = "https://hooks.example.com/".ljust(2048, "a")
    assert (await submit(ada, url)).json()["webhook_url"] == url


async def test_an_intranet_may_be_told_without_tls(intranet: World, hooks: Receiver) -> None:
    ada = await intranet.guest()
    assert (await submit(ada, hooks.url)).status_code == 202
    problem(await submit(ada, "ftp://127.0.0.1/"), 422, "bad_input")


async def test_another_address_under_the_same_idempotency_key_is_another_body(api: World) -> None:
    ada = await api.guest()
    key = {"Idempotency-Key": "once"}
    first = (await submit(ada, HOOK, **key)).json()
    assert (await submit(ada, HOOK, **key)).json()["id"] == first["id"]
    problem(await submit(ada, HOOK + "2", **key), 422, "idempotency_mismatch")


# The secret


async def test_everybody_has_a_secret_of_their_own(api: World) -> None:
    ada, eve = await api.guest(), await api.guest()
    both = await asyncio.gather(*(secret(ada) for _ in range(4)), secret(eve))
    assert [one["secret"] for one in both[:4]] == 4 * [both[0]["secret"]]
    assert both[4]["secret"] != both[0]["secret"]
    prefix, _, key = both[0]["secret"].partition("_")
    assert prefix == "whsec" and 24 <= len(base64.b64decode(key, validate=True)) <= 64
    assert both[0]["previous_until"] is None
    made = datetime.fromisoformat(both[0]["created_at"])
    assert abs(datetime.now(UTC) - made) < timedelta(minutes=1)


async def test_a_rolled_secret_is_another_and_the_old_one_has_a_day(api: World) -> None:
    ada = await api.guest()
    first = await secret(ada)
    answer = await ada.post("/v1/webhooks/secret")
    assert answer.status_code == 200 and answer.headers["cache-control"] == "no-store"
    second = answer.json()
    assert second["secret"] != first["secret"] and second["created_at"] > first["created_at"]
    left = datetime.fromisoformat(second["previous_until"]) - datetime.now(UTC)
    assert timedelta(hours=23, minutes=59) < left <= timedelta(hours=24)
    assert await secret(ada) == second
    async with api.sessions.begin() as session:
        ended = datetime.now(UTC) - timedelta(seconds=1)
        await session.execute(update(WebhookSecret).values(previous_until=ended))
    assert (await secret(ada))["previous_until"] is None


async def test_a_roll_that_was_sent_twice_rolls_once(api: World) -> None:
    ada = await api.guest()
    first = await secret(ada)
    key = {"Idempotency-Key": "roll"}
    answers = [await ada.post("/v1/webhooks/secret", headers=key) for _ in range(2)]
    assert answers[0].json() == answers[1].json() != first
    assert [answer.headers.get("idempotent-replayed") for answer in answers] == [None, "true"]
    async with api.sessions() as session:
        row = await session.get_one(WebhookSecret, ada.id)
    assert row.previous == first["secret"]


async def test_reading_jobs_is_not_enough_to_know_the_secret(api: World) -> None:
    ada = await api.guest()
    for scope, status in (("jobs:read", 403), ("billing", 403), ("jobs:write", 200)):
        made = await ada.post("/v1/api-keys", json={"name": "k", "scopes": [scope]})
        key = {"X-API-Key": made.json()["key"]}
        assert (await api.http.get("/v1/webhooks/secret", headers=key)).status_code == status
        rolled = await api.http.post("/v1/webhooks/secret", headers=key)
        assert rolled.status_code == status
        body = {"url": "https://127.0.0.1/"}
        tried = await api.http.post("/v1/webhooks/test", headers=key, json=body)
        assert tried.status_code == (403 if status == 403 else 422)
    problem(await api.http.get("/v1/webhooks/secret"), 401, "unauthorized")


# Sending


async def test_a_test_event_says_what_came_back(intranet: World, hooks: Receiver) -> None:
    ada = await intranet.guest()

    async def tried(url: str = hooks.url) -> dict[str, Any]:
        answer = await ada.post("/v1/webhooks/test", json={"url": url})
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        assert 0 <= found.pop("milliseconds") < 10_000
        return found

    assert await tried() == {"delivered": True, "status_code": 204, "error": None}
    (got,) = hooks.got
    assert verifies(got, (await secret(ada))["secret"])
    assert got.event["type"] == "webhook.test"
    hooks.status["/hook"] = 500
    refused = {"delivered": False, "status_code": 500, "error": "the server answered 500"}
    assert await tried() == refused
    assert len({one.id for one in hooks.got}) == 2
    nobody = await tried("http://127.0.0.1:9/")
    assert nobody["status_code"] is None and "could not be reached" in nobody["error"]


async def test_a_test_event_goes_to_no_name_of_ours(
    api: World, hooks: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the address itself does not show is seen when it is looked up."""
    ada = await api.guest()
    port = hooks.url.rpartition(":")[2].partition("/")[0]
    answer = await ada.post("/v1/webhooks/test", json={"url": f"https://localhost:{port}/hook"})
    found = answer.json()
    assert (found["delivered"], found["status_code"]) == (False, None)
    assert found["error"] == "only public addresses are allowed" and hooks.got == []


async def test_the_event_carries_the_job_as_the_api_shows_it(
    intranet: World, store_settings: StoreSettings, redis_url: str, hooks: Receiver
) -> None:
    ada = await intranet.guest()
    job_id = (await submit(ada, hooks.url)).json()["id"]
    await claim(intranet.sessions, job_id, 1)
    key = output_key(ada.id, job_id, 1, "page-0.txt")
    await intranet.clients.objects.put_bytes(key, b"words", "text/plain")
    output = {"name": "page-0.txt", "kind": "text", "content_type": "text/plain", "bytes": 5,
              "width": None, "height": None, "duration_s": None, "sha256": "s",
              "object_key": key}  # fmt: skip
    ended = await intranet.end(job_id, "succeeded", 1.0, [output])
    assert isinstance(ended, Job)
    async with sending(store_settings, redis_url) as maintenance:
        assert await deliver_webhooks(maintenance) == 2
    (told,) = (one.event["data"] for one in hooks.got if one.event["type"] == "job.succeeded")
    shown = (await ada.get(f"/v1/jobs/{job_id}")).json()
    for one in (told, shown):
        (made,) = one["outputs"]
        async with httpx.AsyncClient(timeout=HANG_S) as client:
            assert (await client.get(made.pop("url"))).content == b"words"
        assert made.pop("expires_at")
    assert told == shown


async def test_an_erased_job_tells_nothing(
    intranet: World, store_settings: StoreSettings, redis_url: str, hooks: Receiver
) -> None:
    ada = await intranet.guest()
    job_id = (await submit(ada, hooks.url)).json()["id"]
    await ada.post(f"/v1/jobs/{job_id}/cancel")
    assert (await row(intranet.sessions)).natural_key == f"{job_id}:job.canceled"
    assert (await ada.delete(f"/v1/jobs/{job_id}")).status_code == 204
    async with sending(store_settings, redis_url) as maintenance:
        assert await deliver_webhooks(maintenance) == 0
    assert hooks.got == []
