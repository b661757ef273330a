"""``atelier-admin drain start --wait``: what it waits for, and what not."""

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest

from atelier_admin.commands import drain
from atelier_admin.main import main

# No test waits that long: one that does has found a fault.
LONG = "86400"


def row(name: str = "image", **more: Any) -> dict[str, Any]:
    empty = {"waiting": 0, "deferred": 0, "active": 0, "oldest_waits": None, "paused": False}
    return {"generator": name, **empty, **more}


WAITING = {"waiting": 2, "oldest_waits": timedelta(seconds=9)}
Script = list[list[dict[str, Any]]]


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> Iterator[Script]:
    """What the queues look like at each look; all looks have to be used."""
    script: Script = []

    @asynccontextmanager
    async def service(arguments: Any) -> AsyncIterator[None]:
        yield

    async def ordered(*given: Any) -> None:
        pass

    async def look(*given: Any) -> list[dict[str, Any]]:
        return script.pop(0)

    monkeypatch.setattr(drain, "open_service", service)
    monkeypatch.setattr(drain, "order_queues", ordered)
    monkeypatch.setattr(drain, "queue_rows", look)
    monkeypatch.setattr(drain, "POLL_S", 0.0)
    yield script
    assert script == []


def start(*more: str, generator: str = "image") -> int:
    return main(["drain", "start", generator, "--wait", LONG, "--json", *more])


def test_it_waits_until_the_queue_is_empty(seen: Script) -> None:
    seen += [[row(**WAITING)], [row(active=1)], [row()]]
    assert start() == 0


def test_a_paused_queue_with_jobs_ends_the_wait_at_once(
    seen: Script, capsys: pytest.CaptureFixture[str]
) -> None:
    seen += [[row(**WAITING, deferred=1, active=1, paused=True)]]
    assert start() == 1
    said = capsys.readouterr()
    assert "image is paused" in said.err and "Waiting there: 3." in said.err
    assert "queues resume image" in said.err and "--leave-waiting" in said.err
    assert json.loads(said.out)["data"][0]["waiting"] == 2


def test_a_pause_while_it_waits_ends_the_wait(seen: Script) -> None:
    seen += [[row(**WAITING)], [row(**WAITING, paused=True)]]
    assert start() == 1


def test_a_paused_queue_finishes_what_it_runs(seen: Script) -> None:
    seen += [[row(active=1, paused=True)], [row(paused=True)]]
    assert start() == 0


def test_waiting_jobs_can_be_left(seen: Script, capsys: pytest.CaptureFixture[str]) -> None:
    busy = row(**WAITING, active=1, paused=True)
    seen += [[busy], [busy | {"active": None}], [busy | {"active": 0}]]
    assert start("--leave-waiting") == 0
    assert capsys.readouterr().err == ""


def test_queues_that_were_not_named_are_not_waited_for(seen: Script) -> None:
    seen += [[row(), row("speech", **WAITING, paused=True)]]
    assert start() == 0
    seen += [[row(), row("speech", **WAITING, paused=True)]]
    assert start(generator="all") == 1
