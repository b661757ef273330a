#!/usr/bin/env bash
# The packages of a node, into .venv: what `./scripts/node setup` installs, before the code is there.
#   ops/docker/install.sh cuda|cpu
#   ops/docker/install.sh cpu --dry-run    says what it would install
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
kind=${1:?cuda or cpu}
case "$kind" in
  cuda) torch="" ;;
  cpu) torch=cpu ;;
  *)
    echo "error: cuda or cpu, not $kind" >&2
    exit 2
    ;;
esac
extras="$(sed -n 's/^EXTRAS=//p' scripts/node)"
# An editable installation needs the folders, and not what is in them.
mkdir -p serve_app deployments models billing db atelier_client
export PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
[ "${2:-}" != --dry-run ] || export PIP_DRY_RUN=1
source scripts/lib/setup.sh
setup_environment "$extras" "$torch"
