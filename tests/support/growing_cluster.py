"""A Ray whose own autoscaler starts and ends nodes, all of them on this machine.

``ray.cluster_utils.AutoscalingCluster`` does the same, but ends every other Ray of the machine
first, and reads an example file that Ray's wheel does not have.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from ray._private.services import get_node_ip_address
from ray.autoscaler._private.fake_multi_node.node_provider import (
    FAKE_HEAD_NODE_ID,
    FAKE_HEAD_NODE_TYPE,
)

from db.embedded.state import free_port
from scripts.dev.cluster import OBJECT_STORE_BYTES, ROOT, agent_ports

HEAD_CPUS = 2
NODE_CPUS = 1
IDLE_S = 4.0  # after which Ray ends a node


def node_types(most: Mapping[str, int]) -> dict[str, Any]:
    """The groups of ``cluster.yaml``, with at most so many nodes each, and none to begin with."""
    described = yaml.safe_load((ROOT / "cluster.yaml").read_text())["available_node_types"]
    resources = {"CPU": HEAD_CPUS, "GPU": 0}
    types: dict[str, Any] = {FAKE_HEAD_NODE_TYPE: {"resources": resources, "max_workers": 0}}
    for name, count in most.items():
        resources = described[name]["resources"] | {"CPU": NODE_CPUS, "object_store_memory": 2**27}
        resources[name] = 1  # so that a node says whose it is
        types[name] = described[name] | {
            "resources": resources,
            "min_workers": 0,
            "max_workers": count,
        }
    return {name: {**one, "node_config": {}} for name, one in types.items()}


def start_ray(folder: Path, types: Mapping[str, Any]) -> str:
    """Start the head with Ray's autoscaler over these node types; returns the GCS' address.

    Its processes have ``RAY_TMPDIR`` (``folder``) in their environment, and so do its nodes'.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    port = free_port()
    # This machine's own address: `ray start` takes that of loopback for it, too.
    address = f"{get_node_ip_address()}:{port}"
    config = folder / "autoscaling.json"
    config.write_text(json.dumps(_autoscaling_config(types, address)))
    command = [str(Path(sys.executable).parent / "ray"), "start", "--head", f"--port={port}"]
    command += [f"--num-cpus={HEAD_CPUS}", "--num-gpus=0"]
    command += [f"--object-store-memory={OBJECT_STORE_BYTES}", f"--autoscaling-config={config}"]
    command += ["--include-dashboard=false", f"--ray-client-server-port={free_port()}"]
    command += node_options()
    environment = {
        "AUTOSCALER_UPDATE_INTERVAL_S": "1",
        # As `ray up` sets it: version 2 is its default.
        "RAY_enable_autoscaler_v2": "1",
        "RAY_CLOUD_INSTANCE_ID": FAKE_HEAD_NODE_ID,
        "RAY_NODE_TYPE_NAME": FAKE_HEAD_NODE_TYPE,
        "RAY_FAKE_CLUSTER": "1",
    }
    environment = {**os.environ, **environment}
    started = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert started.returncode == 0, started.stdout + started.stderr
    return address


def node_options() -> list[str]:
    """Of a node, for ``ray start``: ports, since several nodes and Rays are on this machine; and no
    log monitor, which would send each line of every log to drivers that do not want it."""
    ports = {name.replace("_", "-"): port for name, port in agent_ports().items()}
    ports["dashboard-agent-grpc-port"] = ports.pop("metrics-agent-port")
    # Any that the system has: Ray's usual range has those of its agents in it, which it refuses.
    ports |= {"min-worker-port": 0, "max-worker-port": 0}
    options = [f"--{name}={port}" for name, port in ports.items()]
    return [*options, "--include-log-monitor=false"]


def _autoscaling_config(types: Mapping[str, Any], address: str) -> dict[str, Any]:
    return {
        # Nothing is copied and no command is run; Ray wants the fields all the same.
        "auth": {},
        "docker": {},
        "file_mounts": {},
        "cluster_synced_files": [],
        "initialization_commands": [],
        "setup_commands": [],
        "head_setup_commands": [],
        "worker_setup_commands": [],
        "head_start_ray_commands": [],
        "worker_start_ray_commands": [],
        "cluster_name": "fake",
        "provider": {
            # "fake_multinode" is the same, with defaults that the wheel does not have.
            "type": "external",
            "module": "ray.autoscaler._private.fake_multi_node.node_provider.FakeMultiNodeProvider",
            "gcs_address": address,
            "head_node_id": FAKE_HEAD_NODE_ID,
            "launch_multiple": True,
            "use_node_id_as_ip": True,
            "disable_node_updaters": True,
            "disable_launch_config_check": True,
        },
        "available_node_types": types,
        "head_node_type": FAKE_HEAD_NODE_TYPE,
        "max_workers": sum(one["max_workers"] for one in types.values()),
        "upscaling_speed": 1.0,
        "idle_timeout_minutes": IDLE_S / 60,
    }
