"""The command as a newcomer types it: the installed script, and no environment variable."""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from db.embedded.state import State
from db.embedded.supervisor import EmbeddedServers
from db.session import Sessions
from tests.support.jobs import new_user

ROOT = Path(__file__).parents[2]
SCRIPT = Path(sys.executable).parent / "atelier-admin"


@pytest.fixture
def folder(servers: EmbeddedServers, tmp_path: Path) -> Path:
    """The folder that somebody ran ./scripts/run in; its data are the servers of the tests."""
    data = servers.servers[0].process.log.parents[1]
    State(data).secret("jwt_secret")
    (tmp_path / ".atelier").symlink_to(data)
    return tmp_path


def typed(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [SCRIPT, *arguments],
        # Which code is run, and where its caches are: nothing of the service.
        env={"PATH": os.defpath, "PYTHONPATH": str(ROOT)},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
    )


async def test_it_finds_the_servers_of_the_run(folder: Path, sessions: Sessions) -> None:
    user_id = await new_user(sessions)
    listed = await asyncio.to_thread(typed, folder, "users", "list", "--json")
    assert (listed.returncode, listed.stderr) == (0, "")
    assert [row["id"] for row in json.loads(listed.stdout)["data"]] == [user_id]
    given = await asyncio.to_thread(
        typed, folder, "grants", "give", user_id, "5", "--reason", "welcome"
    )
    assert given.returncode == 0, given.stderr
    # With the clients of the HTTP API, and what is logged stays out of the answer.
    paused = await asyncio.to_thread(typed, folder, "queues", "pause", "image", "--json")
    assert paused.returncode == 0, paused.stderr
    states = {row["generator"]: row["paused"] for row in json.loads(paused.stdout)["data"]}
    assert states["image"] and not states["video3d"]
    books = await asyncio.to_thread(typed, folder, "reconcile")
    assert books.returncode == 0 and books.stdout.startswith("0 differences"), books


async def test_it_says_where_to_look_when_servers_are_down(tmp_path: Path) -> None:
    data = tmp_path / ".atelier"
    data.mkdir()
    state = State(data)
    for name in ("postgres_password", "valkey_password", "s3_access_key", "s3_secret_key"):
        state.secret(name)
    for name in ("postgres_port", "valkey_port", "s3_port"):
        state.port(name)
    state.secret("jwt_secret")
    said = await asyncio.to_thread(typed, tmp_path, "users", "list")
    assert (said.returncode, said.stdout) == (4, "")
    assert "atelier-admin doctor" in said.stderr
    assert state.secret("postgres_password") not in said.stderr
