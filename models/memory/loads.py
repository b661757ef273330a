"""Whom a thread's loads of models are told to: whoever waits for one learns what it waits for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

# The key of the model, and the seconds that its load took, once it is done.
OnLoad = Callable[[str, float | None], None]


def _ignore(key: str, seconds: float | None) -> None:
    """Nobody waits."""


_LISTENER: ContextVar[OnLoad] = ContextVar("on_load", default=_ignore)


@contextmanager
def loads_told_to(on_load: OnLoad) -> Iterator[None]:
    """Tell ``on_load``, which must not raise, of the loads that this thread makes in the block."""
    token = _LISTENER.set(on_load)
    try:
        yield
    finally:
        _LISTENER.reset(token)


def tell_of_load(key: str, seconds: float | None = None) -> None:
    """The model ``key`` is being loaded, or was loaded in ``seconds``."""
    _LISTENER.get()(key, seconds)
