"""A generator that writes text files, slowly or wrongly if its request says so.

The package has what a catalogue looks for in a generator's: ``spec.SPEC``.
"""

from __future__ import annotations

import dataclasses
import os
import signal
import time
from collections import Counter
from pathlib import Path
from typing import Literal

from pydantic import Field

from billing.prices import PriceLine
from deployments.contract import Artifact, BadInput, Context, GeneratorSpec, Request
from deployments.references import ImageInput, JobId, PersonaId

CREDITS_PER_PAGE = 3


class ScribeRequest(Request):
    """Write ``pages`` pages of ``text``, each taking ``page_s`` seconds.

    The last one is not written before the file ``after`` is there.

    ``pictures``, ``earlier`` and ``persona`` are looked at and noted; ``keep`` saves each page for
    a later attempt, which then does not write it again. ``delivered`` is the share to be charged.
    """

    text: str
    pages: int = 1
    page_s: float = 0.0
    after: str | None = None
    fault: Literal["none", "bad_input", "exception", "nothing", "deaf", "crash"] = "none"
    pictures: tuple[ImageInput, ...] = ()
    earlier: JobId | None = None
    persona: PersonaId | None = None
    keep: bool = False
    delivered: float = 1.0
    seed: int | None = Field(default=None, ge=0)


def price(request: ScribeRequest) -> list[PriceLine]:
    return [PriceLine("pages", request.pages, CREDITS_PER_PAGE * request.pages)]


class Scribe:
    """Implements ``Generator``; ``calls`` counts how often each text was begun."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()

    def generate(self, request: ScribeRequest, context: Context) -> list[Artifact]:
        self.calls[request.text] += 1
        if request.fault == "bad_input":
            raise BadInput("The text is in invisible ink.", code="text_unreadable")
        if request.fault == "exception":
            raise RuntimeError("a secret of the house")
        if request.fault == "crash":
            os.kill(os.getpid(), signal.SIGKILL)
        context.charge_only(request.delivered)
        if request.fault == "nothing":
            return []
        if request.pictures or request.earlier or request.persona or context.kept:
            context.note(
                inputs={name: path.stat().st_size for name, path in context.inputs.items()},
                earlier={job.id: sorted(job.files) for job in context.earlier.values()},
                kept=sorted(context.kept),
                personas=[
                    [one.name, one.description, [path.stat().st_size for path in one.images]]
                    for one in context.personas.values()
                ],
            )
        return [self._write(request, context, page) for page in range(request.pages)]

    def _write(self, request: ScribeRequest, context: Context, page: int) -> Artifact:
        if (kept := context.kept.get(f"page-{page}.txt")) is not None:
            path = context.workdir / kept.name
            path.write_bytes(kept.read_bytes())
            return Artifact(path, "text", "text/plain")
        time.sleep(request.page_s)
        if page == request.pages - 1:
            self._wait(request, context)
        if request.fault != "deaf":
            context.progress((page + 1) / request.pages, "writing")
            context.note(pages=page + 1, ink="black")
            path = context.workdir / f"page-{page}.txt"
            path.write_text(f"{request.text} {context.seed}")
            if request.keep:
                context.keep(path)
            return Artifact(path, "text", "text/plain")
        path = context.workdir / f"page-{page}.txt"
        path.write_text(request.text)
        return Artifact(path, "text", "text/plain")

    def _wait(self, request: ScribeRequest, context: Context) -> None:
        """Until the file ``after`` is there, or the job is canceled or drained."""
        while request.after and not Path(request.after).exists():
            context.progress(1 - 1 / request.pages, "waiting")
            time.sleep(0.05)


SPEC = GeneratorSpec(
    name="scribe",
    title="Scribe",
    description="Writes text files.",
    request=ScribeRequest,
    price=price,
    price_version="scribe-1",
    entry="tests.support.scribe:Scribe",
    num_gpus=0.0,
    expected_seconds=1.0,
    max_seconds=600.0,
)


def impatient(max_seconds: float) -> GeneratorSpec[ScribeRequest]:
    """The same spec with less time for a job."""
    return dataclasses.replace(SPEC, max_seconds=max_seconds)
