"""The command ``atelier`` against the real service, over a real connection."""

import asyncio
import hashlib
import io
import json
import os
import signal
import stat
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from redis.asyncio import Redis

from atelier_client.command.main import main
from db.session import Sessions
from db.settings import StoreSettings
from db.tables import ApiKey, Job
from deployments.stores import Stores
from models.tiny.checker import read_shape
from tests.support.at_work import at_work
from tests.support.http import PASSWORD, Person, World, served
from tests.support.totp import Clock, enabled

GENERATORS = [
    *(f"deployments.generators.{name}" for name in ("image", "cloth_swap", "video3d")),
    "tests.support.scribe",
]
ROOT = Path(__file__).parents[2]
CIRCLE = "a big yellow circle on a blue background"
EXAMPLES = ROOT / "deployments" / "generators" / "cloth_swap" / "example"


@dataclass(frozen=True)
class Said:
    """What a command did."""

    status: int
    out: str
    err: str

    @property
    def answer(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.out)
        return found


Atelier = Callable[..., Awaitable[Said]]


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
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home, and a folder to work in."""
    for name in ("ATELIER_URL", "ATELIER_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
async def atelier(
    api: World, home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Atelier:
    """Runs the command in a thread; ``typed`` is its standard input."""

    async def run(*words: str, typed: str = "") -> Said:
        monkeypatch.setattr(sys, "stdin", io.StringIO(typed))
        capsys.readouterr()
        status = await asyncio.to_thread(main, words)
        said = capsys.readouterr()
        return Said(status, said.out, said.err)

    return run


@pytest.fixture
async def logged_in(api: World, ada: Person, monkeypatch: pytest.MonkeyPatch, home: Path) -> Person:
    """Somebody whose address and key are in the environment."""
    scopes = ["jobs:read", "jobs:write", "files", "billing"]
    made = await ada.post("/v1/api-keys", json={"name": "cli", "scopes": scopes})
    assert api.door is not None
    monkeypatch.setenv("ATELIER_URL", api.door.url)
    monkeypatch.setenv("ATELIER_API_KEY", made.json()["key"])
    return ada


async def test_a_login_asks_for_the_code_of_a_second_factor(
    atelier: Atelier, api: World, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada = await api.person()
    app = await enabled(ada, Clock(monkeypatch))
    assert api.door is not None
    login = ("login", api.door.url, "--email", ada.email)
    refused = await atelier(*login, typed=f"{PASSWORD}\n{app.wrong_code()}\n")
    assert refused.status == 1 and "Invalid code" in refused.err
    assert (await atelier(*login, typed=f"{PASSWORD}\n{app.code()}\n")).status == 0
    assert (await atelier("credits")).status == 0
    typed = f"{PASSWORD}\n{app.recovery_codes[0]}\n"
    assert (await atelier("logout", "--revoke", typed=typed)).status == 0


async def test_a_login_is_kept_where_its_owner_alone_can_read_it(
    atelier: Atelier, api: World, home: Path
) -> None:
    ada = await api.person()
    assert api.door is not None
    said = await atelier("login", api.door.url, "--email", ada.email, typed=f"{PASSWORD}\n")
    assert said.status == 0, said.err
    path = home / "config" / "atelier" / "config.toml"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert PASSWORD not in path.read_text()
    assert [one.name for one in path.parent.iterdir()] == ["config.toml"]
    said = await atelier("credits")
    assert (said.status, said.out) == (0, "1000\n")
    again = await atelier("login", api.door.url, "--email", ada.email, typed="wrong\n")
    assert again.status == 1
    assert (await atelier("credits")).status == 0, "the login before is still there"

    said = await atelier("logout", "--revoke", typed=f"{PASSWORD}\n")
    assert said.status == 0, said.err
    assert not path.exists()
    keys = (await ada.get("/v1/api-keys")).json()["data"]
    assert keys == []
    assert await api.count(ApiKey, ada.id) == 1
    assert (await atelier("credits")).status == 2


async def test_a_key_that_one_has_is_kept_too(
    atelier: Atelier, api: World, logged_in: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = os.environ["ATELIER_API_KEY"]
    monkeypatch.delenv("ATELIER_API_KEY")
    said = await atelier("login", os.environ["ATELIER_URL"], "--api-key", typed="atl_wrong\n")
    assert said.status == 1
    said = await atelier("login", os.environ["ATELIER_URL"], "--api-key", typed=f"{key}\n")
    assert said.status == 0
    assert (await atelier("jobs")).status == 0
    # For another address it is not used.
    monkeypatch.setenv("ATELIER_URL", os.environ["ATELIER_URL"].replace("127.0.0.1", "localhost"))
    assert (await atelier("jobs")).status == 1
    said = await atelier("logout")
    assert (said.status, "works until" in said.err) == (0, True)


async def test_a_picture_is_made(atelier: Atelier, logged_in: Person, home: Path) -> None:
    said = await atelier("image", CIRCLE, "-o", "circle.png", "seed=7")
    assert (said.status, said.out) == (0, "circle.png\n"), said.err
    assert "100% succeeded" in said.err
    seen = read_shape(np.asarray(Image.open(home / "circle.png").convert("RGB")))
    assert (seen["color"], seen["background"]) == ("yellow", "blue")

    said = await atelier("image", CIRCLE, "--json", "-o", "again.webp")
    assert said.status == 0, said.err
    assert said.answer["input"]["format"] == "webp"
    content = (home / "again.webp").read_bytes()
    assert hashlib.sha256(content).hexdigest() == said.answer["outputs"][0]["sha256"]
    assert Image.open(io.BytesIO(content)).format == "WEBP"


async def test_a_job_is_watched_with_the_lines_of_its_log(
    atelier: Atelier, logged_in: Person
) -> None:
    said = await atelier("run", "scribe", "text=x", "pages=6", "page_s=0.5", "--no-wait")
    said = await atelier("watch", said.out.strip(), "--logs")
    lines = [line.partition(" info ")[2].strip() for line in said.err.splitlines()]
    lines = [line for line in lines if line]
    assert lines[0] == "attempt 1 began"
    assert lines[-1] == "succeeded: 6 files, 18 credits charged"
    assert len(lines) == len(set(lines)), "each is printed once"


async def test_outputs_go_to_a_folder_or_are_told_of(
    atelier: Atelier, logged_in: Person, home: Path
) -> None:
    said = await atelier("image", CIRCLE, "n=2", "-o", "pictures/")
    assert said.out.splitlines() == ["pictures/image-0.png", "pictures/image-1.png"]
    said = await atelier("image", CIRCLE, "n=2", "-o", "one.png")
    assert (said.out, "1 more" in said.err) == ("one.png\n", True)
    said = await atelier("image", CIRCLE, "--no-wait")
    job = said.out.strip()
    said = await atelier("watch", job, "-o", "film.mp4")
    assert (said.status, "no output is a .mp4" in said.err) == (2, True)
    said = await atelier("watch", job, "-o", "later.png")
    assert said.out == "later.png\n"
    assert "began" not in said.err
    said = await atelier("image", CIRCLE)
    assert len(list((home / "out").glob("job_*/image-0.png"))) == 1


async def test_files_on_the_command_line_are_uploaded(
    atelier: Atelier, logged_in: Person, home: Path
) -> None:
    given = json.loads((EXAMPLES / "input.json").read_text())
    person = EXAMPLES / given["person_image"].removeprefix("@")
    garment = EXAMPLES / given["garments"][0]["image"].removeprefix("@")
    said = await atelier("swap", str(person), f"{garment}:upper", "-o", "worn.png", "--json")
    assert said.status == 0, said.err
    assert said.answer["input"]["garments"][0]["category"] == "upper"
    assert Image.open("worn.png").size == Image.open(person).size
    said = await atelier("edit", "worn.png", CIRCLE, "strength=0.9", "-o", "edited.png")
    assert said.status == 0, said.err
    said = await atelier(
        "video3d", "worn.png", "-o", "film.gif", "seconds=1", "fps=8", "width=64", "height=64"
    )
    assert said.status == 0, said.err
    assert Image.open("film.gif").format == "GIF"

    said = await atelier("files", "--upload", "worn.png")
    file = said.out.strip()
    assert file in (await atelier("files")).out
    assert (await atelier("files", "--download", file, "-o", "copy.png")).out == "copy.png\n"
    assert Path("copy.png").read_bytes() == Path("worn.png").read_bytes()
    assert (await atelier("files", "--delete", file)).status == 0
    assert (await atelier("files", "--download", file)).status == 1


async def test_an_input_is_a_file_or_comes_by_a_pipe(atelier: Atelier, logged_in: Person) -> None:
    Path("input.json").write_text(json.dumps({"text": "x", "pages": 2}))
    said = await atelier("quote", "scribe", "input.json")
    assert (said.status, said.out) == (0, "6\n")
    said = await atelier("quote", "scribe", "input.json", "pages=3", "--json")
    assert said.answer["breakdown"] == [{"item": "pages", "quantity": 3, "credits": 9}]
    said = await atelier("run", "scribe", "-", "--json", typed='{"text": "from a pipe"}')
    assert said.answer["input"]["text"] == "from a pipe"
    job = (await atelier("jobs", "--json")).answer["data"][0]
    assert job["id"] == said.answer["id"]
    assert (await atelier("jobs")).out.split("\t")[:3] == [job["id"], "scribe", "succeeded"]
    assert (await atelier("generators")).out.startswith("image\t0\t")


async def test_scripts_can_tell_what_went_wrong(
    atelier: Atelier, logged_in: Person, api: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = await atelier("run", "scribe", "text=x", "fault=bad_input")
    assert (said.status, said.out) == (3, "")
    assert "The text is in invisible ink." in said.err
    said = await atelier("image", "", "--json")
    assert (said.status, said.answer["code"]) == (1, "bad_input")
    assert "input.prompt" in said.err
    assert (await atelier("cancel", "job_01J0000000000000000000000A")).status == 1
    for words in (["run", "scribe", "none.json"], ["image", CIRCLE, "more"], ["edit", "none", "x"]):
        said = await atelier(*words)
        assert (said.status, said.out) == (2, ""), words
    with pytest.raises(SystemExit) as refused:
        await atelier("draw")
    assert refused.value.code == 2
    assert await api.count(Job, logged_in.id) == 1, "what was refused made no job"
    assert api.door is not None
    await api.door.shut()
    monkeypatch.setattr("atelier_client.retries.Retries.pause", lambda *_: None)
    assert (await atelier("jobs")).status == 4


@pytest.mark.parametrize("cancel", [False, True], ids=["goes on", "is canceled"])
async def test_ctrl_c_says_how_to_cancel_or_cancels(
    logged_in: Person, home: Path, cancel: bool
) -> None:
    words = ["run", "scribe", "text=x", "pages=200", "page_s=0.2"]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "atelier_client", *words,
        *(["--cancel-on-interrupt"] if cancel else []),
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stderr is not None
    async with asyncio.timeout(120):
        while b"writing" not in (line := await process.stderr.readline()):
            assert line, "it ended"
        process.send_signal(signal.SIGINT)
        _, rest = await process.communicate()
    assert process.returncode == 130, rest
    (job,) = (await logged_in.get("/v1/jobs")).json()["data"]
    if cancel:
        assert b"canceled" in rest
    else:
        assert f"`atelier cancel {job['id']}`" in rest.decode()
        assert job["status"] == "running"
        await logged_in.post(f"/v1/jobs/{job['id']}/cancel")
    ended = await logged_in.get(f"/v1/jobs/{job['id']}?wait=60")
    assert ended.json()["status"] == "canceled"
