"""A film is encoded while its next frames are made: one thread draws, another encodes."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from queue import Queue
from typing import TypeVar

from models.media.encoding.base import FilmWriter, Frame

MAX_QUEUED_FRAMES = 8  # frames that may wait for the encoder: enough to even out, little to hold


def encode_in_thread(
    frames: Iterable[Frame],
    writer: FilmWriter,
    on_frame: Callable[[int, Frame], None] | None = None,
) -> None:
    """Write all of ``frames``; the caller's thread makes them, and closes the writer afterwards.

    ``on_frame(number, frame)`` is called in the caller's thread as each frame is handed over. What
    it, ``frames`` or the writer raises comes out here, when the encoder has stopped: no thread is
    left behind, and frames that wait are dropped.
    """
    waiting: Queue[Frame | None] = Queue(MAX_QUEUED_FRAMES)
    failed: list[BaseException] = []
    stop = threading.Event()

    def encode() -> None:
        while (frame := waiting.get()) is not None:
            if stop.is_set():
                continue
            try:
                writer.write(frame)
            except BaseException as error:
                failed.append(error)
                stop.set()

    encoder = threading.Thread(target=encode, name="encoder", daemon=True)
    encoder.start()
    try:
        for number, frame in enumerate(frames):
            if stop.is_set():
                break
            waiting.put(frame)
            if on_frame is not None:
                on_frame(number, frame)
    except BaseException:
        stop.set()
        raise
    finally:
        waiting.put(None)
        encoder.join()
    if failed:
        raise failed[0]


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
