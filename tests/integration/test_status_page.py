"""The page that tells people which generators take jobs. Real stores."""

import re
from typing import Any

import pytest

from db.jobs import queue_states
from db.jobs.queue_states import QueueStatus
from db.session import make_sessions, open_engine
from tests.support.http import Person, World


@pytest.fixture
def api_generators() -> list[str]:
    return ["deployments.generators.image", "deployments.generators.video3d"]


async def rows(api: World) -> dict[str, list[str]]:
    """The cells behind each generator's title."""
    answer = await api.http.get("/status")
    assert answer.status_code == 200 and "<script" not in answer.text
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    found = re.findall(r"<tr>(<td>.*?)</tr>", answer.text)
    cells = [re.findall(r"<td>(.*?)</td>", row) for row in found]
    return {title: rest for title, *rest in cells}


async def test_it_says_what_waits_and_how_long_a_job_takes(api: World, ada: Person) -> None:
    title = api.clients.catalog["image"].title
    before = await rows(api)
    assert set(before) == {spec.title for spec in api.clients.catalog.values()}
    assert before[title][:2] == ["available", "0"]
    assert re.fullmatch(r"about \d+ (seconds|minutes|hours)", before[title][2])
    await ada.job()
    assert (await rows(api))[title][:2] == ["available", "1"]


async def test_it_says_what_operators_hold_back(api: World) -> None:
    async with api.sessions.begin() as session:
        await queue_states.save(session, "image", QueueStatus(paused=True))
        await queue_states.save(session, "video3d", QueueStatus(draining=True))
    found = await rows(api)
    image, video = (api.clients.catalog[name].title for name in ("image", "video3d"))
    assert found[image] == ["paused: jobs wait", "0", "not known"]
    assert found[video] == ["takes no new jobs", "0", "not known"]


async def test_it_answers_while_postgres_is_away(
    api: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = open_engine("postgresql+psycopg://nobody@127.0.0.1:1/none")
    clients: Any = api.clients
    # Clients are frozen on purpose; for one test their sessions lead nowhere.
    kept = clients.sessions
    object.__setattr__(clients, "sessions", make_sessions(engine))
    try:
        answer = await api.http.get("/status")
    finally:
        object.__setattr__(clients, "sessions", kept)
        await engine.dispose()
    assert answer.status_code == 200
    assert "Jobs cannot be accepted at the moment" in answer.text
