"""Six small generators that differ in nothing but their names, for tests of scaling.

A catalog looks for ``SPEC`` in a module of each; those modules are made here, below.
Each job lasts as long as it is asked to and then writes down which process ran it and when, in
the file that ``ATELIER_TOYS`` names.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from types import ModuleType

from pydantic import Field

from billing.prices import PriceLine
from deployments.contract import Artifact, Context, GeneratorSpec, Request

NAMES = ("ann", "ben", "cat", "dan", "eve", "fay")
MODULES = [f"tests.support.toys.{name}" for name in NAMES]
TICK_S = 0.1


class ToyRequest(Request):
    """Last ``seconds``."""

    seconds: float = Field(default=1.0, gt=0, le=300)


def price(request: ToyRequest) -> list[PriceLine]:
    return [PriceLine("jobs", 1, 1)]


class Toy:
    """Implements ``Generator``."""

    def generate(self, request: ToyRequest, context: Context) -> list[Artifact]:
        began = time.time()
        while (past := time.time() - began) < request.seconds:
            context.progress(past / request.seconds, "playing")
            time.sleep(TICK_S)
        path = context.workdir / "toy.txt"
        line = f"{os.getpid()} {began} {time.time()}\n"
        path.write_text(line)  # no two attempts make the same
        with Path(os.environ["ATELIER_TOYS"]).open("a") as file:
            file.write(line)
        return [Artifact(path, "text", "text/plain")]


def spec_of(name: str) -> GeneratorSpec[ToyRequest]:
    return GeneratorSpec(
        name=name,
        title=name.capitalize(),
        description="A toy.",
        request=ToyRequest,
        price=price,
        price_version="toy-1",
        entry="tests.support.toys:Toy",
        expected_seconds=1.0,
        max_seconds=400.0,
    )


def _make_modules(name: str) -> None:
    """``tests.support.toys.<name>.spec``, as if it lay in a file; Python asks here for it first."""
    package = ModuleType(f"{__name__}.{name}")
    spec = ModuleType(f"{__name__}.{name}.spec")
    spec.__dict__["SPEC"] = spec_of(name)
    sys.modules |= {package.__name__: package, spec.__name__: spec}


for _name in NAMES:
    _make_modules(_name)
