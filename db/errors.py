"""The errors of stores: the store cannot be reached, or an object is missing.

Exception
+-- StoreUnavailable   worth trying again soon (HTTP: 503 with Retry-After)
+-- ObjectMissing      the bucket does not, or no longer, have the object
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class StoreUnavailable(Exception):
    """A store did not answer. ``store`` is its name: "postgres", "redis", ..."""

    def __init__(self, store: str, reason: str = "") -> None:
        super().__init__(f"{store} is unavailable" + (f": {reason}" if reason else ""))
        self.store = store

    def __reduce__(self) -> tuple[type[StoreUnavailable], tuple[str]]:
        return (type(self), (self.store,))


class ObjectMissing(Exception):
    """There is no object under this key."""

    def __init__(self, key: str) -> None:
        super().__init__(f"no object {key}")
        self.key = key


@contextmanager
def translate_connection_errors(store: str, *failures: type[BaseException]) -> Iterator[None]:
    """Turn the client library's connection ``failures`` into :class:`StoreUnavailable`."""
    try:
        yield
    except failures as error:
        # The message of a client library may hold a password, so only the class is named.
        raise StoreUnavailable(store, type(error).__name__) from error
