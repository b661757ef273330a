"""Run frame rendering and video encoding in separate threads."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from queue import Queue
from typing import TypeVar

from models.cores import usable_cores
from models.media.encoding.base import FilmWriter, Frame

MAX_QUEUED_FRAMES = 8  # frames that may wait for the encoder: enough to even out, little to hold


def encode_in_thread(
    frames: Iterable[Frame],
    writer: FilmWriter,
    on_frame: Callable[[int, Frame], None] | None = None,
) -> None:
    """Write all ``frames`` to ``writer`` from a second thread while this thread renders them.

    A frame is a PIL image or uint8 (height, width, 3 or 4). The caller closes the writer
    afterwards. ``on_frame(number, frame)`` runs in the caller's thread for each frame that is
    queued. An exception from it, from ``frames`` or from the writer is raised here once the encoder
    thread has stopped; queued frames are dropped.
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
    """Yield ``work(item)`` for each item in order while a pool works ahead on the next ones.

    ``threads`` 0 uses this process's cores, 8 at most. Close the iterator (or drop it) to stop
    early: running calls finish, no new ones start, and no thread remains.
    """
    count = threads or min(usable_cores(), MAX_THREADS)
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
