"""The customers' end of the webhooks: a server that writes down what it is sent, and has moods."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter, defaultdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from random import Random

MOODS_PER_EVENT = 2  # so that the last retry comes within the time in which all must be at rest


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128  # a burst is no fault of ours


class Receiver:
    """Listens on a loopback port until closed.

    ``heard``: the ids under which each event came, as (job, type), with how often; also those that
    it answered badly, since the sender cannot know what became of them.
    """

    def __init__(self, seed: int) -> None:
        self.heard: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
        self._moods: Counter[str] = Counter()
        self._random = Random(seed)
        self._lock = threading.Lock()
        self._server = _Server(("127.0.0.1", 0), self._handler())
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_port}/hook"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _take(self, message_id: str, event: dict[str, object]) -> str:
        """Write it down; returns how to answer: well, "refuse", "hang" or "hang up"."""
        data = event["data"]
        assert isinstance(data, dict)
        with self._lock:
            self.heard[str(data["id"]), str(event["type"])][message_id] += 1
            if self._moods[message_id] < MOODS_PER_EVENT and self._random.random() < 0.2:
                self._moods[message_id] += 1
                return self._random.choice(["refuse", "hang", "hang up"])
        return "well"

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        take = self._take

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                mood = take(self.headers["webhook-id"], json.loads(body))
                if mood == "hang":
                    time.sleep(3)
                if mood == "hang up":
                    self.close_connection = True
                    return
                self.send_response(503 if mood == "refuse" else 204)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                """Nothing: thousands of them come."""

        return Handler
