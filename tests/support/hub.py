"""A small hub of weights on this machine, which answers a download and can misbehave."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any, Self

REPO = "someone/weights"
REVISION = "0123456789abcdef0123456789abcdef01234567"


class Hub:
    """Answers the two calls a download makes as the hub does, and can misbehave."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.large: set[str] = set()  # those the hub keeps in LFS, known by SHA-256
        self.served: list[tuple[str, str]] = []  # file, Range
        self.drops: list[int] = []  # the byte of the large file each next connection ends at
        self.refuse: tuple[int, str] | None = None
        handler = type("Handler", (_Handler,), {"hub": self})
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.endpoint = f"http://127.0.0.1:{self.server.server_address[1]}"

    @contextmanager
    def serving(self) -> Iterator[Self]:
        """Answer in a thread until the block ends."""
        thread = Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield self
        finally:
            self.server.shutdown()
            self.server.server_close()
            thread.join()

    def etag(self, name: str) -> str:
        content = self.files[name]
        if name in self.large:
            return hashlib.sha256(content).hexdigest()
        return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()

    def tree(self) -> list[dict[str, Any]]:
        return [
            {"type": "file", "path": name, "size": len(content), "oid": "0" * 40}
            | ({"oid": self.etag(name)} if name not in self.large else {})
            | (
                {"lfs": {"oid": self.etag(name), "size": len(content), "pointerSize": 130}}
                if name in self.large
                else {}
            )
            for name, content in self.files.items()
        ]


class _Handler(BaseHTTPRequestHandler):
    hub: Hub

    def log_message(self, *_: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self.answer(with_body=False)

    def do_GET(self) -> None:
        self.answer(with_body=True)

    def answer(self, with_body: bool) -> None:
        path = self.path.split("?")[0]
        tree, files = f"/api/models/{REPO}/tree/{REVISION}", f"/{REPO}/resolve/{REVISION}/"
        if self.hub.refuse is not None:
            status, code = self.hub.refuse
            self.start(status, 0, {"X-Error-Code": code})
        elif path == tree:
            body = json.dumps(self.hub.tree()).encode()
            self.start(200, len(body), {"Content-Type": "application/json"})
            self.wfile.write(body)
        elif path.startswith(files) and path.removeprefix(files) in self.hub.files:
            self.file(path.removeprefix(files), with_body)
        else:
            self.start(404, 0, {"X-Error-Code": "RepoNotFound"})

    def file(self, name: str, with_body: bool) -> None:
        content, start = self.hub.files[name], 0
        wanted = self.headers.get("Range", "")
        if wanted:
            start = int(wanted.removeprefix("bytes=").split("-")[0])
        facts = {"ETag": f'"{self.hub.etag(name)}"', "X-Repo-Commit": REVISION}
        if start:
            facts["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        self.start(206 if start else 200, len(content) - start, facts)
        if with_body:
            self.hub.served.append((name, wanted))
            drop = self.hub.drops.pop(0) if self.hub.drops and name in self.hub.large else None
            self.wfile.write(content[start:drop])

    def start(self, status: int, length: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(length))
        self.end_headers()
