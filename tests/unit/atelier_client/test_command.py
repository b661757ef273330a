"""What the commands send, which service they speak to, and what they show; without a service."""

import io
import json
import stat
import sys
import tomllib
from collections.abc import Callable
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import httpx
import pytest
from rich.console import Console

from atelier_client.client import Client
from atelier_client.command import main as command
from atelier_client.command.screen import Screen
from atelier_client.command.settings import (
    BadConfiguration,
    Login,
    Service,
    config_path,
    find_service,
    read_login,
    write_login,
)

JOB = {
    "id": "job_1", "object": "job", "generator": "image", "status": "queued", "progress": 0,
    "stage": "", "queue_position": None, "input": {}, "seed": 1, "attempt": 0, "outputs": [],
    "error": None, "priority": "normal", "webhook_url": None, "metadata": {},
    "cost": {"estimated": 1, "charged": None, "breakdown": [], "price_version": "1"},
    "created_at": "2026-01-01T00:00:00Z", "started_at": None, "finished_at": None,
}  # fmt: skip
FILE = {
    "id": "", "purpose": "input", "name": "x", "content_type": "image/png", "bytes": 1,
    "sha256": "", "job_id": None, "url": "http://x", "expires_at": "2026-01-01T00:00:00Z",
    "created_at": "2026-01-01T00:00:00Z",
}  # fmt: skip


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("ATELIER_URL", "ATELIER_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.chdir(tmp_path)
    for name in ("ada.png", "shirt.png", "skirt.png", "leaf.png"):
        (tmp_path / name).touch()
    return tmp_path


class Taker:
    """Takes jobs and files; a file's id is its name."""

    def __init__(self) -> None:
        self.bodies: list[Any] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.url.path == "/v1/files":
            name = request.content.partition(b'filename="')[2].partition(b'"')[0].decode()
            return httpx.Response(201, json={**FILE, "id": name})
        self.bodies.append(json.loads(request.content))
        return httpx.Response(202, json=JOB)


@pytest.fixture
def submit(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[str, Any]]:
    """The generator and the input of the job that a command submits."""
    service = Taker()

    def connect(url: str, api_key: str) -> Client:
        return Client(url, api_key, transport=httpx.MockTransport(service))

    monkeypatch.setattr(command, "Client", connect)
    monkeypatch.setenv("ATELIER_URL", "http://service")

    def run(*words: str, typed: str = "") -> tuple[str, Any]:
        monkeypatch.setattr(sys, "stdin", io.StringIO(typed))
        assert command.main([*words, "--no-wait"]) == 0
        assert capsys.readouterr().out == "job_1\n"
        return service.bodies[-1]["generator"], service.bodies[-1]["input"]

    return run


Submit = Callable[..., tuple[str, Any]]


def test_pictures(submit: Submit) -> None:
    assert submit("image", "a star", "n=2") == ("image", {"prompt": "a star", "n": 2})
    assert submit("image", "a star", "-o", "a.jpg", "n=2") == (
        "image", {"prompt": "a star", "n": 2, "format": "jpeg"},
    )  # fmt: skip
    assert submit("image", "a star", "format=png", "-o", "a.jpg")[1]["format"] == "png"
    assert submit("edit", "ada.png", "in the rain", "mask=@leaf.png") == (
        "image",
        {
            "prompt": "in the rain",
            "init_image": {"file_id": "ada.png"},
            "mask": {"file_id": "leaf.png"},
        },
    )


def test_people(submit: Submit) -> None:
    assert submit("swap", "ada.png", "shirt.png", "skirt.png:lower", "seed=1") == (
        "cloth_swap",
        {
            "person_image": {"file_id": "ada.png"},
            "garments": [
                {"image": {"file_id": "shirt.png"}},
                {"image": {"file_id": "skirt.png"}, "category": "lower"},
            ],
            "seed": 1,
        },
    )
    scenes = [{"scene": "beach"}, {"scene": "city"}]
    assert submit("influencer", "per_1", "beach", "city", "style=film") == (
        "influencer", {"person": {"persona_id": "per_1"}, "images": scenes, "style": "film"},
    )  # fmt: skip
    assert submit("influencer", "ada.png", "beach", "--consent")[1]["person"] == {
        "reference_images": [{"file_id": "ada.png"}], "consent": True,
    }  # fmt: skip
    assert command.main(["influencer", "ada.png", "beach"]) == 2
    Path("all.json").write_text('{"images": [], "person": {"reference_images": ["@ada.png"]}}')
    assert submit("influencer", "all.json", "seed=3")[1] == {
        "images": [], "person": {"reference_images": [{"file_id": "ada.png"}]}, "seed": 3,
    }  # fmt: skip


def test_films(submit: Submit) -> None:
    assert submit("video3d", "leaf.png", "-o", "a.webm") == (
        "video3d",
        {"mode": "parallax", "image": {"file_id": "leaf.png"}, "format": "webm"},
    )
    Path("tale.md").write_text("@once = upon a time")
    assert submit("story", "tale.md", "fps=8") == (
        "story_video", {"story": "@once = upon a time", "fps": 8},
    )  # fmt: skip
    assert submit("story", "-", typed="Mira walked.")[1] == {"story": "Mira walked."}
    folder = Path("lessons")
    folder.mkdir()
    Path("leaf.png").rename(folder / "leaf.png")
    markdown = "# Leaf\n\n![a leaf](leaf.png) ![none](none.png) ![far](https://example.com/x.png)"
    (folder / "leaf.md").write_text(markdown)
    assert submit("lesson", "lessons/leaf.md") == (
        "study_animation",
        {
            "markdown": markdown,
            "pictures": [{"name": "leaf.png", "image": {"file_id": "leaf.png"}}],
        },
    )


def test_the_service_is_found_in_order(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / ".atelier").mkdir()
    local = {"base_url": "http://local", "api_key": "atl_local"}
    (home / ".atelier" / "dev.json").write_text(json.dumps(local))
    (home / "other.json").write_text(json.dumps({"base_url": "http://o", "api_key": "atl_o"}))
    assert find_service() == Service("http://local", "atl_local")
    path = write_login(Login("http://kept", "atl_kept"))
    assert find_service() == Service("http://kept", "atl_kept")
    assert find_service(None, home / "other.json") == Service("http://o", "atl_o")
    assert find_service("http://local/") == Service("http://local", "atl_local")
    assert find_service("http://elsewhere") == Service("http://elsewhere", None)
    monkeypatch.setenv("ATELIER_API_KEY", "atl_env")
    assert find_service() == Service("http://kept", "atl_env")
    monkeypatch.setenv("ATELIER_URL", "http://env/")
    assert find_service() == Service("http://env", "atl_env")
    path.write_text("no login")
    monkeypatch.delenv("ATELIER_URL")
    with pytest.raises(BadConfiguration, match="logout"):
        find_service()


def test_a_login_is_read_as_it_was_written() -> None:
    login = Login("http://kept", 'a "key"\n\\ü', "key_1", "a@example.com", "token")
    write_login(Login("http://older", "atl_older"))
    config_path().chmod(0o644)
    path = write_login(login)
    assert read_login() == login
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_without_a_service_the_status_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["jobs"]) == 2
    assert "atelier login" in capsys.readouterr().err


def test_a_terminal_gets_a_bar_and_a_table() -> None:
    screen = Screen()
    screen.out = screen.err = Console(file=io.StringIO(), force_terminal=True, width=80)
    with screen.progress() as reporter:
        reporter.show("queued, 3 before it", 0.0)
        reporter.show("drawing [red]", 0.5)
    screen.table(("name",), [("[bold]:smile:",)])
    file = screen.out.file
    assert isinstance(file, io.StringIO)
    shown = file.getvalue()
    assert "drawing [red]" in shown and "50%" in shown
    assert "[bold]:smile:" in shown


def test_elsewhere_lines_are_shown_once(capsys: pytest.CaptureFixture[str]) -> None:
    screen = Screen()
    with screen.progress() as reporter:
        for fraction in (0.5, 0.51, 0.52, 0.61):
            reporter.show("drawing", fraction)
    assert capsys.readouterr().err == " 50% drawing\n 61% drawing\n"


def test_the_installed_command_is_this_one() -> None:
    project = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text())["project"]
    place = project["scripts"]["atelier"]
    assert EntryPoint("atelier", place, "console_scripts").load() is command.main
