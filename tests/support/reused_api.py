"""APIs that tests hand on to each other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from fastapi import FastAPI

from serve_app.api import create_api
from serve_app.settings import Settings

_idle: list[tuple[tuple[str, ...], Settings, FastAPI]] = []
MAX_IDLE = 8


@contextmanager
def reused_api(generators: Sequence[str], settings: Settings) -> Iterator[FastAPI]:
    """An API that an earlier test may have used with the same settings.

    FastAPI analyzes every route at the first request, which takes longer than most tests. Each
    lifespan opens clients of its own; what outlives it are the metrics, which go on counting. The
    APIs of ``tests.support.http.world`` are new.
    """
    wanted = (tuple(generators), settings)
    found = next((one for one in _idle if one[:2] == wanted), None)
    if found is not None:
        _idle.remove(found)
    api = create_api(generators, settings) if found is None else found[2]
    yield api
    _idle.append((*wanted, api))  # not if the test failed: nobody knows what it left
    del _idle[:-MAX_IDLE]
