"""The examples of docs/admin.md are what the command takes and prints."""

import re
import shlex
from pathlib import Path

import pytest
from sqlalchemy import func

from atelier_admin.main import parser
from db.accounts import users
from db.jobs import dead_letters
from db.tables import TotpFactor
from tests.support.admin_command import Admin
from tests.support.http import Person, World
from tests.support.quick_passwords import hash_quickly

PAGE = (Path(__file__).parents[2] / "docs" / "admin.md").read_text()
BLOCK = re.compile(r"^```console\n(.*?)^```", re.MULTILINE | re.DOTALL)
PROMPT = "$ atelier-admin "
# These answer about this machine, Ray or Stripe, which the test has not: their arguments are read,
# their answers are those of other tests.
NOT_RUN = ("scale", "doctor", "models", "stripe setup", "stripe catch-up", "stripe replay")
OTHERS_FILES = ("backup", "wal", "restore", "drill")  # docs/backup.md has them


def examples() -> list[tuple[str, list[str]]]:
    """Each command of the page, with the lines that it prints there."""
    found: list[tuple[str, list[str]]] = []
    for block in BLOCK.findall(PAGE):
        for line in block.splitlines():
            if line.startswith(PROMPT):
                found.append((line.removeprefix(PROMPT), []))
            elif found:
                found[-1][1].append(line)
    return found


def test_every_subcommand_has_an_example() -> None:
    named = {shlex.split(command)[0] for command, _ in examples()}
    (whole,) = (one for one in parser()._actions if one.choices)
    assert named >= set(whole.choices or {}) - set(OTHERS_FILES)


@pytest.mark.parametrize("command", [command for command, _ in examples()])
def test_the_arguments_are_right(command: str) -> None:
    parser().parse_args(shlex.split(command))


async def test_they_print_what_the_page_says(
    api: World,
    ada: Person,
    atelier_admin: Admin,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Titles of tables and sentences are compared; ids, times and counts are not."""
    hash_quickly(monkeypatch)
    async with api.sessions.begin() as session:
        assert await users.change_email(session, ada.id, "ada@example.com")
        session.add(TotpFactor(user_id=ada.id, sealed_secret=b"x", confirmed_at=func.now()))
    jobs = []
    for text in ("one", "two"):
        body = {"generator": "scribe", "input": {"text": text}}
        jobs.append(str((await ada.post("/v1/jobs", json=body)).json()["id"]))
    lost = await api.end(jobs[0], "failed")
    async with api.sessions.begin() as session:
        await dead_letters.add(session, lost, "worker_lost")
    (letter,) = await atelier_admin.rows("dead-letters", "list")
    key = (await atelier_admin("keys", "create", "ada@example.com", "old", "--json")).json["id"]
    opened = await atelier_admin("incident", "open", "Films wait longer than usual", "--json")
    ours = {"USER": ada.id, "JOB1": jobs[0], "JOB2": jobs[1], "LETTER": letter["id"], "KEY": key}
    ours["INCIDENT"] = opened.json["id"]
    for command, printed in examples():
        if command.startswith(NOT_RUN):
            continue
        words = [_ours(word, ours) for word in shlex.split(command)]
        if (
            words[0] in ("queues", "drain", "dead-letters", "jobs")
            and words[1]
            not in (
                "list",
                "show",
            )
        ) or words[:2] == ["queues", "list"]:
            words += ["--config", str(atelier_admin.config)]
        said = await atelier_admin(*words)
        assert said.status == 0, (command, said)
        assert [_shape(line) for line in said.out.splitlines()][:1] == [
            _shape(line) for line in printed
        ][:1], command


def _ours(word: str, ours: dict[str, str]) -> str:
    """Put the ids of this test in the place of the page's."""
    if word.startswith("job_"):
        return ours["JOB1"] if word.endswith("A") else ours["JOB2"]
    if word.startswith("usr_"):
        return ours["USER"]
    if word.startswith("dead_"):
        return ours["LETTER"]
    if word.startswith("inc_"):
        return ours["INCIDENT"]
    if word.startswith("key_"):
        return ours["KEY"]
    return "scribe" if word in ("image", "video3d") else word


def _shape(line: str) -> str:
    """The line without ids, numbers and spaces, in which no two installations are alike."""
    line = re.sub(r"\b[a-z]+_[0-9A-Z]{26}\b|\b[0-9a-f]{64}\b", "ID", line)
    return re.sub(r"[\s\d,]+", " ", line)
