#!/usr/bin/env bash
# One machine: Ray's head and the service on it, until the container is stopped. Settings are read
# from /etc/atelier.env, as on every node.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

# Running jobs are finished, as far as the container's time to stop reaches
# (stop_grace_period); what is cut off is done again by the next start.
stop() {
  trap - TERM INT
  timeout "${ATELIER_STOP_S:-240}" ./scripts/node exec serve shutdown --yes || true
  ./scripts/node exec ray stop --grace-period 20
  exit 0
}
trap stop TERM INT

# Redis may be on this machine too, at its own port 6379, which is the one of other heads. Prometheus
# finds the metrics of every process at 8080. Results pass through Ray's store of objects on their way
# to the bucket; by default it takes 30 % of the memory, and the disk where /dev/shm is smaller.
./scripts/node head --port=6378 --block --metrics-export-port=8080 --object-store-memory=1000000000 "$@" &
head=$!
./scripts/node deploy "${ATELIER_SERVE_CONFIG:-serve_config.yaml}" &
deploy=$!
if ! wait -n -p ended "$head" "$deploy" || [ "$ended" = "$head" ]; then
  echo "error: $([ "$ended" = "$head" ] && echo "Ray's head has ended" || echo "the service could not be deployed") (see above)" >&2
  kill "$deploy" 2>/dev/null || true
  ./scripts/node exec ray stop
  exit 1
fi
# A head that ends takes the container with it, and the runtime starts it anew.
wait "$head"
