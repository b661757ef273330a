"""Objects go in whole, come out whole, and are seen by clients through signed links only."""

import asyncio
import hashlib
import socket
import time
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from minio.commonconfig import ENABLED

from db.errors import ObjectMissing, StoreUnavailable
from db.object_store import ObjectStore, output_key
from db.settings import StoreSettings
from tests.support.objects import exists
from tests.support.waiting import HANG_S

MINUTE = timedelta(minutes=1)
KEY = output_key("usr_a", "job_a", 1, "image-0.png")


async def test_a_file_comes_back_with_the_hash_it_was_stored_under(
    objects: ObjectStore, tmp_path: Path
) -> None:
    content = bytes(range(256)) * 40_000  # 10 MB: more than one part
    (tmp_path / "in").write_bytes(content)
    stored = await objects.put_file(KEY, tmp_path / "in", "image/png")
    assert stored == (hashlib.sha256(content).hexdigest(), len(content))
    await objects.get_file(KEY, tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == content
    (info,) = await objects.list(KEY)
    assert info.size == len(content)
    async with httpx.AsyncClient(timeout=HANG_S) as http:
        answer = await http.get(objects.presign_get(KEY, timedelta(minutes=1)))
    assert answer.headers["content-type"] == "image/png"


async def test_an_empty_object_is_an_object(objects: ObjectStore, tmp_path: Path) -> None:
    assert (await objects.put_bytes(KEY, b"", "text/plain")).size == 0
    await objects.get_file(KEY, tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == b""


async def test_what_is_not_there_is_said_to_be_missing(
    objects: ObjectStore, tmp_path: Path
) -> None:
    assert not await exists(objects, KEY)
    with pytest.raises(ObjectMissing) as failure:
        await objects.get_file(KEY, tmp_path / "out")
    assert failure.value.key == KEY
    assert list(tmp_path.iterdir()) == []


async def test_a_listing_keeps_to_its_prefix(objects: ObjectStore) -> None:
    for attempt in (1, 2):
        await objects.put_bytes(output_key("usr_a", "job_a", attempt, "x"), b"1", "text/plain")
    await objects.put_bytes(output_key("usr_a", "job_ab", 1, "x"), b"22", "text/plain")
    listed = await objects.list("outputs/usr_a/job_a/")
    assert [found.key for found in listed] == [
        "outputs/usr_a/job_a/1-x",
        "outputs/usr_a/job_a/2-x",
    ]


async def test_erasing_takes_every_version_and_leaves_the_neighbours(objects: ObjectStore) -> None:
    for content in (b"old", b"new"):
        await objects.put_bytes(KEY, content, "text/plain")
    await objects.put_bytes(KEY + ".txt", b"neighbour", "text/plain")
    await objects.delete([KEY, "outputs/usr_a/never/1-was"])
    assert not await exists(objects, KEY)
    assert await exists(objects, KEY + ".txt")
    versions = objects._client.list_objects(
        objects._bucket, prefix="outputs/usr_a/", recursive=True, include_version=True
    )
    assert [version.object_name for version in versions] == [KEY + ".txt"]


async def test_a_signed_link_opens_with_the_name_and_type_it_was_given(
    objects: ObjectStore,
) -> None:
    await objects.put_bytes(KEY, b"0123456789", "application/octet-stream")
    url = objects.presign_get(KEY, MINUTE, filename="rød katt.png", content_type="image/png")
    async with httpx.AsyncClient(timeout=HANG_S) as client:
        whole = await client.get(url)
        part = await client.get(url, headers={"Range": "bytes=2-4"})
    assert (whole.status_code, whole.content) == (200, b"0123456789")
    assert whole.headers["content-type"] == "image/png"
    assert "r%C3%B8d%20katt.png" in whole.headers["content-disposition"]
    assert (part.status_code, part.content) == (206, b"234")


async def test_a_link_is_refused_once_changed_expired_or_unsigned(objects: ObjectStore) -> None:
    await objects.put_bytes(KEY, b"mine", "text/plain")
    other = output_key("usr_b", "job_b", 1, "x")
    await objects.put_bytes(other, b"yours", "text/plain")
    good = objects.presign_get(KEY, MINUTE)
    brief = objects.presign_get(KEY, timedelta(seconds=1))
    await asyncio.sleep(2.5)
    refused = [
        good.replace(KEY, other),
        good.replace("X-Amz-Expires=60", "X-Amz-Expires=6000"),
        good[:-1] + ("0" if good[-1] != "0" else "1"),
        good.split("?")[0],
        good.split("?")[0].rsplit("/", 1)[0] + "/",
        brief,
    ]
    async with httpx.AsyncClient(timeout=HANG_S) as client:
        assert (await client.get(good)).content == b"mine"
        for url in refused:
            answer = await client.get(url)
            assert answer.status_code == 403, url
            assert b"mine" not in answer.content


async def test_the_bucket_is_versioned_encrypted_and_cleans_up_after_itself(
    objects: ObjectStore,
) -> None:
    await objects.prepare()  # a second time changes nothing
    client, bucket = objects._client, objects._bucket
    assert client.get_bucket_versioning(bucket).status == ENABLED
    encryption = client.get_bucket_encryption(bucket)
    assert encryption is not None
    assert encryption.rule.sse_algorithm == "AES256"
    lifecycle = client.get_bucket_lifecycle(bucket)
    assert lifecycle is not None
    by_id = {rule.rule_id: rule for rule in lifecycle.rules}
    temp = by_id["temp"]
    assert temp.rule_filter is not None and temp.rule_filter.prefix == "temp/"
    assert temp.expiration is not None and temp.expiration.days == 1
    old = by_id["old-versions"].noncurrent_version_expiration
    assert old is not None and old.noncurrent_days == 7


async def test_a_link_is_signed_for_the_address_that_clients_reach(
    store_settings: StoreSettings,
) -> None:
    settings = store_settings.model_copy(update={"s3_public_endpoint": "https://files.example.com"})
    url = ObjectStore.open(settings).presign_get(KEY, MINUTE)
    assert url.startswith(f"https://files.example.com/{settings.s3_bucket}/{KEY}?")


async def test_without_the_store_calls_fail_within_seconds(
    store_settings: StoreSettings, tmp_path: Path
) -> None:
    with socket.socket() as taken:  # bound and not listening: every connection is refused
        taken.bind(("127.0.0.1", 0))
        settings = store_settings.model_copy(
            update={"s3_endpoint": f"http://127.0.0.1:{taken.getsockname()[1]}"}
        )
        store = ObjectStore.open(settings)
        began = time.monotonic()
        with pytest.raises(StoreUnavailable):
            await store.put_bytes(KEY, b"x", "text/plain")
        with pytest.raises(StoreUnavailable):
            await store.get_file(KEY, tmp_path / "out")
        with pytest.raises(StoreUnavailable):
            await store.prepare()
        with pytest.raises(StoreUnavailable):
            await store.ping()
        assert time.monotonic() - began < 60
