"""Read the depth of every queue in a thread: the autoscaling policy never waits for Redis."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from redis import Redis as BlockingRedis
from redis.cluster import RedisCluster
from redis.exceptions import RedisClusterException, RedisError

from db.redis.client import open_blocking
from db.redis.job_timings import read_job_seconds
from db.redis.queue import QueueCounts, read_counts
from deployments.autoscaling.packing import NodeResources

POLL_INTERVAL_S = 0.25
NODES_INTERVAL_S = 1.0  # a node takes longer to come or to go, and Ray to tell of all of them
SOCKET_TIMEOUT_S = 2.0


@dataclass(frozen=True)
class QueueSnapshot:
    """The queues' depths and the measured seconds of a job by generator, and the nodes that are
    there, as read at ``at`` (monotonic seconds)."""

    at: float
    counts: dict[str, QueueCounts]
    job_s: dict[str, float] = field(default_factory=dict)
    nodes: Sequence[NodeResources] = ()


class QueueReader:
    """Holds the latest snapshot. The thread starts at the first call of ``latest`` and runs until
    ``close``."""

    def __init__(
        self,
        redis_url: str,
        generators: Sequence[str],
        nodes: Callable[[], Sequence[NodeResources]],
    ) -> None:
        """``nodes`` lists the nodes; it is called in the thread as well."""
        self._url, self._generators, self._nodes = redis_url, list(generators), nodes
        self._latest: QueueSnapshot | None = None
        self._thread: threading.Thread | None = None
        self._closed = threading.Event()

    def latest(self) -> QueueSnapshot | None:
        """The last snapshot that succeeded, however old; None before the first."""
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._read_loop, daemon=True)
            self._thread.start()
        return self._latest

    def close(self) -> None:
        """End the thread, which first finishes what it reads. Returns at once."""
        self._closed.set()

    def _read_loop(self) -> None:
        client: BlockingRedis | RedisCluster | None = None
        nodes: Sequence[NodeResources] = ()
        nodes_at = float("-inf")
        while not self._closed.is_set():
            try:
                at = time.monotonic()
                client = open_blocking(self._url, SOCKET_TIMEOUT_S) if client is None else client
                counts = read_counts(client, self._generators)
                job_s = read_job_seconds(client, self._generators)
                if at - nodes_at >= NODES_INTERVAL_S:
                    nodes, nodes_at = self._nodes(), at
                self._latest = QueueSnapshot(at, counts, job_s, nodes)
            except (RedisError, RedisClusterException, OSError, RuntimeError, ValueError):
                # During an outage the snapshot grows old, and the policy logs that.
                pass
            self._closed.wait(POLL_INTERVAL_S)
        if client is not None:
            client.close()
