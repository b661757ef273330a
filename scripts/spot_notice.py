"""Drain this Ray node when the cloud reclaims its machine: ``python -m scripts.spot_notice ec2``.

It polls the metadata service until there is a notice, then drains the Ray node within the time that
remains: replicas take no more jobs and requeue those that they cannot finish. On a machine that is
never reclaimed it waits forever.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import httpx

POLL_INTERVAL_S = 2.0
GCP_NOTICE_S = 30.0  # Google's notice has no time; the machine has this long
TOKEN_TTL_S = 60


def ec2(http: httpx.Client) -> float | None:
    """Return the seconds until EC2 reclaims the machine, None without a notice.

    Raises:
        httpx.HTTPError: the metadata service does not answer as it should.
    """
    lives = {"X-aws-ec2-metadata-token-ttl-seconds": str(TOKEN_TTL_S)}
    token = http.put("/latest/api/token", headers=lives).raise_for_status().text
    answer = http.get(
        "/latest/meta-data/spot/instance-action", headers={"X-aws-ec2-metadata-token": token}
    )
    if answer.status_code == 404:
        return None
    at = datetime.fromisoformat(answer.raise_for_status().json()["time"])
    return max(0.0, (at - datetime.now(UTC)).total_seconds())


def gcp(http: httpx.Client) -> float | None:
    """Return the seconds until Google Cloud reclaims the machine, None without a notice."""
    answer = http.get(
        "/computeMetadata/v1/instance/preempted", headers={"Metadata-Flavor": "Google"}
    )
    return GCP_NOTICE_S if answer.raise_for_status().text.strip() == "TRUE" else None


CLOUDS: dict[str, tuple[str, Callable[[httpx.Client], float | None]]] = {
    "ec2": ("http://169.254.169.254", ec2),
    "gcp": ("http://metadata.google.internal", gcp),
}


def wait_for_notice(
    cloud: str, metadata: str | None = None, every_s: float = POLL_INTERVAL_S
) -> float:
    """Wait for a notice; returns the remaining seconds. ``metadata`` is the service's address."""
    address, ask = CLOUDS[cloud]
    with httpx.Client(base_url=metadata or address, timeout=2.0) as http:
        while True:
            try:
                remaining_s = ask(http)
            except (httpx.HTTPError, ValueError, KeyError):
                remaining_s = None
            if remaining_s is not None:
                return remaining_s
            time.sleep(every_s)


def this_node(address: str = "auto") -> tuple[str, str]:
    """Return the id of this machine's Ray node, and the address of its cluster.

    ``auto`` is the cluster of this machine. If it runs several, name the address.
    """
    import ray

    ray.init(address=address, log_to_driver=False)
    try:
        context = ray.get_runtime_context()
        return context.get_node_id(), context.gcs_address
    finally:
        ray.shutdown()


def drain(node: str, address: str, seconds: float) -> None:
    """Drain the node; raises subprocess.CalledProcessError if Ray refuses."""
    subprocess.run(
        [
            str(Path(sys.executable).parent / "ray"),
            "drain-node",
            f"--address={address}",
            f"--node-id={node}",
            "--reason=DRAIN_NODE_REASON_PREEMPTION",
            "--reason-message=the cloud takes the machine away",
            f"--deadline-remaining-seconds={int(seconds)}",
        ],
        check=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="Drain this Ray node at the cloud's notice.")
    parser.add_argument("cloud", choices=sorted(CLOUDS))
    parser.add_argument("--metadata", help="address of the metadata service, if not the cloud's")
    parser.add_argument("--node-id", help="with --address: another node than this machine's")
    parser.add_argument("--address", default="auto", help="of the cluster's GCS, host:port")
    options = parser.parse_args()
    remaining_s = wait_for_notice(options.cloud, options.metadata)
    noticed = time.monotonic()
    node, address = (
        (options.node_id, options.address) if options.node_id else this_node(options.address)
    )
    drain(node, address, max(0.0, remaining_s - (time.monotonic() - noticed)))


if __name__ == "__main__":
    main()
