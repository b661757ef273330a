"""When a call is sent again."""

from __future__ import annotations

import itertools
import random
from dataclasses import dataclass

import httpx

from atelier_client.calls import Call, Flow, Send, Sleep
from atelier_client.errors import AtelierError, ConnectionFailed, api_error


@dataclass(frozen=True)
class Retries:
    """How often a call is sent, all attempts together, and the seconds between them.

    The pause doubles from ``first_s`` up to ``most_s``, less a random part of up to a half, so
    that many clients do not come back together. ``Retry-After`` makes it longer; a service that
    asks for more than ``most_s`` is not waited for.
    """

    attempts: int = 5
    first_s: float = 0.5
    most_s: float = 60.0

    def pause(self, attempt: int, error: AtelierError) -> float | None:
        """Return the seconds after that attempt (from 1) and its error; None: that was the last."""
        asked_s = error.retry_after_s or 0.0
        if not error.temporary or attempt >= self.attempts or asked_s > self.most_s:
            return None
        own_s: float = min(self.most_s, self.first_s * 2 ** (attempt - 1))
        return max(asked_s, own_s * random.uniform(0.5, 1.0))


def exchange(call: Call, retries: Retries) -> Flow[httpx.Response]:
    """Send a call until it works.

    It may reach the service twice if an answer was lost, so what makes something carries an
    ``Idempotency-Key`` (``calls.creation``).

    Raises:
        ConnectionFailed: no answer came.
        ApiError: the service refused it.
    """
    for attempt in itertools.count(1):
        try:
            response: httpx.Response = yield Send(call)
        except httpx.TransportError as cause:
            error: AtelierError = ConnectionFailed(f"{call.method} {call.url}", cause)
        else:
            if response.is_success:
                return response
            error = api_error(response)
        pause_s = retries.pause(attempt, error) if call.repeatable else None
        if pause_s is None:
            raise error
        yield Sleep(pause_s)
    raise AssertionError("the loop has no end")
