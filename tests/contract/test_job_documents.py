"""What every store of job metadata must do, whichever it is."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from db.documents import JobDocuments, PostgresDocuments, open_documents
from db.errors import StoreUnavailable
from db.ids import new_id
from db.mongo_documents import MongoDocuments
from db.session import make_sessions, open_engine
from db.settings import StoreSettings


@pytest.fixture(params=["postgres", "mongodb"])
def store(request: pytest.FixtureRequest) -> JobDocuments:
    if request.param == "postgres":
        return PostgresDocuments(request.getfixturevalue("sessions"))
    return MongoDocuments(request.getfixturevalue("mongodb_url"))


@pytest.fixture
async def documents(store: JobDocuments) -> AsyncIterator[JobDocuments]:
    yield store
    await store.close()


@pytest.fixture
def job_id() -> str:
    return new_id("job")


async def test_an_unknown_job_has_no_document(documents: JobDocuments, job_id: str) -> None:
    assert await documents.get(job_id) is None


async def test_merge_makes_the_document_and_later_adds_to_it(
    documents: JobDocuments, job_id: str
) -> None:
    await documents.merge(job_id, {"model": "tiny", "steps": 8})
    await documents.merge(job_id, {"steps": 9, "seed": 7})
    assert await documents.get(job_id) == {"model": "tiny", "steps": 9, "seed": 7}


async def test_merge_replaces_a_nested_value_whole(documents: JobDocuments, job_id: str) -> None:
    await documents.merge(job_id, {"memory": {"peak": 1, "plan": "fp16"}})
    await documents.merge(job_id, {"memory": {"peak": 2}})
    assert await documents.get(job_id) == {"memory": {"peak": 2}}


async def test_merging_nothing_still_makes_the_document(
    documents: JobDocuments, job_id: str
) -> None:
    await documents.merge(job_id, {})
    assert await documents.get(job_id) == {}


async def test_json_values_come_back_as_they_were(documents: JobDocuments, job_id: str) -> None:
    values: dict[str, Any] = {
        "none": None,
        "yes": True,
        "float": 0.1,
        "zero": 0,
        "large": 2**63 - 1,
        "text": 'ü\n"\\ 猫 \U0001f600',
        "list": [1, [2, {"a": []}], {}],
        "dotted inside": {"a.b": {"$c": 1}},
    }
    await documents.merge(job_id, values)
    assert await documents.get(job_id) == values


async def test_writers_at_the_same_time_lose_nothing(documents: JobDocuments, job_id: str) -> None:
    writes = [documents.merge(job_id, {f"field{n}": n}) for n in range(20)]
    await asyncio.gather(*writes)
    assert await documents.get(job_id) == {f"field{n}": n for n in range(20)}


async def test_jobs_do_not_see_each_other(documents: JobDocuments, job_id: str) -> None:
    other = new_id("job")
    await documents.merge(job_id, {"a": 1})
    await documents.merge(other, {"b": 2})
    await documents.delete(job_id)
    assert await documents.get(job_id) is None
    assert await documents.get(other) == {"b": 2}


async def test_deleting_what_is_not_there_is_no_error(documents: JobDocuments, job_id: str) -> None:
    await documents.delete(job_id)


@pytest.mark.parametrize("name", ["", "a.b", "$set"])
async def test_a_field_name_that_one_store_would_misread_is_refused_by_both(
    documents: JobDocuments, job_id: str, name: str
) -> None:
    with pytest.raises(ValueError):
        await documents.merge(job_id, {name: 1})
    assert await documents.get(job_id) is None


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 2**63, -(2**63) - 1, object()])
async def test_what_is_not_json_is_refused(
    documents: JobDocuments, job_id: str, value: Any
) -> None:
    with pytest.raises(ValueError):
        await documents.merge(job_id, {"value": {"deep": [value]}})
    assert await documents.get(job_id) is None


async def test_a_nul_character_is_dropped(documents: JobDocuments, job_id: str) -> None:
    await documents.merge(job_id, {"log": "a\x00b", "deep": [{"k\x00": "\x00"}]})
    assert await documents.get(job_id) == {"log": "ab", "deep": [{"k": ""}]}


@pytest.mark.parametrize("kind", ["postgres", "mongodb"])
async def test_a_store_that_is_down_says_so_within_seconds(kind: str, job_id: str) -> None:
    with socket.socket() as taken:  # bound and not listening: every connection is refused
        taken.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        engine = open_engine(f"postgresql+psycopg://nobody@{address}/none")
        documents: JobDocuments = (
            PostgresDocuments(make_sessions(engine))
            if kind == "postgres"
            else MongoDocuments(f"mongodb://{address}")
        )
        started = time.monotonic()
        with pytest.raises(StoreUnavailable) as failure:
            await documents.merge(job_id, {"a": 1})
        with pytest.raises(StoreUnavailable):
            await documents.get(job_id)
        assert failure.value.store == kind
        assert time.monotonic() - started < 45, "it did not wait as long as the drivers would"
        await documents.close()
        await engine.dispose()


async def test_the_settings_choose_the_store(
    store_settings: StoreSettings, sessions: Any, mongodb_url: str
) -> None:
    assert isinstance(open_documents(store_settings, sessions), PostgresDocuments)
    with_mongo = store_settings.model_copy(
        update={"mongodb_url": type(store_settings.redis_url)(mongodb_url)}
    )
    chosen = open_documents(with_mongo, sessions)
    assert isinstance(chosen, MongoDocuments)
    await chosen.close()
