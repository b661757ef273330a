"""The TypeScript client as its users get it, run by Node against the real service."""

import asyncio
import json
import os
import re
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from redis.asyncio import Redis

from db.session import Sessions
from db.settings import StoreSettings
from db.tables import Job
from deployments.stores import Stores
from models.tiny.checker import read_shape
from tests.support.at_work import at_work
from tests.support.http import Person, World, served

NODE = shutil.which("node")
pytestmark = pytest.mark.skipif(NODE is None, reason="the client runs in Node, and there is none")

GENERATORS = ["deployments.generators.image", "tests.support.scribe"]
ROOT = Path(__file__).parents[2]
WORK = ROOT / "tests" / "support" / "typescript" / "work.mjs"

Program = Callable[..., Awaitable[str]]


@pytest.fixture
async def api(
    store_settings: StoreSettings, sessions: Sessions, redis: Redis, stores: Stores, tmp_path: Path
) -> AsyncIterator[World]:
    work = tmp_path / "work"
    work.mkdir()
    async with (
        served(store_settings, GENERATORS, WELCOME_CREDITS=1000) as started,
        at_work(stores, GENERATORS, work),
    ):
        yield started


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A project that has the package installed."""
    folder = tmp_path / "project"
    (folder / "node_modules").mkdir(parents=True)
    (folder / "node_modules" / "atelier-client").symlink_to(ROOT / "clients" / "typescript")
    shutil.copy(WORK, folder)
    return folder


@pytest.fixture
async def run(api: World, ada: Person, folder: Path) -> Program:
    """Runs a module in the project, and returns what it printed."""
    scopes = ["jobs:read", "jobs:write", "files"]
    made = await ada.post("/v1/api-keys", json={"name": "node", "scopes": scopes})
    assert api.door is not None and NODE is not None
    known = {**os.environ, "URL": api.door.url, "KEY": made.json()["key"]}

    async def run(*words: str) -> str:
        process = await asyncio.create_subprocess_exec(
            NODE, *words, cwd=folder, env=known,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        out, err = await process.communicate()
        assert process.returncode == 0, err.decode()
        return out.decode()

    return run


async def test_the_program_of_the_page_works_as_printed(run: Program, folder: Path) -> None:
    page = (ROOT / "docs" / "client.md").read_text()
    (block,) = re.findall(r"```js\n(.*?)```", page, re.DOTALL)
    (folder / "page.mjs").write_text(block)
    *events, saved, refused = (await run("page.mjs")).splitlines()
    assert saved == "image-0.png 2 credits"
    assert refused == "422 bad_input input.prompt"
    # None, if the job was over before its events were asked for.
    assert [event for event in events if not re.fullmatch(r"\d+ % \w+", event)] == []
    seen = read_shape(np.asarray(Image.open(folder / "image-0.png").convert("RGB")))
    assert (seen["color"], seen["background"]) == ("yellow", "blue")


async def part(run: Program, name: str) -> Any:
    return json.loads(await run("work.mjs", name))


async def test_what_goes_wrong_is_an_error_of_its_class(run: Program) -> None:
    seen = await part(run, "errors")
    *bad, message = seen["bad"]
    assert bad == [True, "ApiError", 422, "bad_input", ["input", "prompt"]]
    assert "input.prompt: " in message
    assert seen["requestId"] == "string"
    assert seen["unknown"][0] == 401
    ours, code, words = seen["failed"]
    assert (ours, code) == (True, "text_unreadable") and "invisible ink" in words
    assert seen["late"] == seen["corrupted"] == [True, True]
    assert (seen["nobody"], seen["aborted"], seen["canceled"]) == (True, "enough", "canceled")


async def test_a_job_whose_answers_were_lost_is_made_once(
    run: Program, api: World, ada: Person
) -> None:
    assert await part(run, "lost") == {
        "keys": [5, 1, "mine"],
        "listed": [True],
        "metadata": {"for": "ada"},
        "same": True,
    }
    assert await api.count(Job, ada.id) == 2


async def test_events_go_on_where_the_connection_broke(run: Program) -> None:
    seen = await part(run, "events")
    first, second, *_ = seen["asked"]
    assert first is None and re.fullmatch(r"\d+-\d+", second)
    assert seen["ended"] == [True, "succeeded"]
    assert (seen["types"], seen["done"]) == (["done", "progress", "status"], 1)


async def test_a_picture_is_uploaded_and_downloaded(run: Program) -> None:
    assert await part(run, "files") == {
        "same": [True, True],
        "file": ["circle.png", "input"],
        "named": True,
        "made": ["succeeded", "attempt 1 began", "info"],
    }


async def test_a_request_has_a_time_limit_and_ends_with_its_signal(run: Program) -> None:
    assert await part(run, "limits") == {
        "silent": [True, True],
        "words": "GET /v1/jobs/silent: no answer within 200 ms",
        "sent": 2,
        "half": True,
        "own": "GET /v1/jobs/silent: no answer within 100 ms",
        "waited": {},
        "longer": {},
        "stopped": ["TimeoutError"] * 8,
    }


async def test_a_batch_is_made_once_waited_for_and_read(
    run: Program, api: World, ada: Person
) -> None:
    assert await part(run, "batch") == {
        "made": [[1, "a", "succeeded"], [2, "b", "failed"], [3, "c", "succeeded"]],
        "cuts": ["0", "1"],
        "same": [True, False, 3],
        "bad": [422, ["line", 1, "input", "text"]],
        "late": [True, True],
    }
    assert await api.count(Job, ada.id) == 3 + 3 + 1
