"""Incidents: told with ``atelier-admin incident``, read on ``/status``, audited. Real stores."""

import re
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select, update

from db.tables import AuditLog, Incident
from tests.support.admin_command import Admin
from tests.support.http import World


async def opened(atelier_admin: Admin, title: str, *more: str) -> str:
    return str((await atelier_admin("incident", "open", title, *more, "--json")).json["id"])


async def page(api: World) -> tuple[str, str]:
    """The parts of the page with the open incidents and with the past ones."""
    answer = await api.http.get("/status")
    assert answer.status_code == 200 and "<script" not in answer.text
    _, now, past = re.split(r"<h2>.*?</h2>", answer.text)
    return now, past


async def test_users_read_of_an_incident_until_ten_days_after_its_end(
    api: World, atelier_admin: Admin
) -> None:
    assert await page(api) == ("\n<p>None at the moment.</p>\n", "\n<p>None.</p>\n</html>\n")
    config = ("--config", str(atelier_admin.config))
    incident_id = await opened(atelier_admin, "Slow <b>films", "--generator", "scribe", *config)
    await atelier_admin.done("incident", "note", incident_id, "A card & a half are on their way.")
    await opened(atelier_admin, "Mails are late")
    now, past = await page(api)
    scribe = api.clients.catalog["scribe"].title
    assert f"<h3>Slow &lt;b&gt;films ({scribe})</h3>" in now and "<h3>Mails are late</h3>" in now
    assert "UTC</time>: A card &amp; a half are on their way.</li>" in now
    assert f"{datetime.now(UTC):%Y-%m-%d}" in now and "films" not in past

    await atelier_admin.done("incident", "close", incident_id)
    now, past = await page(api)
    assert "films" not in now and "films" in past and "a half are on their way" in past
    assert "</time> to <time" in past
    async with api.sessions.begin() as session:
        long_ago = datetime.now(UTC) - timedelta(days=10, minutes=1)
        await session.execute(
            update(Incident).where(Incident.id == incident_id).values(closed_at=long_ago)
        )
    now, past = await page(api)
    assert "films" not in now + past
    assert len(await atelier_admin.rows("incident", "list")) == 2


async def test_each_word_to_users_is_audited(api: World, atelier_admin: Admin) -> None:
    incident_id = await opened(atelier_admin, "Mails are late")
    await atelier_admin.done("incident", "note", incident_id, "They come.")
    await atelier_admin.done("incident", "close", incident_id)
    async with api.sessions() as session:
        rows = (await session.scalars(select(AuditLog).order_by(AuditLog.id))).all()
    assert [(row.actor, row.action, row.subject, row.detail) for row in rows] == [
        ("atelier-admin", "incident.opened", incident_id,
         {"title": "Mails are late", "generator": None}),
        ("atelier-admin", "incident.noted", incident_id, {"text": "They come."}),
        ("atelier-admin", "incident.closed", incident_id, {}),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (("note", "inc_1", "words"), 1),
        (("close", "inc_1"), 1),
        (("open", "Mails are late", "--generator", "painter"), 1),
        (("open", "  "), 2),
    ],
)
async def test_what_cannot_be_told_is_refused(
    api: World, atelier_admin: Admin, arguments: tuple[str, ...], status: int
) -> None:
    said = await atelier_admin("incident", *arguments)
    assert said.status == status and said.err
    assert await atelier_admin.rows("incident", "list") == []


async def test_an_incident_is_closed_once(api: World, atelier_admin: Admin) -> None:
    incident_id = await opened(atelier_admin, "Mails are late")
    await atelier_admin.done("incident", "close", incident_id)
    (first,) = await atelier_admin.rows("incident", "list")
    assert (await atelier_admin("incident", "close", incident_id)).status == 1
    assert await atelier_admin.rows("incident", "list") == [first]
