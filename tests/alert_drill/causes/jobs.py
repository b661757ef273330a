"""Jobs fail, wait for too long, or are given up."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import psycopg

from scripts.dev.cluster import ROOT
from tests.alert_drill.causes.cause import Cause, again_and_again
from tests.alert_drill.stage import Stage, until

LONG_JOB = {"text": "a long one", "pages": 100, "page_s": 3.0}
LATE = 10
# Less than the smallest file of weights, and enough for what Ray itself maps.
ROOM_BYTES = 512 << 10
BALL = "deployments/generators/image/example/ball.png"


@contextmanager
def fail(stage: Stage) -> Iterator[None]:
    for number in range(3):
        stage.submit("scribe", {"text": f"fails {number}", "fault": "exception"})
    yield


@contextmanager
def start_late(stage: Stage) -> Iterator[None]:
    """Their queue was paused for two minutes, their rows say."""
    stage.order("scribe", "pause")
    jobs = [
        stage.submit("scribe", {"text": f"late {number}", "page_s": 4.0}, priority="high")
        for number in range(LATE)
    ]
    stage.sql(
        "UPDATE jobs SET created_at = created_at - interval '2 minutes' WHERE id = ANY(%s)", jobs
    )
    stage.order("scribe", "resume")
    yield
    for job in jobs:
        stage.finish(job)


@contextmanager
def wait_paused(stage: Stage, age: str) -> Iterator[str]:
    """A job of a paused queue, older than it is."""
    stage.order("laggard", "pause")
    job = stage.submit("laggard", LONG_JOB)
    stage.sql("UPDATE jobs SET created_at = now() - %s::interval WHERE id = %s", age, job)
    try:
        yield job
    finally:
        stage.cancel([job])
        stage.order("laggard", "resume")


@contextmanager
def pause_for_an_hour(stage: Stage) -> Iterator[None]:
    with wait_paused(stage, "61 minutes"):
        yield


@contextmanager
def hold_forever(stage: Stage) -> Iterator[None]:
    """Maintenance would end the job; a transaction that hangs keeps it from that."""
    with wait_paused(stage, "5 minutes") as job, psycopg.connect(stage.database_url) as hanging:
        stage.sql("UPDATE jobs SET created_at = now() - interval '5 days' WHERE id = %s", job)
        hanging.execute("SELECT 1 FROM jobs WHERE id = %s FOR UPDATE", [job])
        yield
        hanging.rollback()
        stage.finish(job)  # of itself: it has waited for too long


@contextmanager
def pile_up(stage: Stage) -> Iterator[None]:
    jobs = [stage.submit("laggard", LONG_JOB) for _ in range(8)]
    try:
        yield
    finally:
        stage.cancel(jobs)


@contextmanager
def kill_each_replica(stage: Stage) -> Iterator[None]:
    def kill() -> None:
        for replica in stage.replicas("laggard"):
            replica.kill()

    with again_and_again(kill, every_s=0.5):
        until(lambda: not stage.replicas("laggard"), "replicas do not end")
        job = stage.submit("laggard", LONG_JOB)
        yield
    stage.cancel([job])
    until(lambda: bool(stage.replicas("laggard")), "no replica was started")


@contextmanager
def crash(stage: Stage) -> Iterator[None]:
    job = stage.submit("scribe", {"text": "takes its replica along", "fault": "crash"})
    try:
        yield
    finally:
        stage.finish(job)
        for letter in stage.admin.get("/v1/admin/dead-letters").json()["data"]:
            stage.admin.post(f"/v1/admin/dead-letters/{letter['id']}/drop").raise_for_status()


@contextmanager
def grow_old_as_a_batch(stage: Stage) -> Iterator[None]:
    stage.order("laggard", "pause")
    lines = b'{"generator": "laggard", "input": {"text": "of a batch"}}\n' * 2
    answer = stage.customer.post("/v1/batches", files={"file": ("jobs.jsonl", lines)})
    answer.raise_for_status()
    batch = answer.json()["id"]
    stage.sql("UPDATE batches SET created_at = now() - interval '25 hours' WHERE id = %s", batch)
    try:
        stage.restart_maintenance()  # looks at batches at once, and not within a quarter of an hour
        yield
    finally:
        stage.customer.post(f"/v1/batches/{batch}/cancel").raise_for_status()
        ended = "SELECT 1 FROM batches WHERE id = %s AND finished_at IS NOT NULL"
        until(lambda: bool(stage.sql(ended, batch)), "the batch does not end")
        stage.order("laggard", "resume")
        stage.restart_maintenance()


@contextmanager
def run_out_of_memory(stage: Stage) -> Iterator[None]:
    """The process that holds the models may map no further memory, and is asked for what another
    model draws than the one that it has loaded.

    Again and again: something else may fail first for the lack, and end the process.
    """
    prompt = {"prompt": "a small red star on a white background", "steps": 4}
    stage.finish(stage.submit("image", prompt))
    ball = base64.b64encode((ROOT / BALL).read_bytes()).decode()
    beyond = {"init_image": {"data": f"data:image/png;base64,{ball}"}, "extend": {"left": 24}}
    limited: dict[int, tuple[psutil.Process, int]] = {}
    jobs: list[str] = []

    def limit_and_submit() -> None:
        for manager in stage.replicas("gpu_manager"):
            if manager.pid not in limited:
                _, most = manager.rlimit(psutil.RLIMIT_AS)
                limited[manager.pid] = manager, most
                manager.rlimit(psutil.RLIMIT_AS, (manager.memory_info().vms + ROOM_BYTES, most))
        jobs.append(stage.submit("image", prompt | beyond))

    try:
        with again_and_again(limit_and_submit, every_s=5.0):
            yield
    finally:
        for manager, most in limited.values():
            if manager.is_running():
                manager.rlimit(psutil.RLIMIT_AS, (most, most))
    for job in jobs:
        stage.finish(job)


CAUSES = (
    Cause("a generator fails", ("JobsFail",), fail),
    Cause(
        "a queue was paused for longer than its jobs may wait",
        ("WaitBudgetBurnsFast", "WaitBudgetBurnsSlow"),
        start_late,
        within_s=240,
    ),
    Cause("a paused queue has a job of an hour ago", ("OldestJob",), pause_for_an_hour),
    Cause("a transaction that hangs keeps a job from its end", ("StuckHolds",), hold_forever),
    Cause("more long jobs than a replica makes", ("QueueBacklog",), pile_up),
    Cause("a batch of yesterday waits in a paused queue", ("BatchLate",), grow_old_as_a_batch),
    Cause(
        "the process with the models gets no more memory", ("GpuOutOfMemory",), run_out_of_memory
    ),
    Cause("a job ends its replica, twice", ("DeadLetters",), crash, within_s=300),
    Cause("each replica is killed while a job waits", ("NoReplica",), kill_each_replica),
)
