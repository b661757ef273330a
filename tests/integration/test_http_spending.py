"""What users see and bound of their spending: quotes, caps, usage, statements, alerts, grants."""

import asyncio
import csv
import io
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import select, text, update

from billing import ledger, plans
from billing.reconcile import reconcile
from db.settings import StoreSettings
from db.tables import AuditLog, Job, Outbox, User
from deployments.maintenance.context import MaintenanceContext
from deployments.maintenance.deliver_webhooks import deliver_webhooks
from deployments.maintenance.expire_credits import expire_credits
from deployments.settings import SharedSettings
from deployments.stores import Stores
from tests.support.http import Person, World, patiently, problem
from tests.support.receiver import receiver

CIRCLE = {"prompt": "a red circle", "n": 4}


@pytest.fixture
def api_generators() -> list[str]:
    return ["deployments.generators.image"]


@pytest.fixture
def api_settings() -> dict[str, Any]:
    return {"WELCOME_CREDITS": 1000, "ATELIER_FETCH_PRIVATE": "1"}


async def price(person: Person) -> dict[str, Any]:
    found: dict[str, Any] = (
        await person.post("/v1/generators/image/quote", json={"input": CIRCLE})
    ).json()
    return found


async def submit(person: Person, **headers: str) -> httpx.Response:
    body = {"generator": "image", "input": CIRCLE}
    return await person.post("/v1/jobs", json=body, headers=headers)


async def set_plan(api: World, person: Person, plan: str) -> None:
    async with api.sessions.begin() as session:
        await session.execute(update(User).where(User.id == person.id).values(plan=plan))


async def agrees(api: World) -> None:
    async with api.sessions() as session:
        assert await reconcile(session) == []


async def test_a_plan_makes_jobs_cheaper_and_says_by_how_much(api: World, ada: Person) -> None:
    full = await price(ada)
    await set_plan(api, ada, "pro")
    less = await price(ada)
    percent = plans.PLANS["pro"].discount_percent
    assert less["breakdown"][-1]["item"] == f"{percent} % off by your plan"
    assert less["credits"] == sum(line["credits"] for line in less["breakdown"]) < full["credits"]
    job = (await submit(ada)).json()
    assert job["cost"]["estimated"] == less["credits"]
    assert job["cost"]["breakdown"] == less["breakdown"]


async def test_no_later_change_of_prices_alters_an_accepted_job(
    api: World, ada: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = (await submit(ada)).json()
    spec = api.clients.catalog["image"]
    monkeypatch.setitem(
        api.clients.catalog,  # type: ignore[arg-type]
        "image",
        type(spec)(**{**vars(spec), "price": lambda request: [], "price_version": "later"}),
    )
    await set_plan(api, ada, "pro")
    ended = await api.end(before["id"], "succeeded", 1.0)
    assert ended.credits_charged == before["cost"]["estimated"]
    after = (await ada.get(f"/v1/jobs/{before['id']}")).json()
    for name in ("breakdown", "price_version", "estimated"):
        assert after["cost"][name] == before["cost"][name]


async def key_of(person: Person, **body: Any) -> dict[str, Any]:
    answer = await person.post("/v1/api-keys", json={"name": "capped", **body})
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def with_key(api: World, key: dict[str, Any], **headers: str) -> httpx.Response:
    body = {"generator": "image", "input": CIRCLE}
    headers |= {"X-API-Key": key["key"]}
    return await api.http.post("/v1/jobs", json=body, headers=headers)


async def test_a_key_spends_no_more_than_its_cap_however_many_ask_at_once(
    api: World, ada: Person
) -> None:
    cost = (await price(ada))["credits"]
    key = await key_of(ada, monthly_cap=5 * cost)
    answers = await asyncio.gather(*(patiently(with_key, api, key) for _ in range(50)))
    assert Counter(one.status_code for one in answers) == {202: 5, 402: 45}
    refused = next(one for one in answers if one.status_code == 402)
    body = problem(refused, 402, "spending_cap_reached")
    assert (body["required"], body["spent"], body["cap"]) == (cost, 5 * cost, 5 * cost)
    assert await api.count(Job, ada.id) == 5
    assert (await submit(ada)).status_code == 202, "the cap is the key's, not the user's"
    await agrees(api)

    # What a job did not cost is given back, and can be spent again.
    jobs = [one.json()["id"] for one in answers if one.status_code == 202]
    await api.end(jobs[0], "failed")
    assert (await with_key(api, key)).status_code == 202
    assert (await with_key(api, key)).status_code == 402
    listed = (await ada.get("/v1/api-keys")).json()["data"]
    assert [one["spent_this_month"] for one in listed] == [5 * cost]
    await agrees(api)


async def test_a_cap_is_changed_and_lifted_and_counts_by_month(api: World, ada: Person) -> None:
    key = await key_of(ada, monthly_cap=0)
    assert (await with_key(api, key)).status_code == 402
    path = f"/v1/api-keys/{key['id']}"
    changed = await ada.patch(path, json={"monthly_cap": None, "name": "free"})
    assert (changed.json()["monthly_cap"], changed.json()["name"]) == (None, "free")
    assert (await with_key(api, key)).status_code == 202
    cost = (await price(ada))["credits"]
    await ada.patch(path, json={"monthly_cap": cost})
    assert (await with_key(api, key)).status_code == 402
    async with api.sessions.begin() as session:
        await session.execute(text("UPDATE jobs SET created_at = created_at - interval '40 days'"))
        await session.execute(text("UPDATE key_spending SET month = month - 40"))
        await session.execute(
            text("UPDATE key_spending SET month = date_trunc('month', month)::date")
        )
    assert (await with_key(api, key)).status_code == 202, "a new month"
    bob = await api.guest()
    assert problem(await bob.patch(path, json={"name": "mine"}), 404, "not_found")
    assert problem(await ada.patch(path, json={"monthly_cap": -1}), 422, "bad_input")


async def test_usage_by_day_generator_and_key(api: World, ada: Person) -> None:
    cost = (await price(ada))["credits"]
    key = await key_of(ada)
    jobs = [(await submit(ada)).json()["id"] for _ in range(3)]
    jobs.append((await with_key(api, key)).json()["id"])
    for job_id, status, share, ended in (
        (jobs[0], "succeeded", 1.0, "2026-03-01T00:00:00Z"),
        (jobs[1], "failed", 0.0, "2026-03-01T23:59:59Z"),
        (jobs[2], "canceled", 1.0, "2026-02-28T23:59:59Z"),
        (jobs[3], "succeeded", 1.0, "2026-03-02T12:00:00Z"),
    ):
        await api.end(job_id, status, share)
        async with api.sessions.begin() as session:
            await session.execute(
                update(Job)
                .where(Job.id == job_id)
                .values(finished_at=datetime.fromisoformat(ended))
            )

    async def used(query: str) -> dict[str, Any]:
        answer = await ada.get(f"/v1/usage?{query}")
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    days = await used("from=2026-03-01&to=2026-03-02")
    assert [(one["day"], one["jobs"], one["credits"]) for one in days["data"]] == [
        ("2026-03-01", 2, cost),
        ("2026-03-02", 1, cost),
    ]
    assert days["data"][0]["generator"] is None
    assert (days["total"]["jobs"], days["total"]["failed"]) == (3, 1)
    keys = await used("from=2026-02-01&to=2026-03-31&by=key,generator")
    assert {one["api_key_id"]: one["credits"] for one in keys["data"]} == {
        None: 2 * cost,
        key["id"]: cost,
    }
    assert {one["generator"] for one in keys["data"]} == {"image"}
    assert (await used("from=2025-01-01&to=2025-01-02"))["data"] == []
    assert (await used("from=2025-01-01&to=2025-01-02&by="))["data"] == []
    bob = await api.guest()
    assert (await bob.get("/v1/usage?from=2026-03-01&to=2026-03-02")).json()["data"] == []
    for wrong in ("from=2026-03-02&to=2026-03-01", "from=2020-01-01&to=2026-01-01", "by=colour"):
        assert problem(await ada.get(f"/v1/usage?{wrong}"), 422, "bad_input"), wrong


async def test_the_statement_is_filtered_and_says_what_happened_to_the_balance(
    api: World, ada: Person
) -> None:
    job = (await submit(ada)).json()
    cost = job["cost"]["estimated"]
    await api.end(job["id"], "canceled", 0.5)
    lines = (await ada.get("/v1/credits/transactions")).json()["data"]
    assert (
        sum(line["balance_change"] for line in lines)
        == (await ada.get("/v1/credits")).json()["balance"]
    )
    by_kind = {line["kind"]: line["balance_change"] for line in lines}
    assert (by_kind["hold"], by_kind["capture"], by_kind["grant"]) == (-cost, 0, 1000)
    holds = (await ada.get("/v1/credits/transactions?kind=hold")).json()["data"]
    assert [line["job_id"] for line in holds] == [job["id"]]
    of_job = (await ada.get(f"/v1/credits/transactions?job_id={job['id']}")).json()["data"]
    assert len(of_job) == 3
    later = datetime.now(UTC) + timedelta(hours=1)
    query = {"created_after": later.isoformat()}
    assert (await ada.get("/v1/credits/transactions", params=query)).json()["data"] == []
    wrong = await ada.get("/v1/credits/transactions?kind=gift")
    assert problem(wrong, 422, "bad_input")


async def test_statements_as_csv_are_whole_ones_own_and_harmless(
    api: World, ada: Person, root: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("serve_app.credits.statement.BATCH_SIZE", 7)
    async with api.sessions.begin() as session:
        for number in range(20):
            reason = "=HYPERLINK(1)" if number == 0 else f"number {number}, and a comma"
            await ledger.grant(session, ada.id, 1 + number, f"csv:{number}", reason)
    answer = await ada.get("/v1/credits/transactions.csv")
    assert answer.headers["content-type"].startswith("text/csv")
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert len(rows) == len({row["id"] for row in rows}) == 21
    assert {row["user_id"] for row in rows} == {ada.id}
    assert rows[-2]["reason"] == "'=HYPERLINK(1)"
    assert rows[0]["reason"] == "number 19, and a comma"
    everything = await root.get("/v1/admin/ledger.csv")
    people = {row["user_id"] for row in csv.DictReader(io.StringIO(everything.text))}
    assert people == {ada.id, root.id}


async def low_events(api: World) -> list[dict[str, Any]]:
    async with api.sessions() as session:
        rows = await session.scalars(select(Outbox).order_by(Outbox.id))
        return [row.payload["data"] for row in rows if row.payload.get("type") == "credits.low"]


async def test_who_asked_is_told_once_each_time_credits_run_low(
    api: World, ada: Person, store_settings: StoreSettings
) -> None:
    cost = (await price(ada))["credits"]
    threshold = 1000 - cost  # reached by the first job, undercut by the second
    with receiver() as heard:
        body = {"threshold": threshold, "webhook_url": heard.url}
        assert (await ada.put("/v1/credits/alert", json=body)).json() == body
        assert (await ada.get("/v1/credits/alert")).json() == body
        jobs = [(await submit(ada)).json()["id"] for _ in range(3)]
        low = {"balance": threshold - cost, "threshold": threshold}
        assert await low_events(api) == [low]
        await api.end(jobs[1], "failed")
        await api.end(jobs[2], "failed")
        await submit(ada)
        assert await low_events(api) == [low, low], "above it, and below it again"

        stores = Stores.open(store_settings)
        try:
            shared = SharedSettings(ATELIER_FETCH_PRIVATE="1")  # type: ignore[call-arg]
            assert await deliver_webhooks(MaintenanceContext(stores, {}, shared=shared)) == 2
        finally:
            await stores.close()
        assert [one.event["data"] for one in heard.of("/hook")] == [low, low]
        assert heard.types() == ["credits.low"] * 2
        assert len({one.id for one in heard.of("/hook")}) == 2

        assert (await ada.delete("/v1/credits/alert")).status_code == 204
        assert (await ada.get("/v1/credits/alert")).json() == {
            "threshold": None,
            "webhook_url": None,
        }
        await submit(ada)
        assert len(await low_events(api)) == 2
    wrong = {"threshold": 0, "webhook_url": "https://example.com/"}
    assert problem(await ada.put("/v1/credits/alert", json=wrong), 422, "bad_input")


async def test_administrators_give_credits_that_may_expire(
    api: World, ada: Person, root: Person, store_settings: StoreSettings
) -> None:
    path = f"/v1/admin/users/{ada.id}/grants"
    soon = datetime.now(UTC) + timedelta(hours=1)
    body = {"amount": 50, "reason": "a present", "expires_at": soon.isoformat()}
    for _ in range(2):
        answer = await root.post(path, json=body, headers={"Idempotency-Key": "present"})
        assert answer.status_code == 201, answer.text
        assert answer.json()["balance"] == 1050
    assert answer.headers["Idempotent-Replayed"] == "true"
    other = await root.post(
        path, json={**body, "amount": 9}, headers={"Idempotency-Key": "present"}
    )
    assert problem(other, 422, "idempotency_mismatch")
    expiring = (await ada.get("/v1/credits")).json()["expiring"]
    assert [one["credits"] for one in expiring] == [50]
    async with api.sessions() as session:
        logged = (await session.scalars(select(AuditLog))).all()
    assert [(one.actor, one.action, one.subject) for one in logged] == [
        (root.id, "user.grant", ada.id)
    ]
    past = {**body, "expires_at": "2020-01-01T00:00:00Z"}
    assert problem(await root.post(path, json=past), 422, "bad_input")

    # Its hour has come: the keeper takes what is left.
    async with api.sessions.begin() as session:
        await session.execute(text("UPDATE credit_lots SET expires_at = now()"))
    stores = Stores.open(store_settings)
    try:
        assert await expire_credits(MaintenanceContext(stores, {})) == 50
        assert await expire_credits(MaintenanceContext(stores, {})) == 0
    finally:
        await stores.close()
    assert (await ada.get("/v1/credits")).json()["balance"] == 1000
    lines = (await ada.get("/v1/credits/transactions?kind=expire")).json()["data"]
    assert [line["balance_change"] for line in lines] == [-50]
    await agrees(api)
