"""What cluster.yaml has its nodes run, with serve_config.yaml: from empty stores to a result.

Not here: the installation of packages, which takes longer than all tests, and copying files.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from ray._private.services import get_node_ip_address

from scripts.dev import cluster
from scripts.dev.environment import PATIENCE, ray_environment
from scripts.dev.ports import PortClaims
from tests.support.application import (
    SECRET,
    Application,
    listening_ports,
    own_stores,
    replica_pids,
    submit,
    wait,
)
from tests.support.growing_cluster import node_options
from tests.support.rays import Rays
from tests.support.waiting import eventually

pytestmark = pytest.mark.timeout(1800)

HOME = "cd /home/ubuntu/atelier && "
UP_S = 800.0  # a manager and six replicas start on a busy machine
WORKER_ADDRESS = "127.0.0.2"  # so that the nodes have addresses of their own


@dataclass(frozen=True)
class Nodes:
    """Two nodes whose settings are in ``file``."""

    folder: Path
    file: Path
    ports: Mapping[str, int]

    def run(self, command: str) -> None:
        """Run a command of cluster.yaml, in the repository and with this machine's variables."""
        environment = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        environment |= {"RAY_TMPDIR": str(self.folder), "ATELIER_ENV_FILE": str(self.file)}
        environment |= {"RAY_HEAD_IP": get_node_ip_address()}
        ended = subprocess.run(
            ["bash", "-c", command],
            cwd=cluster.ROOT,
            env=environment,
            capture_output=True,
            text=True,
            timeout=UP_S,
        )
        assert ended.returncode == 0, f"{command}\n{ended.stdout}\n{ended.stderr}"


def small() -> str:
    """Options of one of two nodes on this machine, beside other Rays."""
    return " ".join([f"--object-store-memory={cluster.OBJECT_STORE_BYTES}", *node_options()])


def commands(kind: str) -> list[str]:
    """What nodes of this kind run to start, without ``ray stop``, which ends every Ray there is."""
    described = yaml.safe_load((cluster.ROOT / "cluster.yaml").read_text())
    first, *rest = described[f"{kind}_start_ray_commands"]
    assert first == f"{HOME}.venv/bin/ray stop"
    return [command.removeprefix(HOME) for command in rest]


@pytest.fixture(scope="module")
def nodes(rays: Rays, store_environment: dict[str, str]) -> Iterator[Nodes]:
    rays.stop()
    folder = Path(tempfile.mkdtemp(prefix="atl-ray-", dir="/tmp"))
    claims = PortClaims()
    ports = {name: claims.free_port() for name in ("gcs", "dashboard", "client", "api")}
    # But for what ./scripts/node sets itself.
    apart = {k: v for k, v in ray_environment(folder, claims).items() if k not in PATIENCE}
    settings = own_stores(store_environment) | apart
    settings |= {"JWT_SECRET": SECRET, "RAY_AUTH_TOKEN": "a token " * 8, "ATELIER_PROFILE": "tiny"}
    settings |= {"RAY_DASHBOARD_ADDRESS": f"http://127.0.0.1:{ports['dashboard']}"}
    settings |= {"HF_HUB_OFFLINE": "1", "RAY_worker_niceness": "0"}
    file = folder / "atelier.env"
    file.write_text("".join(f"{name}='{value}'\n" for name, value in settings.items()))
    try:
        yield Nodes(folder, file, ports)
    finally:
        cluster.sweep_leftovers(folder)
        claims.release()
        shutil.rmtree(folder, ignore_errors=True)


def config_file(nodes: Nodes) -> Path:
    """serve_config.yaml with another port, one of each at any time, and less of the CPUs.

    The ingress is on the node without the proxy.
    """
    config: dict[str, Any] = yaml.safe_load((cluster.ROOT / "serve_config.yaml").read_text())
    config["http_options"]["port"] = nodes.ports["api"]
    (application,) = config["applications"]
    told = application["autoscaling_policy"]["policy_kwargs"]
    told |= {"max_gpus": None, "replica_cpus": 0.2}
    application["args"] |= {
        "min_managers": 1,
        "min_replicas": 1,
        "replica_cpus": 0.2,
        "service_resources": {"elsewhere": 0.001},
    }
    path = nodes.folder / "serve_config.yaml"
    path.write_text(yaml.safe_dump(config))
    return path


def test_a_cluster_comes_up_from_nothing_and_all_its_generators_load(nodes: Nodes) -> None:
    start_head, deploy = commands("head")
    join, watch_spot = commands("worker")
    start_head = start_head.replace("--autoscaling-config=~/ray_bootstrap_config.yaml", "")
    ports = f"--port={nodes.ports['gcs']} --dashboard-port={nodes.ports['dashboard']}"
    ports += f" --ray-client-server-port={nodes.ports['client']}"
    nodes.run(f"{start_head} {ports} --num-cpus=2 --num-gpus=0 {small()}")
    join = join.replace(":6379", f":{nodes.ports['gcs']}")
    resources = "--num-cpus=2 --num-gpus=1 --resources='{\"elsewhere\": 1}'"
    nodes.run(f"{join} --node-ip-address={WORKER_ADDRESS} {resources} {small()}")
    assert "./scripts/node watch-spot ec2" in watch_spot
    nodes.run(f"{deploy} {config_file(nodes)}")

    url = f"http://127.0.0.1:{nodes.ports['api']}"
    eventually(lambda: answers(url), UP_S)
    application = Application(url, {})
    with application.person() as client:
        eventually(lambda: all_load(client), UP_S)
        job = wait(client, submit(client, "image", prompt="a red circle"), seconds=UP_S)
        assert job["status"] == "succeeded"


def test_without_the_token_nobody_may_run_anything(nodes: Nodes) -> None:
    address = f"http://127.0.0.1:{nodes.ports['dashboard']}/api/jobs/"
    assert httpx.post(address, json={"entrypoint": "true"}).status_code in (401, 403)


def test_the_proxy_reaches_an_ingress_on_another_node_without_a_detour(
    nodes: Nodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where it does not, calls go through a slow proxy of Serve's, and answers look the same."""
    monkeypatch.setenv("RAY_TMPDIR", str(nodes.folder))
    ports = [port for pid in replica_pids("ingress") for port in listening_ports(pid)]
    urls = [f"http://{WORKER_ADDRESS}:{port}" for port in ports]
    eventually(lambda: any(answers(url, "/healthz") for url in urls))


def answers(url: str, path: str = "/readyz") -> bool:
    try:
        return httpx.get(f"{url}{path}", timeout=5).status_code == 200
    except httpx.HTTPError:
        return False


def all_load(client: httpx.Client) -> bool:
    answer = client.get("/v1/generators")
    if answer.status_code != 200:
        return False
    generators = answer.json()["data"]
    return len(generators) == 6 and all(one["replicas"] for one in generators)
