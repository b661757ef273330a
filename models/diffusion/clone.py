"""One set of weights, many callers: a pipeline object a call, and turns where they must be."""

from __future__ import annotations

import copy
import inspect
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

_POLL_SECONDS = 0.2


def clone_pipeline(pipeline: Any, kind: Any = None) -> Any:
    """A new pipeline object over the weights of ``pipeline``, with a scheduler of its own.

    A pipeline object keeps scheduler state and the settings of its last call, and breaks when it
    is called twice at once. ``kind`` is another class that takes the same parts (image to video
    and text to video, say); by default it is the same class.
    """
    kind = kind or type(pipeline)
    known = {**pipeline.config, **pipeline.components}
    names = inspect.signature(kind.__init__).parameters
    parts = {name: known[name] for name in names if name in known}
    own = kind(**{**parts, "scheduler": copy.deepcopy(pipeline.scheduler)})
    own.set_progress_bar_config(disable=True)
    return own


class ExclusiveUse:
    """Lets one caller at a time use the weights.

    For models whose memory plan counts the activations of one request, and whose pipelines change
    the shared weights within a call: several cast a float16 VAE to float32 and back.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()

    @contextmanager
    def acquire(self, waiting: Callable[[], None]) -> Iterator[None]:
        """Wait for the turn; ``waiting`` is called five times a second and may raise to give up."""
        while not self._lock.acquire(timeout=_POLL_SECONDS):
            waiting()
        try:
            yield
        finally:
            self._lock.release()
