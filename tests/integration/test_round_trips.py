"""What a warm call, and a job, ask of Postgres: most of what it costs the service. Counted on the
wire."""

from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest

from db.ids import new_id
from deployments.stores import Stores
from deployments.worker.runner import LoadedGenerator, run_job
from tests.support.agents import key_of
from tests.support.http import IDENTITIES_KEPT, World
from tests.support.jobs import new_user, submit
from tests.support.round_trips import counted_round_trips
from tests.support.scribe import SPEC
from tests.support.waiting import until

# The statements of the last are prepared by then, which is a round trip more, once.
WARM = 7
BODY = {"generator": "image", "input": {"prompt": "a red circle", "seed": 7}}


@pytest.fixture
def api_generators() -> list[str]:
    return ["deployments.generators.image"]


@pytest.fixture
def api_settings() -> dict[str, Any]:
    return IDENTITIES_KEPT


async def fewest(api: World, ask: Callable[[], Awaitable[httpx.Response]]) -> int:
    """The round trips of a call, less those of what runs beside it now and then."""
    found = []
    for _ in range(WARM):
        assert (await ask()).is_success
    for _ in range(5):
        await api.clients.push_confirmations.confirm()
        with counted_round_trips(api.clients.engine) as count:
            assert (await ask()).is_success
            found.append(count())
    return min(found)


async def test_a_warm_call_takes_few_round_trips(api: World) -> None:
    ada = await api.person(credits=1000)
    headers = {"X-API-Key": await key_of(ada)}
    await until(lambda: api.clients.identities.is_used)

    async def submit(**more: str) -> httpx.Response:
        return await api.http.post("/v1/jobs", json=BODY, headers={**headers, **more})

    async def submit_once() -> httpx.Response:
        return await submit(**{"Idempotency-Key": new_id("key")})

    job_id = (await submit()).json()["id"]

    async def get(path: str) -> httpx.Response:
        return await api.http.get(path, headers=headers)

    counts = {
        "submit": await fewest(api, submit),
        "submit once": await fewest(api, submit_once),
        "get": await fewest(api, lambda: get(f"/v1/jobs/{job_id}")),
        "list": await fewest(api, lambda: get("/v1/jobs")),
    }
    # Whose the key is, is known. BEGIN, the user's row, what a refusal depends on, the job and its
    # message, the movement of its price, COMMIT. An Idempotency-Key is one more.
    assert counts == {"submit": 6, "submit once": 7, "get": 1, "list": 1}


async def test_a_job_takes_few_round_trips(stores: Stores, loaded: LoadedGenerator) -> None:
    user_id = await new_user(stores.sessions)
    counts = []
    for _ in range(WARM + 5):
        job_id = await submit(stores.sessions, SPEC, user_id, text="hello")
        with counted_round_trips(stores.engine) as count:
            ended = await run_job(stores, loaded, job_id, 1)
            counts.append(count())
        assert ended is not None and ended.status == "succeeded"
    # The claim: BEGIN, the user's row, what it depends on, the job and its queue's clock, COMMIT.
    # The end: BEGIN, the user's row, the job, its price, who is told of it and whether others wait,
    # its files, COMMIT. The document, and that it was told. A heartbeat may come in between.
    assert min(counts[WARM:]) == 5 + 7 + 1 + 1
