"""A deleted account: shut at once, erased to the last word, its books kept, whatever is killed."""

import asyncio
from collections.abc import Iterator
from datetime import timedelta

import httpx
import pytest
from redis.asyncio import Redis
from sqlalchemy import select, update

from billing.reconcile import reconcile
from db.accounts import erasure, users
from db.object_store import ObjectStore
from db.redis.client import events_key
from db.session import Sessions
from db.tables import ApiKey, AuditLog, Base, File, Job, Subscription, Transaction, User
from deployments.maintenance.cancel_jobs import cancel_jobs
from deployments.maintenance.context import MaintenanceContext
from deployments.maintenance.deployment import TASKS
from deployments.maintenance.erase_accounts import erase_accounts
from deployments.stores import Stores
from deployments.worker.runner import LoadedGenerator, run_job
from tests.support.http import PASSWORD, Person, World, problem
from tests.support.killed_erasure import AMONG_OBJECTS, BEFORE_COMMIT, erase_and_be_killed
from tests.support.payments import Shop
from tests.support.quick_passwords import hash_quickly
from tests.support.rich_account import (
    RichAccount,
    delete,
    fill,
    found_in_postgres,
    found_in_redis,
    versions,
)
from tests.support.waiting import until

AT_ONCE = timedelta(0)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    hash_quickly(monkeypatch)
    yield


@pytest.fixture
def api_settings() -> dict[str, object]:
    return {"WELCOME_CREDITS": 1000}


@pytest.fixture
async def ada(api: World) -> Person:
    """With a password, unlike the guests of other tests."""
    return await api.person()


@pytest.fixture
async def rich(ada: Person, stores: Stores, loaded: LoadedGenerator) -> RichAccount:
    return await fill(ada, stores, loaded)


async def account(sessions: Sessions, user_id: str) -> User:
    async with sessions() as session:
        return await session.get_one(User, user_id)


async def differences(sessions: Sessions) -> list[object]:
    async with sessions() as session:
        return list(await reconcile(session))


async def test_a_deleted_account_opens_nothing_from_the_answer_on(
    api: World, rich: RichAccount
) -> None:
    person = rich.person
    await delete(api, person, PASSWORD)
    problem(await person.get("/v1/me"), 401, "invalid_token")
    with_key = await api.http.get("/v1/me", headers={"X-API-Key": rich.api_key})
    problem(with_key, 401, "invalid_token")
    form = {"username": person.email, "password": PASSWORD}
    problem(await api.http.post("/v1/auth/token", data=form), 401, "wrong_credentials")
    body = {"refresh_token": person.tokens["refresh_token"]}
    problem(await api.http.post("/v1/auth/refresh", json=body), 401, "invalid_token")
    # Registering the address is answered as ever, and changes nothing while it is erased.
    again = {"email": person.email, "password": PASSWORD}
    assert (await api.http.post("/v1/auth/register", json=again)).status_code == 201
    problem(await api.http.post("/v1/auth/token", data=form), 401, "wrong_credentials")


async def test_a_token_stays_shut_when_the_rows_of_its_log_in_are_gone(
    api: World, ada: Person, maintenance: MaintenanceContext
) -> None:
    await delete(api, ada, PASSWORD)
    await erase_accounts(maintenance)
    problem(await ada.get("/v1/me"), 401, "invalid_token")


async def test_nothing_is_left_but_the_books(
    api: World,
    rich: RichAccount,
    maintenance: MaintenanceContext,
    objects: ObjectStore,
    redis: Redis,
) -> None:
    sessions, user_id = api.sessions, rich.person.id
    tables = {table for table, _ in await found_in_postgres(sessions, rich.words)}
    assert tables >= {
        "api_keys", "batches", "files", "idempotency_keys", "job_metadata", "jobs", "personas",
        "users",
    }, "the search finds what there is"  # fmt: skip
    assert [key async for key in versions(objects, user_id)]
    assert await found_in_redis(redis, [rich.job_id]) and await redis.exists(
        events_key(rich.job_id)
    )
    async with sessions() as session:
        query = select(Transaction.id, Transaction.amount).order_by(Transaction.id)
        before = (await session.execute(query.where(Transaction.kind != "release"))).all()

    await delete(api, rich.person, PASSWORD)
    assert await cancel_jobs(maintenance) == 2
    assert await erase_accounts(maintenance, AT_ONCE) == 1

    assert await found_in_postgres(sessions, rich.words) == set()
    assert await found_in_redis(redis, rich.words) == set()
    assert not await redis.exists(events_key(rich.job_id))
    assert [key async for key in versions(objects, user_id)] == []
    assert await differences(sessions) == []
    async with sessions() as session:
        after = (await session.execute(query.where(Transaction.kind != "release"))).all()
        consents = await session.scalars(select(AuditLog.action))
        assert "persona.consent" in consents.all()
    assert after == before, "what was charged stays in the ledger"
    user = await account(sessions, user_id)
    assert user.email == f"{user_id.lower()}@erased.invalid"
    assert (user.held, user.password_hash) == (0, "")
    assert await erase_accounts(maintenance, AT_ONCE) == 0


async def test_of_another_account_nothing_is_touched(
    api: World,
    rich: RichAccount,
    maintenance: MaintenanceContext,
    objects: ObjectStore,
    stores: Stores,
    loaded: LoadedGenerator,
) -> None:
    other = await fill(await api.person(), stores, loaded)
    there = [key async for key in versions(objects, other.person.id)]
    await delete(api, rich.person, PASSWORD)
    assert await cancel_jobs(maintenance) == 2
    assert await erase_accounts(maintenance, AT_ONCE) == 1
    assert [key async for key in versions(objects, other.person.id)] == there
    for path in (f"jobs/{other.job_id}", f"batches/{other.batch_id}", f"files/{other.file_ids[0]}"):
        assert (await other.person.get(f"/v1/{path}")).status_code == 200
    batch = (await other.person.get(f"/v1/batches/{other.batch_id}")).json()
    assert batch["counts"]["unfinished"] == 2
    answer = await api.http.get("/v1/jobs", headers={"X-API-Key": other.api_key})
    assert answer.status_code == 200


@pytest.mark.parametrize("where", [AMONG_OBJECTS, BEFORE_COMMIT])
async def test_an_erasure_that_is_killed_half_way_is_ended_by_the_next_round(
    api: World,
    rich: RichAccount,
    maintenance: MaintenanceContext,
    objects: ObjectStore,
    redis: Redis,
    store_environment: dict[str, str],
    where: str,
) -> None:
    await delete(api, rich.person, PASSWORD)
    await cancel_jobs(maintenance)
    there = [key async for key in versions(objects, rich.person.id)]
    await asyncio.to_thread(erase_and_be_killed, store_environment, where)
    left = [key async for key in versions(objects, rich.person.id)]
    assert len(left) < len(there), "it had begun"
    assert (await account(api.sessions, rich.person.id)).erased_at is None
    assert await found_in_postgres(api.sessions, rich.words), "it had not ended"
    assert await erase_accounts(maintenance, AT_ONCE) == 1
    assert [key async for key in versions(objects, rich.person.id)] == []
    assert await found_in_postgres(api.sessions, rich.words) == set()
    assert await found_in_redis(redis, rich.words) == set()
    assert await differences(api.sessions) == []


async def test_a_running_job_is_stopped_settled_and_then_erased(
    api: World,
    ada: Person,
    maintenance: MaintenanceContext,
    stores: Stores,
    loaded: LoadedGenerator,
) -> None:
    given = {"text": "a walrus", "pages": 300, "page_s": 0.05}
    answer = await ada.post("/v1/jobs", json={"generator": "scribe", "input": given})
    job_id = answer.json()["id"]
    running = asyncio.create_task(run_job(stores, loaded, job_id, 1))

    async def is_running() -> bool:
        async with api.sessions() as session:
            return (await session.get_one(Job, job_id)).status == "running"

    await until(is_running)
    await delete(api, ada, PASSWORD)
    assert await cancel_jobs(maintenance) == 1
    assert await cancel_jobs(maintenance) == 0, "it was asked once"
    await running
    async with api.sessions() as session:
        assert (await session.get_one(Job, job_id)).status == "canceled"
    assert await erase_accounts(maintenance, AT_ONCE) == 1
    await api.assert_adds_up(ada.id)
    assert await differences(api.sessions) == []


async def test_an_account_with_an_unfinished_job_waits(
    api: World, ada: Person, maintenance: MaintenanceContext
) -> None:
    answer = await ada.post("/v1/jobs", json={"generator": "scribe", "input": {"text": "a walrus"}})
    await delete(api, ada, PASSWORD)
    assert await erase_accounts(maintenance, AT_ONCE) == 0
    assert await cancel_jobs(maintenance) == 1
    assert await erase_accounts(maintenance, AT_ONCE) == 1
    async with api.sessions() as session:
        assert (await session.get_one(Job, answer.json()["id"])).input == {}


async def test_the_address_is_free_only_after_a_while_in_which_nothing_more_came(
    api: World, ada: Person, maintenance: MaintenanceContext, objects: ObjectStore
) -> None:
    await delete(api, ada, PASSWORD)
    assert await erase_accounts(maintenance) == 0, "a request may be under way"
    # Such a request: an upload that was let in before the deletion.
    key = f"inputs/{ada.id}/file_x/late.png"
    await objects.put_bytes(key, b"x", "image/png")
    async with api.sessions.begin() as session:
        row = {"content_type": "image/png", "bytes": 1, "sha256": "", "purpose": "input"}
        session.add(File(id="file_x", user_id=ada.id, object_key=key, name="late.png", **row))
    body = {"email": ada.email, "password": PASSWORD}
    await api.http.post("/v1/auth/register", json=body)
    async with api.sessions.begin() as session:
        found = await users.by_email(session, ada.email)
        assert found is not None and found.id == ada.id
        await session.execute(update(User).values(deleted_at=User.deleted_at - timedelta(hours=1)))
    assert await erase_accounts(maintenance) == 1
    assert [key async for key in versions(objects, ada.id)] == []
    assert await api.count(File, ada.id) == 0
    await api.http.post("/v1/auth/register", json=body)
    tokens = await api.log_in(ada.email)
    me = await api.http.get("/v1/me", headers={"Authorization": f"Bearer {tokens['access_token']}"})
    assert me.json()["id"] != ada.id


async def test_an_account_that_cannot_be_erased_delays_no_other(
    api: World, ada: Person, maintenance: MaintenanceContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = await api.person()
    await delete(api, ada, PASSWORD)
    await delete(api, other, PASSWORD)
    erase_rows = erasure.erase_rows

    async def broken(session: object, user_id: str) -> None:
        if user_id == ada.id:
            raise RuntimeError("a bug")
        await erase_rows(session, user_id)  # type: ignore[arg-type]

    monkeypatch.setattr(erasure, "erase_rows", broken)
    assert await erase_accounts(maintenance, AT_ONCE) == 1
    assert (await account(api.sessions, other.id)).erased_at is not None
    assert (await account(api.sessions, ada.id)).erased_at is None


async def test_only_the_password_of_a_login_deletes(api: World, ada: Person) -> None:
    wrong = await ada.delete("/v1/me", json={"password": "a guess at it"})
    problem(wrong, 401, "wrong_credentials")
    key = (await ada.post("/v1/api-keys", json={"name": "x"})).json()["key"]
    with_key = await api.http.request(
        "DELETE", "/v1/me", json={"password": PASSWORD}, headers={"X-API-Key": key}
    )
    problem(with_key, 403, "scope_missing")
    assert (await account(api.sessions, ada.id)).deleted_at is None
    answers = await asyncio.gather(
        *(ada.delete("/v1/me", json={"password": PASSWORD}) for _ in range(4))
    )
    assert [answer.status_code for answer in answers].count(202) == 1
    async with api.sessions() as session:
        deleted = select(AuditLog.actor).where(AuditLog.action == "user.deleted")
        assert (await session.scalars(deleted)).all() == [ada.id]
        assert (await session.scalars(select(ApiKey.revoked_at))).all() != [None]


async def test_an_administrator_is_deleted_once_another_made_them_a_user(api: World) -> None:
    ada, bob = await api.person(), await api.guest("admin")
    async with api.sessions.begin() as session:
        await users.set_role(session, ada.id, "admin")
    refused = await ada.delete("/v1/me", json={"password": PASSWORD})
    problem(refused, 409, "own_account")
    assert (await ada.get("/v1/me")).status_code == 200, "nothing was ended"
    made = await bob.put(f"/v1/admin/users/{ada.id}/role", json={"role": "user"})
    assert made.status_code == 200, made.text
    assert (await ada.delete("/v1/me", json={"password": PASSWORD})).status_code == 202


async def test_an_account_that_pays_for_a_plan_is_deleted_once_the_plan_is_canceled(
    open_shop: Shop,
) -> None:
    ada = await open_shop.world.person()
    await open_shop.buy(ada, plan="starter")
    await open_shop.booked()
    refused: httpx.Response = await ada.delete("/v1/me", json={"password": PASSWORD})
    problem(refused, 409, "subscription_active")
    assert (await ada.get("/v1/me")).status_code == 200, "nothing was ended"
    await open_shop.at_the_portal(ada, "cancel=.*")
    await open_shop.booked()
    await delete(open_shop.world, ada, PASSWORD)
    # Its end is booked although nobody has the account any more.
    await open_shop.act("advance", seconds=32 * 24 * 3600)
    await open_shop.booked()
    async with open_shop.world.sessions() as session:
        assert (await session.scalars(select(Subscription.status))).one() == "canceled"
    assert await open_shop.differences() == []


def test_of_every_table_it_is_decided_what_becomes_of_it() -> None:
    """A new table with a user in it is erased in ``erase_rows``, or kept for a reason, and named in
    docs/operations.md."""
    deleted = {
        "account_tokens", "files", "idempotency_keys", "passkeys", "personas", "recovery_codes",
        "refresh_tokens", "storage_use", "totp_factors", "webhook_secrets",
    }  # fmt: skip
    blanked = {"api_keys", "batches", "jobs"}
    books = {"credit_lots", "payments", "stripe_customers", "subscriptions", "transactions"}
    others = {"queue_clocks"}  # a number: the virtual time of a queue
    with_user = {name for name, table in Base.metadata.tables.items() if "user_id" in table.c}
    assert with_user == deleted | blanked | books | others


def test_the_keeper_does_it() -> None:
    assert {cancel_jobs, erase_accounts} <= {task.run for task in TASKS}
