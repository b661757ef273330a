"""A cloud's metadata service, as a machine sees it: EC2's (version 2) and Google's."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

TOKEN = "a token"


@dataclass
class Metadata:
    """``takes_in`` seconds the machine is taken away; None: it is not."""

    url: str
    takes_in: float | None = None
    asked: int = 0


@contextmanager
def metadata_service() -> Iterator[Metadata]:
    class Handler(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            there = self.path == "/latest/api/token"
            allowed = there and self.headers["X-aws-ec2-metadata-token-ttl-seconds"]
            self.answer(200 if allowed else 400, TOKEN)

        def do_GET(self) -> None:
            service.asked += 1
            if self.path == "/latest/meta-data/spot/instance-action":
                self.answer(*self.instance_action())
            elif self.path == "/computeMetadata/v1/instance/preempted":
                allowed = self.headers["Metadata-Flavor"] == "Google"
                told = "FALSE" if service.takes_in is None else "TRUE"
                self.answer(200 if allowed else 403, told)
            else:
                self.answer(404, "")

        def instance_action(self) -> tuple[int, str]:
            if self.headers["X-aws-ec2-metadata-token"] != TOKEN:
                return 401, ""
            if service.takes_in is None:
                return 404, ""
            at = datetime.now(UTC) + timedelta(seconds=service.takes_in)
            return 200, json.dumps({"action": "terminate", "time": f"{at:%Y-%m-%dT%H:%M:%SZ}"})

        def answer(self, status: int, text: str) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        service = Metadata(f"http://127.0.0.1:{server.server_port}")
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield service
        finally:
            server.shutdown()
            thread.join()
