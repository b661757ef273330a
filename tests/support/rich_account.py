"""Somebody with something in every table, and a search for what is left of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from typing import Any

from redis.asyncio import Redis
from sqlalchemy import text

from db.object_store import ObjectStore
from db.session import Sessions
from db.tables import Base
from deployments.stores import Stores
from deployments.worker.runner import LoadedGenerator, run_job
from tests.integration.test_http_files import picture, upload
from tests.support.http import Person, World

# Words that are nowhere but in what the owner wrote.
PROMPT, PERSONA, FILE, KEY = "walrus", "zenobia", "grandmother", "thinkpad"
HOOK = "https://example.com/hooks-of-ada"
WORDS = (PROMPT, PERSONA, FILE, KEY, "hooks-of-ada")


@dataclass(frozen=True)
class RichAccount:
    """An account with an ended job that has outputs, a batch whose jobs wait, and all the rest."""

    person: Person
    job_id: str
    batch_id: str
    file_ids: tuple[str, ...]
    api_key: str

    @property
    def words(self) -> tuple[str, ...]:
        return (self.person.email, *WORDS)


async def fill(person: Person, stores: Stores, loaded: LoadedGenerator) -> RichAccount:
    """Give the account something of everything, over HTTP and by a replica."""
    file_ids = []
    for purpose in ("input", "reference"):
        answer = await upload(person, picture(), name=f"{FILE}.png", purpose=purpose)
        file_ids.append(_ok(answer, 201)["id"])
    persona = {"name": PERSONA, "description": PROMPT, "file_ids": file_ids, "consent": True}
    persona_id = _ok(await person.post("/v1/personas", json=persona), 201)["id"]
    job = {
        "generator": "scribe",
        "input": {
            "text": f"a {PROMPT}",
            "pages": 2,
            "persona": persona_id,
            "pictures": [{"file_id": file_ids[0]}],
        },
        "metadata": {"note": PROMPT},
        "webhook_url": HOOK,
    }
    headers = {"Idempotency-Key": f"{PROMPT}-1"}
    job_id = _ok(await person.post("/v1/jobs", json=job, headers=headers), 202)["id"]
    await run_job(stores, loaded, job_id, 1)
    ended = _ok(await person.get(f"/v1/jobs/{job_id}"), 200)
    assert ended["status"] == "succeeded" and len(ended["outputs"]) == 2, ended
    line = b'{"generator": "scribe", "input": {"text": "a %s"}}\n' % PROMPT.encode()
    batch = await person.post(
        "/v1/batches", files={"file": ("jobs.jsonl", line * 2)}, data={"webhook_url": HOOK}
    )
    key = await person.post("/v1/api-keys", json={"name": KEY})
    alert = await person.put("/v1/credits/alert", json={"threshold": 5, "webhook_url": HOOK})
    _ok(alert, 200)
    _ok(await person.post("/v1/webhooks/secret"), 200)
    return RichAccount(person, job_id, _ok(batch, 202)["id"], tuple(file_ids), _ok(key, 201)["key"])


def _ok(answer: Any, status: int) -> Any:
    assert answer.status_code == status, answer.text
    return answer.json()


async def found_in_postgres(sessions: Sessions, words: Iterable[str]) -> set[tuple[str, str]]:
    """The tables in which a word is found, in any column of any row."""
    found = set()
    async with sessions() as session:
        for table in Base.metadata.tables:
            rows = await session.scalars(text(f"SELECT lower(t::text) FROM {table} t"))
            whole = "\n".join(rows)
            found |= {(table, word) for word in words if word.lower() in whole}
    return found


async def found_in_redis(redis: Redis, words: Iterable[str]) -> set[tuple[str, str]]:
    """The keys in whose name or value a word is found."""
    found = set()
    async for key in redis.scan_iter():
        whole = f"{key} {await _value(redis, key)}".lower()
        found |= {(key, word) for word in words if word.lower() in whole}
    return found


async def _value(redis: Redis, key: str) -> Any:
    match await redis.type(key):
        case "string":
            return await redis.get(key)
        case "hash":
            return await redis.hgetall(key)
        case "list":
            return await redis.lrange(key, 0, -1)
        case "set":
            return await redis.smembers(key)
        case "zset":
            return await redis.zrange(key, 0, -1)
        case "stream":
            return await redis.xrange(key)
        case kind:
            raise AssertionError(f"{key} is a {kind}")


async def versions(objects: ObjectStore, user_id: str) -> AsyncIterator[str]:
    """The keys of all objects with the user's id, old versions and marks of deletion too."""
    client, bucket = objects._client, objects._bucket
    for item in client.list_objects(bucket, "", recursive=True, include_version=True):
        if item.object_name is not None and user_id in item.object_name:
            yield item.object_name


async def delete(world: World, person: Person, password: str) -> None:
    answer = await person.delete("/v1/me", json={"password": password})
    assert answer.status_code == 202, answer.text
