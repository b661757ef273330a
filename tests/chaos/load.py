"""People who submit, submit again, cancel and look, whatever goes on around them."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import httpx

from tests.chaos.works import Work

CREDITS = 10**6
TRIES_S = 90.0
AGAIN_S = 0.5


@dataclass
class Ledger:
    """What clients were told, and what they had to put up with. Shared by all of them."""

    accepted: dict[str, str] = field(default_factory=dict)  # job by Idempotency-Key
    wrong: list[str] = field(default_factory=list)
    answers: Counter[str] = field(default_factory=Counter)
    unheard: int = 0  # submits that were given up without an answer
    lock: threading.Lock = field(default_factory=threading.Lock)

    def note(self, answer: httpx.Response, call: str) -> None:
        with self.lock:
            self.answers[f"{answer.status_code // 100}xx"] += 1
            if answer.status_code >= 500 and "retry-after" not in answer.headers:
                where = answer.headers.get("server", "us")
                self.wrong.append(
                    f"{call}: {answer.status_code} without Retry-After from {where}:"
                    f" {answer.text[:80]!r}"
                )
            kind = answer.headers.get("content-type")
            if answer.is_error and kind != "application/problem+json":
                self.wrong.append(f"{call}: {answer.status_code} as {kind}: {answer.text[:80]!r}")

    def accept(self, key: str, job_id: str) -> None:
        with self.lock:
            first = self.accepted.setdefault(key, job_id)
            if first != job_id:
                self.wrong.append(f"{key} made {first} and then {job_id}")


class Customer:
    """One user, in a thread of their own until ``stop`` is set."""

    def __init__(
        self,
        base_url: str,
        key: str,
        ledger: Ledger,
        works: list[Work],
        every_s: float,
        webhook_url: str | None,
        seed: str,
    ) -> None:
        self._http = httpx.Client(base_url=base_url, headers={"X-API-Key": key}, timeout=20)
        self._ledger, self._works, self._every_s = ledger, works, every_s
        self._webhook_url = webhook_url
        self._random = random.Random(seed)
        self._mine: list[str] = []

    def live(self, stop: threading.Event) -> None:
        while not stop.wait(self._random.expovariate(1 / self._every_s)):
            key = f"chaos-{uuid4()}"
            work = self._random.choices(self._works, [work.weight for work in self._works])[0]
            body = {"generator": work.generator, "input": work.input}
            if self._webhook_url is not None and self._random.random() < 0.5:
                body["webhook_url"] = self._webhook_url
            job_id = self.submit(key, body)
            if job_id is None:
                continue
            self._mine.append(job_id)
            chance = self._random.random()
            if chance < 0.15:
                self.submit(key, body)
            elif chance < 0.30:
                self._call("POST", f"/v1/jobs/{self._random.choice(self._mine[-10:])}/cancel")
            elif chance < 0.40:
                self._call("GET", f"/v1/jobs/{job_id}")
        self._http.close()

    def submit(self, key: str, body: dict[str, Any]) -> str | None:
        """Until it is accepted, as a patient client would, always with the same key."""
        until = time.monotonic() + TRIES_S
        while time.monotonic() < until:
            answer = self._call("POST", "/v1/jobs", json=body, headers={"Idempotency-Key": key})
            if answer is not None and answer.status_code == 202:
                job_id = str(answer.json()["id"])
                self._ledger.accept(key, job_id)
                return job_id
            if answer is not None and _is_refusal(answer):
                with self._ledger.lock:
                    self._ledger.wrong.append(f"refused: {answer.status_code} {answer.text[:200]}")
                return None
            time.sleep(AGAIN_S)
        with self._ledger.lock:
            self._ledger.unheard += 1
        return None

    def _call(self, method: str, path: str, **more: Any) -> httpx.Response | None:
        try:
            answer = self._http.request(method, path, **more)
        except httpx.HTTPError:
            with self._ledger.lock:
                self._ledger.answers["broken off"] += 1
            return None
        self._ledger.note(answer, f"{method} {path.split('/')[2]}")
        return answer


def _is_refusal(answer: httpx.Response) -> bool:
    return answer.status_code in (402, 404, 422)
