"""The checker of the chaos harness notices planted damage, each kind under its own rule."""

import hashlib
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from minio import Minio

from billing.settlement import Settlement, settle
from db.errors import StoreUnavailable
from db.ids import new_id
from db.jobs import transitions
from db.object_store import ObjectStore, output_key
from db.session import Sessions
from db.settings import StoreSettings
from db.tables import File, IdempotencyKey, Job
from tests.chaos.__main__ import sweep
from tests.chaos.checker import Damage, Heard, check
from tests.support.jobs import new_user, read, submit
from tests.support.scribe import SPEC

WORDS = b"words"


class Scene:
    """One job of each ending, all as it should be, and a way to spoil it."""

    def __init__(self, settings: StoreSettings, accepted: dict[str, str]) -> None:
        self.url = settings.database_url.get_secret_value().replace("+psycopg", "")
        self.bucket = Minio(
            settings.s3_endpoint.partition("//")[2],
            access_key=settings.s3_access_key.get_secret_value(),
            secret_key=settings.s3_secret_key.get_secret_value(),
            secure=False,
        )
        self.name, self.accepted = settings.s3_bucket, accepted

    def spoil(self, statement: str) -> None:
        with psycopg.connect(self.url, autocommit=True) as connection:
            # What the database itself would refuse is planted all the same.
            connection.execute("SET session_replication_role = replica")
            connection.execute(statement)  # type: ignore[arg-type]

    def rules(self) -> set[str]:
        return _rules(self.damage())

    def damage(self, heard: Heard | None = None) -> list[Damage]:
        return check(self.url, self.bucket, self.name, self.accepted, heard)


def _file(user_id: str, job_id: str, key: str) -> File:
    told = {"name": "page-0.txt", "content_type": "text/plain", "bytes": 5, "sha256": "x"}
    return File(
        id=new_id("file"), user_id=user_id, job_id=job_id, purpose="output", object_key=key, **told
    )


@pytest.fixture
async def scene(sessions: Sessions, objects: ObjectStore, store_settings: StoreSettings) -> Scene:
    user_id = await new_user(sessions)
    accepted: dict[str, str] = {}
    for status in ("succeeded", "failed", "canceled"):
        job_id = await submit(sessions, SPEC, user_id, text=status)
        key = output_key(user_id, job_id, 1, "page-0.txt")
        outputs: list[dict[str, Any]] = []
        async with sessions.begin() as session:
            session.add(
                IdempotencyKey(user_id=user_id, key=status, body_hash="x", resource_id=job_id)
            )
            await transitions.claim(session, job_id, 1)
        if status == "succeeded":
            await objects.put_bytes(key, WORDS, "text/plain")
            outputs = [{"object_key": key, "sha256": hashlib.sha256(WORDS).hexdigest()}]
        ending = Settlement(
            status,
            charged_fraction=float(status == "succeeded"),
            outputs=outputs,
            error={"code": "x"} if status == "failed" else None,
        )
        async with sessions.begin() as session:
            job = await session.get_one(Job, job_id)
            assert await settle(session, job, ending) is not None
            if outputs:
                session.add(_file(user_id, job_id, key))
        accepted[status] = job_id
    return Scene(store_settings, accepted)


async def test_where_all_is_well_nothing_is_found(scene: Scene) -> None:
    assert scene.damage() == []


@pytest.mark.parametrize(
    ("rule", "statement"),
    [
        ("a job ends", "UPDATE jobs SET status = 'running', finished_at = NULL, heartbeat_at ="
         " now() WHERE status = 'failed'"),
        ("success has outputs", "UPDATE jobs SET outputs = '[]' WHERE status = 'succeeded'"),
        ("a failure says why", "UPDATE jobs SET error = NULL WHERE status = 'failed'"),
        ("the charge follows the state", "UPDATE jobs SET status = 'failed', error = '{\"a\": 1}'"
         " WHERE status = 'succeeded'"),
        ("a job's row says what was charged", "UPDATE jobs SET credits_charged = 0"
         " WHERE status = 'succeeded'"),
        ("a job is held for once", "DELETE FROM transactions WHERE kind = 'hold'"),
        ("what was held is settled", "DELETE FROM transactions WHERE kind = 'release'"),
        ("a transaction sums to zero", "UPDATE entries SET amount = amount + 1"
         " WHERE id = (SELECT min(id) FROM entries)"),
        ("a balance equals its entries", "UPDATE users SET balance = balance + 1"),
        ("a job's files are its outputs", "UPDATE files SET object_key = 'outputs/a/b/2-c'"),
        ("no hold is left", "UPDATE users SET held = 3"),
        ("a key makes one job", "UPDATE idempotency_keys SET resource_id = 'job_other'"),
        ("a job was asked for", "DELETE FROM idempotency_keys WHERE key = 'canceled'"),
    ],
)  # fmt: skip
async def test_each_kind_of_damage_in_the_database_is_found(
    scene: Scene, rule: str, statement: str
) -> None:
    scene.spoil(statement)
    assert rule in scene.rules()


def _other_words(scene: Scene, key: str) -> None:
    import io

    scene.bucket.put_object(scene.name, key, io.BytesIO(b"other"), 5)


def _removed(scene: Scene, key: str) -> None:
    scene.bucket.remove_object(scene.name, key)


def _stray(scene: Scene, key: str) -> None:
    _other_words(scene, f"{key}.more")


@pytest.mark.parametrize(
    ("rule", "spoil"),
    [
        ("an output is what was made", _other_words),
        ("an output is there", _removed),
        ("an object has its job", _stray),
    ],
)
async def test_each_kind_of_damage_in_the_bucket_is_found(
    scene: Scene, sessions: Sessions, rule: str, spoil: Callable[[Scene, str], None]
) -> None:
    row = await read(sessions, scene.accepted["succeeded"])
    spoil(scene, row.outputs[0]["object_key"])
    assert scene.rules() == {rule}


async def test_a_job_that_a_client_was_told_of_must_be_there(scene: Scene) -> None:
    scene.accepted["more"] = "job_gone"
    assert scene.rules() == {"an accepted job is there", "a key makes one job"}


async def test_webhooks_must_have_told_each_end_under_one_id(scene: Scene) -> None:
    scene.spoil("UPDATE jobs SET webhook_url = 'http://127.0.0.1/hook'")
    told: dict[tuple[str, str], set[str]] = {
        (job_id, f"job.{status}"): {job_id} for status, job_id in scene.accepted.items()
    }
    assert scene.damage(told) == []
    unheard = dict(list(told.items())[1:])
    assert _rules(scene.damage(unheard)) == {"a webhook tells how a job ended"}
    failed = scene.accepted["failed"]
    lied = told | {(failed, "job.succeeded"): {"x"}}
    assert _rules(scene.damage(lied)) == {"a webhook tells how a job ended"}
    twice = told | {(failed, "job.failed"): {"x", "y"}}
    assert _rules(scene.damage(twice)) == {"an event has one id"}
    strange = told | {("job_gone", "job.failed"): {"x"}}
    assert _rules(scene.damage(strange)) == {"a webhook is of a job"}


def _rules(damage: list[Damage]) -> set[str]:
    return {one.rule for one in damage}


async def test_the_sweep_waits_for_a_store_that_starts_again(
    store_environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    async def away_at_first(*_: object) -> int:
        asked.append(1)
        if len(asked) == 1:
            raise StoreUnavailable("objects", "InternalError")
        return 3

    monkeypatch.setattr("tests.chaos.__main__.sweep_leftovers", away_at_first)
    assert await sweep(store_environment) == 3
