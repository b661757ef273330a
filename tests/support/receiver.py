"""A server for webhooks on 127.0.0.1, in a thread, that answers as it is told to."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Received:
    """A request as it came."""

    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def event(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.body)
        return found


@dataclass
class Receiver:
    """``url`` is where it listens. ``status`` and ``pause_s`` (before answering) by path; a status
    of 3xx leads to ``/elsewhere``. ``release`` ends all pauses."""

    url: str
    status: dict[str, int] = field(default_factory=dict)
    pause_s: dict[str, float] = field(default_factory=dict)
    got: list[Received] = field(default_factory=list)
    released: threading.Event = field(default_factory=threading.Event)

    def release(self) -> None:
        """Answer whoever waits, and from now on without a pause."""
        self.pause_s.clear()
        self.released.set()

    def of(self, path: str) -> list[Received]:
        return [one for one in self.got if one.path == path]

    def types(self, path: str = "/hook") -> list[str]:
        return [one.event["type"] for one in self.of(path)]

    def wait(self, count: int, seconds: float = 120.0, path: str = "/hook") -> list[Received]:
        """The requests to ``path`` once there are so many."""
        until = time.monotonic() + seconds
        while len(self.of(path)) < count:
            assert time.monotonic() < until, f"{len(self.of(path))} of {count} came"
            time.sleep(0.02)
        return self.of(path)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128  # with the five that it has, a burst of connections is cut off


@contextmanager
def receiver(port: int = 0) -> Iterator[Receiver]:
    """Listens until the block ends; requests that wait for an answer then get none."""
    ended = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            found.got.append(Received(self.path, headers, body))
            found.released.wait(found.pause_s.get(self.path, 0))
            if ended.is_set():
                return
            status = found.status.get(self.path, 204)
            self.send_response(status)
            if 300 <= status < 400:
                self.send_header("location", f"{found.url.rpartition('/')[0]}/elsewhere")
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = _Server(("127.0.0.1", port), Handler)
    found = Receiver(f"http://127.0.0.1:{server.server_port}/hook")
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield found
    finally:
        ended.set()
        found.release()
        server.shutdown()
        thread.join()
        server.server_close()


def verifies(received: Received, secret: str) -> bool:
    """Whether one of the signatures is made with ``secret``: as a customer writes it, from the
    text of the standard, with nothing of ours."""
    signed = f"{received.id}.{received.headers['webhook-timestamp']}.".encode() + received.body
    key = base64.b64decode(secret.removeprefix("whsec_"))
    due = "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    given = received.headers["webhook-signature"].split(" ")
    return any(hmac.compare_digest(due, one) for one in given)
