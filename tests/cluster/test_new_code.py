"""Another release with other code and other prices, deployed while jobs run and wait."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import httpx
import pytest

from tests.support.application import Application, once_drained, submit, wait
from tests.support.rays import Rays

pytestmark = pytest.mark.timeout(1800)

# What an author of a generator writes, with the words and the price that differ by release.
CODE = """
import time
from pathlib import Path

from pydantic import Field

from billing.prices import PriceLine
from deployments.contract import Artifact, GeneratorSpec, Request

WORDS, CREDITS = {words!r}, {credits}


class HeraldRequest(Request):
    '''Say what there is to say, once the file ``after`` is there.'''

    after: str | None = None
    seed: int | None = Field(default=None, ge=0)


class Herald:
    def generate(self, request, context):
        while request.after and not Path(request.after).exists():
            context.progress(0.5, "speaking")
            time.sleep(0.05)
        path = context.workdir / "words.txt"
        path.write_text(WORDS)
        return [Artifact(path, "text", "text/plain")]


SPEC = GeneratorSpec(
    name="herald",
    title="Herald",
    description="Says what there is to say.",
    request=HeraldRequest,
    price=lambda request: [PriceLine("words", 1, CREDITS)],
    price_version=f"herald-{{CREDITS}}",
    entry="herald.spec:Herald",
    num_gpus=0.0,
    expected_seconds=1.0,
    max_seconds=600.0,
)
"""


def write(folder: Path, words: str, credits: int) -> None:
    package = folder / "herald"
    package.mkdir(exist_ok=True)
    (package / "__init__.py").touch()
    (package / "spec.py").write_text(CODE.format(words=words, credits=credits))


def deploy(application: Application, release: str) -> None:
    # It draws nothing: no manager is started for it.
    application.redeploy(generators=["herald"], release=release, min_managers=0)


@pytest.fixture(scope="module")
def code(shared: dict[str, str]) -> Iterator[Path]:
    folder = Path(shared["PYTHONPATH"])
    write(folder, "of old", 3)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        yield folder


@pytest.fixture(scope="module")
def application(rays: Rays, shared: dict[str, str], code: Path) -> Application:
    started = rays.get(shared)
    deploy(started, "one")
    return started


def said(job: dict[str, object]) -> tuple[str, object, str, int]:
    """How it ended, at which attempt, in which words, and for how much."""
    assert isinstance(job["outputs"], list) and isinstance(job["cost"], dict)
    words = httpx.get(job["outputs"][0]["url"], timeout=120).text
    return str(job["status"]), job["attempt"], words, job["cost"]["charged"]


def test_jobs_end_as_they_began_and_the_next_ones_get_the_new_code(
    application: Application, code: Path, go: Path
) -> None:
    with application.person() as ada:
        assert ada.get("/healthz").json() == {"status": "ok", "release": "one"}
        running_one = submit(ada, "herald", after=str(go))
        waiting = submit(ada, "herald")
        wait(ada, running_one, "running")
        write(code, "what is new", 5)
        deploy(application, "one")
        assert ada.get("/v1/generators/herald").status_code == 200
        assert application.row(running_one)["status"] == "running", "nothing was replaced"
        once_drained("herald", partial(deploy, application, "two"), go)
        after = submit(ada, "herald")
        assert said(wait(ada, running_one)) == ("succeeded", 1, "of old", 3)
        assert said(wait(ada, waiting)) == ("succeeded", 1, "what is new", 3), "as it was quoted"
        assert said(wait(ada, after)) == ("succeeded", 1, "what is new", 5)
        assert ada.get("/healthz").json()["release"] == "two"
