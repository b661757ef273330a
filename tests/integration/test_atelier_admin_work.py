"""``atelier-admin jobs``, ``queues``, ``drain`` and ``dead-letters``, on the service's stores."""

from typing import Any

import pytest
from sqlalchemy import select, update

from db.errors import StoreUnavailable
from db.jobs import dead_letters, transitions
from db.operations import audit_log
from db.outbox import mails
from db.outbox import rows as outbox
from db.tables import AuditLog, DeadLetter, Outbox
from tests.support.admin_command import Admin
from tests.support.http import Person, World, problem


async def submit(person: Person, text: str = "one", **more: Any) -> str:
    body = {"generator": "scribe", "input": {"text": text}, **more}
    answer = await person.post("/v1/jobs", json=body)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


async def audited(api: World) -> list[tuple[str, str, dict[str, Any]]]:
    async with api.sessions() as session:
        rows = (await session.scalars(select(AuditLog).order_by(AuditLog.id))).all()
    assert {row.actor for row in rows} <= {"atelier-admin"}
    return [(row.action, row.subject, row.detail) for row in rows]


@pytest.fixture
def config(atelier_admin: Admin) -> tuple[str, str]:
    return ("--config", str(atelier_admin.config))


async def test_jobs_are_listed_by_what_is_asked_for(
    api: World, ada: Person, root: Person, atelier_admin: Admin
) -> None:
    first, second = await submit(ada), await submit(ada)
    others = await submit(root)
    await api.end(first, "succeeded", 1.0)

    async def listed(*filters: str) -> list[str]:
        return [row["id"] for row in await atelier_admin.rows("jobs", "list", *filters)]

    assert await listed() == [others, second, first]
    assert await listed("--user", ada.email, "--status", "queued") == [second]
    assert await listed("--generator", "image") == []
    assert await listed("--since", "1h", "--limit", "1") == [others]
    assert await listed("--until", "1h") == []
    table = (await atelier_admin.done("jobs", "list")).splitlines()
    assert "generator" in table[0] and first in table[3]
    assert (await atelier_admin.done("jobs", "list", "--status", "failed")) == "no jobs"


async def test_a_job_is_shown_with_all_that_became_of_it(
    api: World, ada: Person, atelier_admin: Admin
) -> None:
    job_id = await submit(ada, webhook_url="https://example.com/hook")
    ended = await api.end(job_id, "failed")
    async with api.sessions.begin() as session:
        await dead_letters.add(session, ended, "quarantined")
    shown = (await atelier_admin("jobs", "show", job_id, "--json")).json
    assert [one["what"] for one in shown["history"]] == ["created", "finished"]
    assert [(one["kind"], one["credits"]) for one in shown["movements"]] == [
        ("hold", 3),
        ("release", 3),
    ]
    assert [(one["topic"], one["key"]) for one in shown["outbox"]] == [
        ("enqueue", "1"),
        ("notify", "failed"),
        ("webhook", "job.failed"),
    ]
    assert shown["dead_letter"].endswith(": quarantined, open")
    assert "input" not in shown and "outputs" not in shown
    said = await atelier_admin.done("jobs", "show", job_id)
    for title in ("history", "credits", "outbox"):
        assert f"\n{title}\n" in said


async def test_a_job_is_canceled_and_costs_nothing(
    api: World, ada: Person, atelier_admin: Admin, config: tuple[str, str]
) -> None:
    job_id = await submit(ada)
    (row,) = await atelier_admin.rows("jobs", "cancel", job_id, *config)
    assert (row["was"], row["is"]) == ("queued", "canceled")
    assert await api.assert_adds_up(ada.id) == (10, 0)
    (row,) = await atelier_admin.rows("jobs", "cancel", job_id, *config)  # is final
    assert (row["was"], row["is"]) == ("canceled", "canceled")
    assert await audited(api) == [("job.canceled", job_id, {"was": "queued"})]


async def test_a_running_job_is_asked_to_stop_once(
    api: World, ada: Person, atelier_admin: Admin, config: tuple[str, str]
) -> None:
    job_id = await submit(ada)
    async with api.sessions.begin() as session:
        assert await transitions.claim(session, job_id, 1, "replica")
    for _ in range(2):
        (row,) = await atelier_admin.rows("jobs", "cancel", job_id, *config)
        assert (row["was"], row["is"]) == ("running", "asked to stop")
    assert await audited(api) == [("job.canceled", job_id, {"was": "running"})]


async def test_what_cannot_be_audited_is_not_done(
    api: World,
    ada: Person,
    atelier_admin: Admin,
    config: tuple[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ended, waits = await submit(ada), await submit(ada)
    await api.end(ended, "failed")
    before = await api.assert_adds_up(ada.id)

    async def refuse(*_: Any, **__: Any) -> None:
        raise StoreUnavailable("postgres", "no audit log")

    monkeypatch.setattr(audit_log, "write", refuse)
    for order, job_id in (("retry", ended), ("cancel", waits)):
        said = await atelier_admin("jobs", order, job_id, *config)
        assert said.status == 4 and "no audit log" in said.err
    jobs = {row["id"]: row["status"] for row in await atelier_admin.rows("jobs", "list")}
    assert jobs == {waits: "queued", ended: "failed"}
    assert await api.assert_adds_up(ada.id) == before


async def test_a_job_is_made_again_at_its_owners_cost(
    api: World, ada: Person, atelier_admin: Admin, config: tuple[str, str]
) -> None:
    job_id = await submit(ada, "again")
    waits = await atelier_admin("jobs", "retry", job_id, *config)
    assert waits.status == 1 and waits.err
    await api.end(job_id, "failed")
    again = (await atelier_admin("jobs", "retry", job_id, *config, "--json")).json["retried_as"]
    assert (await ada.get(f"/v1/jobs/{again}")).json()["input"]["text"] == "again"
    assert await api.assert_adds_up(ada.id) == (7, 3)
    assert await audited(api) == [("job.retried", job_id, {"retried_as": again})]


async def test_queues_are_shown_paused_drained_and_resumed(
    api: World, ada: Person, atelier_admin: Admin, config: tuple[str, str]
) -> None:
    await submit(ada)
    (row,) = await atelier_admin.rows("queues", "list", *config)
    assert (row["generator"], row["waiting"], row["active"]) == ("scribe", 1, 0)
    assert row["oldest_waits"] > 0 and row["replicas"] is None
    (row,) = await atelier_admin.rows("queues", "pause", "scribe", *config)
    assert (row["paused"], row["waiting"]) == (True, 1)
    assert (await api.clients.queues["scribe"].counts()).paused

    (row,) = await atelier_admin.rows("drain", "start", "all", *config)
    assert (row["paused"], row["draining"]) == (True, True)
    body = {"generator": "scribe", "input": {"text": "late"}}
    problem(await ada.post("/v1/jobs", json=body), 503, "draining")
    stays = await atelier_admin("drain", "start", "scribe", "--wait", "86400", *config)
    assert stays.status == 1, "a job waits, and nothing takes it"
    assert "scribe is paused" in stays.err and "Waiting there: 1." in stays.err
    left = await atelier_admin(
        "drain", "start", "scribe", "--wait", "60", "--leave-waiting", *config
    )
    assert left.status == 0, "no job runs"

    (row,) = await atelier_admin.rows("drain", "stop", "scribe", *config)
    assert (row["paused"], row["draining"]) == (False, False)
    assert not (await api.clients.queues["scribe"].counts()).paused
    await submit(ada)
    actions = ["queue.pause", "queue.drain", "queue.resume"]
    assert await audited(api) == [(action, "scribe", {}) for action in actions]
    unknown = await atelier_admin("queues", "pause", "scribe", "painter", *config)
    assert unknown.status == 1 and "there are scribe" in unknown.err


async def test_a_job_that_waits_for_its_users_limit_is_work_to_do(
    api: World, ada: Person, atelier_admin: Admin, config: tuple[str, str]
) -> None:
    job_id = await submit(ada)
    async with api.sessions.begin() as session:
        assert await transitions.defer(session, job_id, 1)
    assert await api.clients.queues["scribe"].remove(job_id, 1)
    (row,) = await atelier_admin.rows("queues", "list", *config)
    assert (row["waiting"], row["deferred"], row["oldest_waits"]) == (0, 1, None)
    stays = await atelier_admin("drain", "start", "all", "--wait", "1", *config)
    assert stays.status == 1


async def test_an_empty_queue_ends_the_wait(
    api: World, atelier_admin: Admin, config: tuple[str, str]
) -> None:
    assert (await atelier_admin("drain", "start", "all", "--wait", "60", *config)).status == 0


async def test_jobs_that_were_given_up_are_retried_or_dropped(
    api: World, ada: Person, atelier_admin: Admin, config: tuple[str, str]
) -> None:
    for text in ("one", "two"):
        ended = await api.end(await submit(ada, text), "failed")
        async with api.sessions.begin() as session:
            await dead_letters.add(session, ended, "worker_lost")
    two, one = await atelier_admin.rows("dead-letters", "list", "--kind", "job")
    assert (one["reason"], one["state"]) == ("worker_lost", "given up")
    await atelier_admin.done("dead-letters", "drop", two["id"], *config)
    (row,) = await atelier_admin.rows("dead-letters", "retry", one["id"], *config)
    again = (await ada.get(f"/v1/jobs/{row['became']}")).json()
    assert again["input"]["text"] == "one"
    resolved = await atelier_admin("dead-letters", "retry", two["id"], *config)
    assert resolved.status == 1 and resolved.err
    assert await atelier_admin.rows("dead-letters", "list") == []
    assert len(await atelier_admin.rows("dead-letters", "list", "--all")) == 2
    assert [action for action, *_ in await audited(api)] == [
        "dead_letter.dropped",
        "dead_letter.retried",
    ]
    async with api.sessions() as session:
        assert len((await session.scalars(select(DeadLetter))).all()) == 2


async def test_messages_that_failed_are_listed_and_sent_again(
    api: World, ada: Person, atelier_admin: Admin
) -> None:
    async with api.sessions.begin() as session:
        payload = {"job_id": "job_1", "user_id": ada.id, "type": "job.failed"}
        await outbox.write(session, outbox.WEBHOOK, "job_1:job.failed", payload)
        await outbox.write(session, outbox.WEBHOOK, "job_2:job.failed", payload)
        await outbox.write(session, outbox.ENQUEUE, "job_3-1", payload)
        await mails.write(session, mails.RESET, "ada@example.com")
    async with api.sessions.begin() as session:
        rows = {row.natural_key: row for row in await session.scalars(select(Outbox))}
        (mail,) = [row for row in rows.values() if row.topic == outbox.MAIL]
        await session.execute(
            update(Outbox)
            .where(Outbox.natural_key == "job_1:job.failed")
            .values(done_at=mail.created_at, error="410", attempts=9)
        )
        await session.execute(
            update(Outbox).where(Outbox.natural_key == "job_3-1").values(attempts=5)
        )
        await mails.finish(session, mail, "no such mailbox")

    listed = await atelier_admin.rows("dead-letters", "list")
    assert [(row["kind"], row["state"], row["reason"]) for row in listed] == [
        ("mail", "given up", "no such mailbox"),
        ("enqueue", "is tried again", None),
        ("webhook", "given up", "410"),
    ]
    mail_id, message, hook = (row["id"] for row in listed)
    await atelier_admin.done("dead-letters", "retry", hook, message)
    async with api.sessions() as session:
        again = await session.get_one(Outbox, int(hook))
        assert (again.done_at, again.error) == (None, None)
    lost = await atelier_admin("dead-letters", "retry", mail_id)
    assert lost.status == 1 and "they may ask anew" in lost.err
    fine = str(rows["job_2:job.failed"].id)
    assert "has not failed" in (await atelier_admin("dead-letters", "retry", fine)).err
    assert [(action, subject) for action, subject, _ in await audited(api)] == [
        ("outbox.retried", hook),
        ("outbox.retried", message),
    ]


async def test_an_id_that_is_not_there_keeps_the_others_as_they_are(
    api: World, ada: Person, atelier_admin: Admin, config: tuple[str, str]
) -> None:
    waits, ended = await submit(ada), await api.end(await submit(ada), "failed")
    async with api.sessions.begin() as session:
        await dead_letters.add(session, ended, "worker_lost")
    async with api.sessions.begin() as session:
        await outbox.write(session, outbox.ENQUEUE, "job_3-1", {})
        await session.execute(
            update(Outbox).where(Outbox.natural_key == "job_3-1").values(attempts=5)
        )
    letter, message = (row["id"] for row in await atelier_admin.rows("dead-letters", "list"))
    for order, known, unknown in (
        (("jobs", "cancel"), [waits], ["job_8", "job_9"]),
        (("dead-letters", "drop"), [letter], ["dead_8", "dead_9"]),
        (("dead-letters", "retry"), [message, letter], ["99998", "dead_9"]),
    ):
        said = await atelier_admin(*order, *known, *unknown, *config)
        assert said.status == 1 and all(one in said.err for one in unknown), said
        assert not any(one in said.err for one in known), said
    assert await audited(api) == []
    assert (await ada.get(f"/v1/jobs/{waits}")).json()["status"] == "queued"
    assert len(await atelier_admin.rows("dead-letters", "list")) == 2
    (row,) = await atelier_admin.rows("jobs", "cancel", waits, waits, *config)
    assert (row["was"], row["is"]) == ("queued", "canceled")
