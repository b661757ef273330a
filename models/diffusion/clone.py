"""Share one set of weights among callers: a pipeline object for each call, or exclusive use."""

from __future__ import annotations

import copy
import inspect
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

_POLL_SECONDS = 0.2


def clone_pipeline(pipeline: Any, kind: Any = None) -> Any:
    """Create a pipeline object over the weights of ``pipeline``, with its own scheduler.

    A pipeline object keeps scheduler state and the settings of its last call, so two calls at once
    would break it. ``kind`` is another class that takes the same components (image to video for
    text to video, for example); the default is the same class.
    """
    kind = kind or type(pipeline)
    components = {**pipeline.config, **pipeline.components}
    names = inspect.signature(kind.__init__).parameters
    parts = {name: components[name] for name in names if name in components}
    clone = kind(**{**parts, "scheduler": copy.deepcopy(pipeline.scheduler)})
    clone.set_progress_bar_config(disable=True)
    return clone


class ExclusiveUse:
    """Lets one caller at a time use the weights.

    For models whose memory plan counts the activations of one request, and whose pipelines change
    the shared weights within a call: several cast a float16 VAE to float32 and back.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()

    @contextmanager
    def acquire(self, waiting: Callable[[], None]) -> Iterator[None]:
        """Wait for exclusive use; ``waiting`` is called every 0.2 s and may raise to give up."""
        while not self._lock.acquire(timeout=_POLL_SECONDS):
            waiting()
        try:
            yield
        finally:
            self._lock.release()
