"""The application on Ray Serve: a picture through all of it, a killed replica, a redeploy."""

import io
import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image

from models.tiny.checker import read_shape
from tests.support.application import (
    HANG_S,
    Application,
    metadata,
    pids,
    replica_pid,
    replica_pids,
    submit,
    wait,
)
from tests.support.rays import Rays
from tests.support.receiver import receiver, verifies
from tests.support.waiting import eventually

pytestmark = pytest.mark.timeout(1800)


@pytest.fixture(scope="module")
def application(rays: Rays, shared: dict[str, str]) -> Application:
    started = rays.get(shared)
    started.redeploy()
    return started


def test_a_prompt_becomes_the_picture_it_describes(ada: httpx.Client) -> None:
    quote = {"input": {"prompt": "a big yellow circle on a blue background", "seed": 7}}
    credits = ada.post("/v1/generators/image/quote", json=quote).json()["credits"]
    before = ada.get("/v1/credits").json()["balance"]
    job = wait(ada, submit(ada, "image", **quote["input"]))
    assert (job["status"], job["attempt"], job["cost"]["charged"]) == ("succeeded", 1, credits)
    after = ada.get("/v1/credits").json()
    assert (after["balance"], after["held"]) == (before - credits, 0)

    (output,) = job["outputs"]
    answer = httpx.get(output["url"], timeout=120)
    assert answer.headers["content-type"] == "image/png"
    picture = Image.open(io.BytesIO(answer.content))
    assert picture.size == (output["width"], output["height"])
    assert picture.info["Prompt"] == quote["input"]["prompt"]
    assert picture.info["Seed"] == "7"
    assert "trainedAlgorithmicMedia" in picture.info["XML:com.adobe.xmp"]
    seen = read_shape(np.asarray(picture.convert("RGB")))
    assert (seen["color"], seen["background"]) == ("yellow", "blue")

    noted = metadata(ada, job["id"])
    assert [stage["name"] for stage in noted["stages"]][-2:] == ["uploading", "settling"]
    assert noted["notes"]["model"] == picture.info["Model"]


def test_a_job_tells_a_webhook_of_its_start_and_its_end(ada: httpx.Client) -> None:
    with receiver() as hooks:
        assert ada.post("/v1/webhooks/test", json={"url": hooks.url}).json()["delivered"]
        body = {"generator": "scribe", "input": {"text": "told"}, "webhook_url": hooks.url}
        job_id = ada.post("/v1/jobs", json=body).json()["id"]
        got = hooks.wait(3)
        secret = ada.get("/v1/webhooks/secret").json()["secret"]
    assert all(verifies(one, secret) for one in got)
    assert sorted(hooks.types()) == ["job.started", "job.succeeded", "webhook.test"]
    (ended,) = (one.event["data"] for one in got if one.event["type"] == "job.succeeded")
    assert ended["id"] == job_id
    assert httpx.get(ended["outputs"][0]["url"], timeout=120).text.startswith("told")


def test_the_job_after_a_killed_replica_is_done_by_its_successor(ada: httpx.Client) -> None:
    killed = replica_pid("image")
    os.kill(killed, signal.SIGKILL)
    job = wait(ada, submit(ada, "image", prompt="a small red square on a white background"))
    assert (job["status"], job["attempt"]) == ("succeeded", 1)
    assert replica_pid("image") != killed


def test_a_job_whose_replica_was_killed_is_done_by_the_next_attempt(
    ada: httpx.Client, go: Path
) -> None:
    job_id = submit(ada, "scribe", text="again", pages=3, after=str(go))
    wait(ada, job_id, "running")
    os.kill(replica_pid("scribe"), signal.SIGKILL)
    go.touch()
    job = wait(ada, job_id)
    assert (job["status"], job["attempt"]) == ("succeeded", 2)
    assert job["cost"]["charged"] == job["cost"]["estimated"]
    kinds = [row["kind"] for row in ada.get("/v1/credits/transactions").json()["data"]]
    assert kinds.count("capture") == 1


def test_a_generator_loads_no_torch(ada: httpx.Client) -> None:
    job = wait(ada, submit(ada, "image", prompt="a big red circle on a white background"))
    assert job["status"] == "succeeded"
    assert "libtorch" not in Path(f"/proc/{replica_pid('image')}/maps").read_text()
    assert "libtorch" in Path(f"/proc/{replica_pid('gpu_manager')}/maps").read_text()


def test_a_killed_gpu_manager_costs_its_jobs_one_attempt(
    application: Application, ada: httpx.Client
) -> None:
    prompt = {"prompt": "a big green circle on a blue background", "steps": 100, "n": 4}
    job_ids = [submit(ada, "image", **prompt) for _ in range(3)]
    for job_id in job_ids:
        drawing_since = time.monotonic()
        while (job := wait(ada, job_id, "running"))["stage"] != "drawing":
            assert time.monotonic() < drawing_since + 240, job
    os.kill(replica_pid("gpu_manager"), signal.SIGKILL)
    for job_id in job_ids:
        job = wait(ada, job_id)
        assert (job["status"], job["attempt"]) == ("succeeded", 2)
        assert job["cost"]["charged"] == job["cost"]["estimated"]
        assert (application.row(job_id)["losses"], application.row(job_id)["crashes"]) == (1, 1)
    kinds = [row["kind"] for row in ada.get("/v1/credits/transactions").json()["data"]]
    assert kinds.count("capture") == len(job_ids)


def test_who_watches_a_job_sees_pictures_before_they_are_done(ada: httpx.Client) -> None:
    prompt = {"prompt": "a big green circle on a blue background", "steps": 100, "n": 8}
    job_ids = [submit(ada, "image", **prompt) for _ in range(3)]  # long enough to be watched
    with ada.stream("GET", f"/v1/jobs/{job_ids[0]}/events") as events:
        url = first_preview(events.iter_lines())
    shown = Image.open(io.BytesIO(httpx.get(url, timeout=120).content))
    assert shown.format == "PNG"
    assert {wait(ada, job_id)["status"] for job_id in job_ids} == {"succeeded"}
    (width, height) = {
        (one["width"], one["height"]) for one in wait(ada, job_ids[0])["outputs"]
    }.pop()
    assert shown.size == (width, height)


def first_preview(lines: Iterator[str]) -> str:
    """The address of the first picture that a stream of events shows."""
    kind = ""
    for line in lines:
        if line.startswith("event: "):
            kind = line.removeprefix("event: ")
        elif kind == "preview" and line.startswith("data: "):
            return str(json.loads(line.removeprefix("data: "))["url"])
    raise AssertionError("the job ended, and nothing of it was shown before")


def test_calls_during_a_restart_get_503_with_retry_after(
    ada: httpx.Client,
) -> None:
    (proxy,) = pids("ray::HAProxyManager")
    os.kill(proxy, signal.SIGKILL)
    away = until_answered(ada)
    until_replaced(proxy, partial(pids, "ray::HAProxyManager"))
    os.kill(replica_pid("ingress"), signal.SIGKILL)
    away += until_answered(ada)  # perhaps none: Serve's fallback may hold calls till it is back
    assert away, "it was away for a moment"
    for answer in away:
        if isinstance(answer, httpx.TransportError):
            continue
        assert (answer.status_code, answer.json()["code"]) == (503, "unavailable"), answer.text
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json().keys() >= {"type", "title", "status", "detail"}
        assert int(answer.headers["retry-after"]) > 0


def until_answered(client: httpx.Client) -> list[httpx.Response | httpx.TransportError]:
    """What came instead of the answer until all was well for a while."""
    away: list[httpx.Response | httpx.TransportError] = []
    well_since, until = time.monotonic(), time.monotonic() + 180
    while time.monotonic() < min(well_since + 6, until):
        try:
            answer = client.get("/v1/jobs")
        except httpx.TransportError as error:
            away.append(error)
            well_since = time.monotonic()
        else:
            if answer.status_code != 200:
                away.append(answer)
                well_since = time.monotonic()
        time.sleep(0.02)
    assert time.monotonic() < until, "it did not come back"
    return away


def until_replaced(old: int, look: Callable[[], list[int]]) -> None:
    """Until another process is found, and the old one is gone."""
    eventually(lambda: bool(found := look()) and old not in found, HANG_S)


def test_a_redeploy_lets_the_running_job_end(application: Application, ada: httpx.Client) -> None:
    """Longer than the queue's lock, so that a drain that lets go of it would run the job twice."""
    job_id = submit(ada, "scribe", text="slow", pages=20, page_s=1.0)
    wait(ada, job_id, "running")
    old = replica_pid("scribe")
    application.redeploy(deployments=[{"name": "scribe", "ray_actor_options": {"num_cpus": 0.25}}])
    job = wait(ada, job_id)
    assert (job["status"], job["attempt"]) == ("succeeded", 1)
    assert wait(ada, submit(ada, "scribe", text="next"))["status"] == "succeeded"
    until_replaced(old, partial(replica_pids, "scribe"))


def test_a_job_that_kills_its_replica_is_stopped_after_the_second_time(ada: httpx.Client) -> None:
    poison = submit(ada, "scribe", text="poison", fault="crash")
    job = wait(ada, poison)
    assert (job["status"], job["attempt"]) == ("failed", 2)
    assert (job["error"]["code"], job["cost"]["charged"]) == ("quarantined", 0)
    other = wait(ada, submit(ada, "scribe", text="an innocent"))
    assert (other["status"], other["attempt"]) == ("succeeded", 1)
