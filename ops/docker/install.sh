#!/usr/bin/env bash
# The packages of a node, into .venv: what `./scripts/node setup` installs, before the code is there.
#   ops/docker/install.sh cuda|cpu
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
kind=${1:?cuda or cpu}
case "$kind" in
  cuda) build="" ;;
  cpu) build=cpu ;;
  *)
    echo "error: cuda or cpu, not $kind" >&2
    exit 2
    ;;
esac
extras="$(sed -n 's/^EXTRAS=//p' scripts/node)"
# An editable installation notes where the packages are, of those in which it finds a file: an empty
# one does, until the code is there.
for package in atelier_admin serve_app deployments models billing db metrics atelier_client; do
  mkdir -p "$package"
  [ -e "$package/__init__.py" ] || touch "$package/__init__.py"
done
export PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
source scripts/lib/setup.sh
setup_environment "$extras" "$build"
