"""Tells Ray that the cloud takes this machine away: ``python -m scripts.spot_notice ec2``.

Asks the metadata service until there is a notice, then drains this machine's Ray node with the time
that is left: replicas take no more jobs and hand back what they cannot finish. On a machine that is
never taken away it waits for good.
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
GCP_NOTICE_S = 30.0  # it gives no time, and this long
TOKEN_TTL_S = 60


def ec2(http: httpx.Client) -> float | None:
    """Seconds until EC2 takes the machine, None while it does not want it.

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
    """The same for Google's."""
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
    """The seconds left, once there is a notice. ``metadata`` is the service's address."""
    address, ask = CLOUDS[cloud]
    with httpx.Client(base_url=metadata or address, timeout=2.0) as http:
        while True:
            try:
                left = ask(http)
            except (httpx.HTTPError, ValueError, KeyError):
                left = None
            if left is not None:
                return left
            time.sleep(every_s)


def this_node(address: str = "auto") -> tuple[str, str]:
    """The id of this machine's Ray node, and its cluster's address.

    ``auto`` is the cluster that the machine belongs to. Where it runs several, say which.
    """
    import ray

    ray.init(address=address, log_to_driver=False)
    try:
        context = ray.get_runtime_context()
        return context.get_node_id(), context.gcs_address
    finally:
        ray.shutdown()


def drain(node: str, address: str, seconds: float) -> None:
    """Raises subprocess.CalledProcessError: Ray did not take it."""
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
    left = wait_for_notice(options.cloud, options.metadata)
    noticed = time.monotonic()
    node, address = (
        (options.node_id, options.address) if options.node_id else this_node(options.address)
    )
    drain(node, address, max(0.0, left - (time.monotonic() - noticed)))


if __name__ == "__main__":
    main()
