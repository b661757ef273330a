"""A lost replica has crashed only if its node is there without it."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import ray

from deployments.ray_replica import crashed


@contextmanager
def port(*, is_open: bool) -> Iterator[int]:
    """A port of this machine; closed, nobody else gets it meanwhile."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        if is_open:
            holder.listen()
        yield holder.getsockname()[1]


@pytest.mark.parametrize(
    ("alive", "listens", "is_crash"),
    [(True, True, True), (True, False, False), (False, True, False)],
)
async def test_a_replica_that_ended_with_its_node_has_not_crashed(
    monkeypatch: pytest.MonkeyPatch, alive: bool, listens: bool, is_crash: bool
) -> None:
    def no_actor(*_: object, **__: object) -> None:
        raise ValueError

    with port(is_open=listens) as number:
        node = {
            "NodeID": "a-node",
            "Alive": alive,
            "NodeManagerAddress": "127.0.0.1",
            "NodeManagerPort": number,
        }
        monkeypatch.setattr(ray, "get_actor", no_actor)
        monkeypatch.setattr(ray, "nodes", lambda: [node])
        assert await crashed("actor@a-node") is is_crash
        assert not await crashed("actor@another")
