"""Batches by our own client and by ``atelier batch``, against the real service and generators."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from redis.asyncio import Redis

from atelier_client import AsyncClient, BadInput
from db.session import Sessions
from db.settings import StoreSettings
from db.tables import Batch, Job
from deployments.stores import Stores
from models.tiny.checker import read_shape
from tests.support.at_work import at_work
from tests.support.http import Person, World, served
from tests.support.waiting import until

GENERATORS = ["deployments.generators.image", "tests.support.scribe"]
ROOT = Path(__file__).parents[2]
CIRCLE = {"prompt": "a big yellow circle on a blue background", "seed": 7}
UNREADABLE = {"text": "x", "fault": "bad_input"}
SLOW = {"text": "x", "pages": 16, "page_s": 0.5}


def line(generator: str, job_input: dict[str, Any]) -> dict[str, Any]:
    return {"generator": generator, "input": job_input}


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
async def key(ada: Person) -> str:
    made = await ada.post("/v1/api-keys", json={"name": "batches"})
    return str(made.json()["key"])


@pytest.fixture
async def client(api: World, key: str) -> AsyncIterator[AsyncClient]:
    assert api.door is not None
    async with AsyncClient(api.door.url, key) as client:
        yield client


def shape(path: Path) -> tuple[str, str]:
    seen = read_shape(np.asarray(Image.open(path).convert("RGB")))
    return seen["color"], seen["background"]


async def test_a_batch_is_made_read_and_saved(
    client: AsyncClient, api: World, ada: Person, tmp_path: Path
) -> None:
    rows = [line("image", CIRCLE), line("scribe", UNREADABLE), line("image", CIRCLE)]
    batch = await client.batches.create(rows)
    again = await client.batches.create(rows)
    assert (again.id, batch.priority, batch.counts.total) == (batch.id, "low", 3)
    batch = await client.batches.wait(batch.id)
    assert (batch.status, batch.counts.succeeded, batch.counts.failed) == ("completed", 2, 1)
    results = [result async for result in client.batches.results(batch.id)]
    assert [(one.line, one.job.status) for one in results] == [
        (1, "succeeded"), (2, "failed"), (3, "succeeded"),
    ]  # fmt: skip
    assert [one.line async for one in client.batches.results(batch.id, after=2)] == [3]
    (picture,) = await client.jobs.save(results[0].job, tmp_path / "1")
    assert shape(picture) == ("yellow", "blue")
    assert [one.id for one in (await client.batches.list()).data] == [batch.id]
    listed = await client.jobs.list(batch=batch.id, status="failed")
    assert [job.id for job in listed.data] == [results[1].job.id]
    assert await api.assert_adds_up(ada.id) == (1000 - batch.cost.charged, 0)


async def test_a_batch_with_a_bad_line_is_refused(client: AsyncClient, api: World) -> None:
    with pytest.raises(BadInput) as refused:
        await client.batches.create([line("image", CIRCLE), line("image", {"prompt": ""})])
    assert refused.value.errors[0]["loc"] == ["line", 2, "input", "prompt"]
    assert (await client.batches.list()).data == []


@dataclass(frozen=True)
class Shell:
    """A folder in which ``atelier batch`` is run, as a process of its own."""

    folder: Path
    environment: dict[str, str]

    def write(self, *lines: dict[str, Any], name: str = "jobs.jsonl") -> None:
        text = "".join(f"{json.dumps(one)}\n" for one in lines)
        (self.folder / name).write_text(text)

    @asynccontextmanager
    async def started(self, *words: str) -> AsyncIterator[asyncio.subprocess.Process]:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "atelier_client", *words,
            cwd=self.folder, env={**os.environ, **self.environment},
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        try:
            yield process
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()

    async def run(self, *words: str) -> tuple[int | None, str, str]:
        async with self.started(*words) as process:
            out, err = await process.communicate()
            return process.returncode, out.decode(), err.decode()

    def saved(self) -> list[str]:
        outputs = (path.relative_to(self.folder) for path in self.folder.glob("made/*/*"))
        return sorted(map(str, outputs))

    def results(self) -> list[int]:
        path = self.folder / "made" / "results.jsonl"
        content = path.read_text() if path.exists() else ""
        whole = content[: content.rfind("\n") + 1]  # the command may be writing
        return [json.loads(one)["line"] for one in whole.splitlines()]


@pytest.fixture
def shell(api: World, key: str, tmp_path: Path) -> Shell:
    assert api.door is not None
    folder = tmp_path / "here"
    folder.mkdir()
    environment = {
        "ATELIER_URL": api.door.url, "ATELIER_API_KEY": key, "PYTHONPATH": str(ROOT),
        "XDG_CONFIG_HOME": str(tmp_path / "config"),
    }  # fmt: skip
    return Shell(folder, environment)


async def test_a_command_that_is_killed_in_the_middle_goes_on(
    shell: Shell, api: World, ada: Person
) -> None:
    shell.write(line("image", CIRCLE), *[line("scribe", SLOW)] * 2, line("scribe", {"text": "x"}))
    command = ("batch", "jobs.jsonl", "-o", "made")
    async with shell.started(*command) as process:

        async def has_saved_some() -> bool:
            assert process.returncode is None, "it ended"
            return bool(shell.results())

        await until(has_saved_some)
        process.kill()
        await process.wait()
    assert len(shell.results()) < 4
    # What a kill leaves at the worst: a line that is cut off, and a submit that was not noted.
    with (shell.folder / "made" / "results.jsonl").open("a") as file:
        file.write('{"line": 2, "job": {"id"')
    noted = shell.folder / "made" / "batch.json"
    noted.write_text(json.dumps({**json.loads(noted.read_text()), "batch_id": ""}))

    status, out, err = await shell.run(*command)
    assert (status, out) == (0, "made/\n"), err
    assert "100% 4 of 4" in err
    assert sorted(shell.results()) == [1, 2, 3, 4], "each once"
    pages = [f"made/{number}/page-{page}.txt" for number in (2, 3) for page in range(16)]
    assert shell.saved() == sorted(["made/1/image-0.png", "made/4/page-0.txt", *pages])
    assert shape(shell.folder / "made" / "1" / "image-0.png") == ("yellow", "blue")

    assert (await shell.run(*command))[:2] == (0, "made/\n"), "a third run finds all done"
    assert (await api.count(Batch, ada.id), await api.count(Job, ada.id)) == (1, 4)


async def test_lines_that_fail_are_named_and_the_others_saved(
    shell: Shell, api: World, ada: Person
) -> None:
    shell.write(line("scribe", {"text": "x"}), line("scribe", UNREADABLE))
    for _ in range(2):
        status, out, err = await shell.run("batch", "jobs.jsonl", "-o", "made")
        assert (status, out) == (3, "made/\n"), err
        assert "line 2: job_" in err and "The text is in invisible ink." in err
    assert shell.saved() == ["made/1/page-0.txt"]
    status, out, _ = await shell.run("batch", "jobs.jsonl", "--json", "-o", "more", "--again")
    assert (status, json.loads(out)["counts"]["failed"]) == (3, 1)
    assert await api.count(Batch, ada.id) == 2, "once more, since it was asked for"


async def test_a_file_with_bad_lines_is_refused_as_a_whole(shell: Shell) -> None:
    good = line("image", CIRCLE)
    shell.write(good, line("image", {"prompt": ""}), {**good, "priority": "high"})
    status, out, err = await shell.run("batch", "jobs.jsonl", "-o", "made")
    assert (status, out) == (1, "")
    assert "line 2, input.prompt: " in err and "line 3, priority: " in err
    assert "nothing was submitted" in err
    shell.write(good, name="good.jsonl")
    status, out, err = await shell.run("batch", "good.jsonl", "-o", "made", "--priority", "normal")
    assert status == 0, err
    assert shape(shell.folder / "made" / "1" / "image-0.png") == ("yellow", "blue")
    status, _, err = await shell.run("batch", "jobs.jsonl", "-o", "made")
    assert (status, "another file" in err) == (2, True)
    assert (await shell.run("batch", "none.jsonl"))[0] == 2


async def test_a_batch_is_canceled(shell: Shell, client: AsyncClient) -> None:
    batch = await client.batches.create([line("scribe", {**SLOW, "pages": 100})])
    status, out, err = await shell.run("cancel", batch.id)
    assert (status, out) == (0, "asked to stop\n"), err
    assert (await client.batches.get(batch.id)).status == "canceling"
    for job in (await client.jobs.list(batch=batch.id)).data:  # maintenance does it elsewhere
        await client.jobs.cancel(job.id)
