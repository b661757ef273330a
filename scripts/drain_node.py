"""Drain this machine's Ray node: ``python -m scripts.drain_node --seconds 90``.

Its replicas take no more jobs, finish those that they can within that time, and requeue the others.
Ends as soon as Ray has accepted it. Kubernetes calls it before it ends a pod (ops/docker/drain.sh).
"""

from __future__ import annotations

import argparse

from scripts.spot_notice import drain, this_node


def main() -> None:
    parser = argparse.ArgumentParser(description="Drain this machine's Ray node.")
    parser.add_argument("--seconds", type=float, required=True, help="what remains until it ends")
    options = parser.parse_args()
    node, address = this_node()
    drain(node, address, options.seconds)


if __name__ == "__main__":
    main()
