"""Which servers ``atelier-admin`` works on."""

import json
from pathlib import Path

import pytest

from atelier_admin.errors import BadConfiguration
from atelier_admin.servers import find_settings
from db.embedded.state import State

NAMES = (
    "postgres_password", "valkey_password", "s3_access_key", "s3_secret_key", "jwt_secret",
)  # fmt: skip


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder as ./scripts/run leaves it; the command is called in the folder above."""
    folder = tmp_path / ".atelier"
    folder.mkdir()
    state = State(folder)
    for name in NAMES:
        state.secret(name)
    for name in ("postgres_port", "valkey_port", "s3_port"):
        state.port(name)
    monkeypatch.chdir(tmp_path)
    return folder


def test_without_any_variable_they_are_those_of_the_run(run: Path) -> None:
    before = (run / "embedded.json").read_bytes()
    found = find_settings(None, {})
    assert set(found) == {
        "DATABASE_URL", "REDIS_URL", "S3_ENDPOINT", "S3_ACCESS_KEY", "S3_SECRET_KEY", "S3_BUCKET",
        "JWT_SECRET",
    }  # fmt: skip
    assert str(State(run).port("postgres_port")) in found["DATABASE_URL"]
    assert (run / "embedded.json").read_bytes() == before, "looking changes nothing"


def test_the_environment_wins_and_is_not_mixed_with_a_run(run: Path) -> None:
    assert find_settings(None, {"DATABASE_URL": "postgresql://elsewhere/atelier"}) == {}


def test_a_folder_that_is_named_fills_what_the_environment_lacks(run: Path) -> None:
    found = find_settings(run, {"DATABASE_URL": "postgresql://elsewhere/atelier"})
    assert "DATABASE_URL" not in found and found["REDIS_URL"]


def test_the_stand_in_for_stripe_is_known_while_the_run_is_up(run: Path) -> None:
    stripe = {"STRIPE_API_KEY": "sk_test_1", "STRIPE_API_BASE": "http://127.0.0.1:1"}
    (run / "dev.json").write_text(json.dumps({"stripe": stripe}))
    assert find_settings(None, {}).items() >= stripe.items()
    # A real key is never sent to the stand-in.
    assert "STRIPE_API_BASE" not in find_settings(None, {"STRIPE_API_KEY": "sk_live_1"})
    (run / "dev.json").write_text(json.dumps({"stripe": None}))
    assert "STRIPE_API_KEY" not in find_settings(None, {})


def test_a_run_that_has_not_started_its_servers_yet_is_left_alone(run: Path) -> None:
    (run / "embedded.json").write_text(json.dumps({"jwt_secret": "x"}))
    with pytest.raises(BadConfiguration, match="still being set up"):
        find_settings(None, {})
    assert json.loads((run / "embedded.json").read_text()) == {"jwt_secret": "x"}


def test_what_to_do_is_said_where_there_is_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("atelier_admin.servers.ROOT", tmp_path)
    with pytest.raises(BadConfiguration, match=r"set DATABASE_URL .*start \./scripts/run"):
        find_settings(None, {})
    with pytest.raises(BadConfiguration, match=r"no data folder of \./scripts/run"):
        find_settings(tmp_path, {})
