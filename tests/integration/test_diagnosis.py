"""What ``atelier-admin doctor`` says of the service on a node of a cluster."""

from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from atelier_admin import diagnosis

READY = b'{"ready": false, "checks": {"postgres": true, "redis": false}}'


class Proxy(BaseHTTPRequestHandler):
    """It answers as the service does whose Redis is away, or as another program."""

    others = False

    def do_GET(self) -> None:
        ready = self.path == "/readyz"
        self.send_response(404 if self.others else 503 if ready else 200)
        self.end_headers()
        self.wfile.write(READY if ready else b"{}")

    def log_message(self, format: str, *args: object) -> None: ...


@pytest.fixture
def port(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    monkeypatch.setenv("DATABASE_URL", "postgresql://db/atelier")
    with ThreadingHTTPServer(("127.0.0.1", 0), Proxy) as server:
        monkeypatch.setattr(diagnosis, "DEFAULT_PORT", server.server_port)
        Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


def said(data: Path) -> dict[str, tuple[str, bool | None]]:
    return {found.subject: (found.message, found.is_problem) for found in diagnosis.examine(data)}


def test_a_node_is_asked_for_its_service(port: int, tmp_path: Path) -> None:
    found = said(tmp_path)
    assert "run" not in found, "nobody is told to start ./scripts/run there"
    assert found["HTTP"] == (f"http://127.0.0.1:{port}/healthz: answers", False)
    assert found["readiness"] == (f"http://127.0.0.1:{port}/readyz: down: redis", True)


def test_a_head_without_a_service_is_wrong_and_a_worker_without_one_is_not(
    port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(diagnosis, "port_is_free", lambda _: True)
    address = tmp_path / "ray_current_cluster"
    monkeypatch.setattr(diagnosis, "RAY_ADDRESS", address)
    down = (f"nothing listens at http://127.0.0.1:{port}", True)
    assert said(tmp_path)["HTTP"] == down, "Ray is down, too"
    address.write_text("127.0.0.1:6379\n")
    assert said(tmp_path)["HTTP"] == down, "this is the head"
    address.write_text("203.0.113.7:6379\n")
    assert said(tmp_path)["HTTP"] == ("the head is 203.0.113.7", None)


def test_another_program_on_the_port_is_no_service(port: int, tmp_path: Path) -> None:
    Proxy.others = True
    try:
        assert said(tmp_path)["HTTP"][1] is True
    finally:
        Proxy.others = False
