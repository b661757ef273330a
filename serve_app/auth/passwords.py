"""Passwords as argon2id hashes, in threads of their own: each takes 64 MiB and tens of ms of CPU.

However many registrations and log-ins come, as many are hashed at a time as there are threads.
Those of one network take turns and a number of them waits, so that nobody keeps the others out.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import TypeVar
from weakref import WeakValueDictionary

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError

from serve_app.http.errors import Unavailable

THREADS = 2
NICENESS = 10
# Of one network: let through at a time, and waiting behind them for a few seconds.
MAX_OF_NETWORK = 2
MAX_WAITING = 64

T = TypeVar("T")


class PasswordHashing:
    """Hashes and checks passwords; the threads start with the first."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(
            THREADS, thread_name_prefix="passwords", initializer=_yield_to_others
        )
        self._networks: WeakValueDictionary[str, _Network] = WeakValueDictionary()

    async def hash(self, network: str, password: str) -> str:
        """Return the argon2id hash, which holds its parameters and salt.

        Raises:
            Unavailable: too many passwords of the network wait.
        """
        return await self._run(network, lambda: hash_password(password))

    async def matches(self, network: str, password_hash: str | None, password: str) -> bool:
        """Return whether the password has this hash.

        Without a hash (no such user) it takes just as long and returns False, so that the time of
        an answer does not reveal who has an account.

        Raises:
            Unavailable: too many passwords of the network wait.
        """
        return await self._run(network, lambda: _matches(password_hash, password))

    def close(self) -> None:
        """End the threads once they have done what they are at."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _run(self, network: str, work: Callable[[], T]) -> T:
        mine = self._networks.get(network)
        if mine is None:
            mine = self._networks[network] = _Network()
        if mine.waiting >= MAX_WAITING:
            raise Unavailable("Too many log-ins at a time; try again soon.")
        mine.waiting += 1
        try:
            await mine.turns.acquire()
        finally:
            mine.waiting -= 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        finally:
            mine.turns.release()


def _yield_to_others() -> None:
    """Let the event loop go first where hashing takes all cores; argon2's threads inherit it.

    Ray's workers are nicer than that by default, and only root may be less nice than before.
    """
    if sys.platform == "linux":  # elsewhere the whole process would yield
        thread = threading.get_native_id()
        if os.getpriority(os.PRIO_PROCESS, thread) < NICENESS:
            os.setpriority(os.PRIO_PROCESS, thread, NICENESS)


class _Network:
    """The passwords of one network: ``turns`` for those let through, and how many wait."""

    def __init__(self) -> None:
        self.turns = asyncio.Semaphore(MAX_OF_NETWORK)
        self.waiting = 0


def hash_password(password: str) -> str:
    """Return the argon2id hash, computed in this thread."""
    return _hasher().hash(password)


def _matches(password_hash: str | None, password: str) -> bool:
    try:
        _hasher().verify(password_hash or _dummy_hash(), password)
    except (Argon2Error, InvalidHashError, UnicodeEncodeError):
        return False
    return password_hash is not None


@lru_cache(maxsize=1)
def _hasher() -> PasswordHasher:
    return PasswordHasher()


@lru_cache(maxsize=1)
def _dummy_hash() -> str:
    return _hasher().hash("nobody's")
