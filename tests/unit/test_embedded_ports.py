"""A server that is started again comes back where its clients look for it."""

import socket
import threading
from pathlib import Path

from db.embedded.state import State


def holding(port: int) -> socket.socket:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    listener.listen()
    return listener


def test_a_port_is_kept_when_its_last_holder_needs_a_moment_to_die(tmp_path: Path) -> None:
    state = State(tmp_path)
    port = state.port("a_port")
    dying = holding(port)
    threading.Timer(0.3, dying.close).start()
    state.claim_ports(["a_port"])
    assert state.port("a_port") == port


def test_a_port_that_someone_else_has_is_given_up(tmp_path: Path) -> None:
    state = State(tmp_path)
    ports = {name: state.port(name) for name in ("a_port", "b_port")}
    with holding(ports["a_port"]):
        state.claim_ports(ports, within_s=0.2)
    assert state.port("a_port") != ports["a_port"]
    assert State(tmp_path).port("a_port") == state.port("a_port")
