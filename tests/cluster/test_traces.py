"""The spans of a job from all processes of the service, as a collector hears them."""

import json
import secrets

import httpx
import pytest

from atelier_client.command.inputs import read_input
from tests.support.application import Application, wait
from tests.support.otlp import Collector, Heard
from tests.support.rays import Rays
from tests.support.receiver import receiver
from tests.support.waiting import eventually

pytestmark = pytest.mark.timeout(900)

PROMPT = "a small yellow square on a purple background"
SERVICES = {"atelier-ingress", "atelier-image", "atelier-gpu_manager", "atelier-keeper"}
NAMES = {
    "POST /v1/jobs", "wait", "claim", "generate_content image",
    "steps", "load model", "uploading", "settling",
}  # fmt: skip


@pytest.fixture(scope="module")
def application(rays: Rays, shared: dict[str, str]) -> Application:
    started = rays.get(shared)
    started.redeploy()
    return started


def test_the_trace_of_a_job_is_one_tree(ada: httpx.Client, spans: Collector) -> None:
    trace_id, client_id = secrets.token_hex(16), secrets.token_hex(8)
    enlarge = read_input(["deployments/generators/image/example/enlarge.json", f"prompt={PROMPT}"])
    with receiver() as hooks:
        answer = ada.post(
            "/v1/jobs",
            json={"generator": "image", "input": enlarge, "webhook_url": hooks.url},
            headers={"traceparent": f"00-{trace_id}-{client_id}-01"},
        )
        assert answer.status_code == 202, answer.text
        job = wait(ada, answer.json()["id"])
        assert job["status"] == "succeeded"
        told = hooks.wait(2)

    def delivered() -> list[Heard]:
        return [span for span in spans.trace(trace_id) if span.name == "deliver webhook"]

    def complete() -> list[Heard] | None:
        """Each process exports on its own clock, and a span's children before itself."""
        tree = spans.trace(trace_id)
        names, services = {span.name for span in tree}, {span.service for span in tree}
        whole = names >= NAMES and services >= SERVICES and len(roots(tree)) == 1
        return tree if whole and len(delivered()) == 2 else None

    tree = eventually(complete)
    (root,) = roots(tree)
    assert (root.name, root.service, root.parent) == ("POST /v1/jobs", "atelier-ingress", client_id)
    assert {span.service for span in tree} == SERVICES
    names = [span.name for span in tree]
    order = ["POST /v1/jobs", "wait", "claim", "uploading", "settling"]
    assert [name for name in names if name in order] == order
    # The upscaler is loaded when it is first needed, after the picture was drawn.
    assert names.index("steps") < names.index("load model") < names.index("uploading")
    assert all(span.start_ns <= span.end_ns and not span.failed for span in tree)

    attempt = attempt_of(tree)
    assert attempt is not None
    noted = ada.get(f"/v1/jobs/{job['id']}/metadata").json()["metadata"]["notes"]
    expected = {
        "gen_ai.operation.name": "generate_content",
        "gen_ai.output.type": "image",
        "gen_ai.request.model": noted["model"],
        "atelier.job.id": job["id"],
        "atelier.status": "succeeded",
    }
    assert expected.items() <= attempt.attributes.items()
    assert {headers["traceparent"] for headers in (one.headers for one in told)} == {
        f"00-{trace_id}-{span.id}-01" for span in delivered()
    }


def test_no_span_has_a_prompt_a_link_or_a_key(ada: httpx.Client, spans: Collector) -> None:
    key = ada.headers["X-API-Key"]
    everything = b"".join(spans.raw)
    assert len(everything) > 4_000
    for secret in (PROMPT, "X-Amz-Signature", key, json.dumps(PROMPT)):
        assert secret.encode() not in everything, secret


def roots(tree: list[Heard]) -> list[Heard]:
    """The spans whose parents are not in the tree."""
    ids = {span.id for span in tree}
    return [span for span in tree if span.parent not in ids]


def attempt_of(tree: list[Heard]) -> Heard | None:
    return next((span for span in tree if span.name == "generate_content image"), None)
