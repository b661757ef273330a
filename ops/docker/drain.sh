#!/usr/bin/env bash
# Kubernetes' preStop of a worker: Ray drains this node, so that its replicas take no more jobs, and
# requeue what they cannot finish. Ends when the time is up, or when the node has ended by itself.
#   ops/docker/drain.sh SECONDS
set -euo pipefail
seconds=${1:?how long the pod may take}
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
# Without a cluster there is nothing to drain, and the pod may go.
timeout 30 python -m scripts.drain_node --seconds "$seconds" || exit 0
sleep "$seconds"
