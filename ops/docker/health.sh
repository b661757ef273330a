#!/usr/bin/env bash
# Whether an ingress answers. Not /readyz: a store that is down is no reason to start this anew.
set -euo pipefail
exec wget -q -T 4 -O /dev/null "http://127.0.0.1:${ATELIER_PORT:-8000}/healthz"
