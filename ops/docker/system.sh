#!/usr/bin/env bash
# What the image needs of Debian, and the user that everything runs as.
#   ops/docker/system.sh UID
set -euo pipefail
uid=${1:?the number of the user}
apt-get update
# tini reaps what Ray leaves; KubeRay's probes call wget.
apt-get install -y --no-install-recommends ca-certificates tini wget
rm -rf /var/lib/apt/lists/*
groupadd --gid "$uid" atelier
useradd --uid "$uid" --gid "$uid" --home-dir /var/lib/atelier --create-home \
  --shell /usr/sbin/nologin atelier
# A volume that is mounted there belongs to whom the folder belongs to.
install -d -o atelier -g atelier /tmp/ray
