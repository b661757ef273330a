"""Frames made by several threads at once, and handed out in their order."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")

MAX_THREADS = 8


def parallel_map(work: Callable[[T], R], items: Iterable[T], threads: int = 0) -> Iterator[R]:
    """``work(item)`` for each of ``items`` in turn, a few of the next ones under way meanwhile.

    ``threads`` 0 takes the cores of this process, 8 at most. Close the iterator (or let it go) to
    stop early: what is under way is finished, nothing more is begun, and no thread stays.
    """
    count = threads or min(len(os.sched_getaffinity(0)), MAX_THREADS)
    under_way: deque[Future[R]] = deque()
    pool = ThreadPoolExecutor(count, thread_name_prefix="frames")
    try:
        for item in items:
            under_way.append(pool.submit(work, item))
            if len(under_way) > count:
                yield under_way.popleft().result()
        while under_way:
            yield under_way.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
