"""Tell Ray's autoscaler how many GPUs the cluster should have (``request_resources``).

Ray keeps the last request until another one replaces it, also when the process that made it is
gone. So the maintenance replica withdraws it when the application is shut down.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

# A request is repeated after this: Ray forgets it when its head node starts anew.
REPEAT_S = 30.0


def request_gpus(gpus: int) -> None:
    """Request a cluster with so many GPUs; 0 takes the request back.

    What is there counts, so that a cluster that has them already stays as it is. Nodes that the
    request needs are not ended when they are idle. Ray grants all of a request or nothing: it must
    not be more than the cluster may grow to.

    Raises:
        Exception: Ray's control service (GCS) did not answer within ten seconds.
    """
    from ray.autoscaler.sdk import request_resources

    request_resources(bundles=[{"GPU": 1}] * gpus)


class NodeRequests:
    """Sends requests from a thread of its own, so that whoever asks never waits for Ray."""

    def __init__(
        self,
        send: Callable[[int], None] = request_gpus,
        clock: Callable[[], float] = time.monotonic,
        pause_s: float = 1.0,
    ) -> None:
        """``pause_s`` is waited after a request that failed."""
        self._send, self._clock, self._pause_s = send, clock, pause_s
        self._sent: int | None = None
        self._sent_at = 0.0
        self._thread: threading.Thread | None = None

    def ask(self, gpus: int) -> None:
        """Request so many GPUs; what was requested already is repeated now and then."""
        if self._thread is not None and self._thread.is_alive():
            return
        old = gpus > 0 and self._clock() - self._sent_at >= REPEAT_S
        if gpus == self._sent and not old:
            return
        self._thread = threading.Thread(target=self._send_request, args=(gpus,), daemon=True)
        self._thread.start()

    def _send_request(self, gpus: int) -> None:
        try:
            self._send(gpus)
        except Exception as error:  # of the RPC, whose classes are Ray's private ones
            name = type(error).__name__
            logging.getLogger("ray.serve").warning(f"autoscaling: no GPUs were requested: {name}")
            time.sleep(self._pause_s)
            return
        if gpus != self._sent:
            logging.getLogger("ray.serve").info(f"autoscaling requested GPUs: {gpus}")
        self._sent, self._sent_at = gpus, self._clock()
