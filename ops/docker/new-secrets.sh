#!/usr/bin/env bash
# Makes the files in which ops/compose.yaml finds its secrets, with fresh random passwords. Files that
# are there stay as they are.
#   ops/docker/new-secrets.sh HOST FILES_HOST [FOLDER]
# HOST is the service's public name, FILES_HOST that of its files; FOLDER is ops/secrets. With
# ATELIER_GPU=false serve_config.yaml is for a machine without a card.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
host=${1:?the public name, such as atelier.example.com}
files_host=${2:?the public name of the files, such as files.example.com}
folder=${3:-ops/secrets}
mkdir -p "$folder"
# The folder keeps others out. The files are mounted one by one into containers whose users are
# not this one, so their own mode lets them be read.
chmod 700 "$folder"
umask 022

random() { head -c 24 /dev/urandom | od -An -tx1 | tr -d ' \n'; }
# keep NAME: writes what comes in, unless there is such a file.
keep() {
  if [ -e "$folder/$1" ]; then
    cat >/dev/null
  else
    cat >"$folder/$1"
    echo "made $folder/$1"
  fi
}
secret() { tr -d '\n' <"$folder/$1"; }

random | keep postgres_password
random | keep redis_password
random | keep s3_secret_key
random | keep grafana_password

printf 'requirepass %s\nappendonly yes\nmaxmemory-policy noeviction\n' "$(secret redis_password)" |
  keep valkey.conf
keep seaweedfs_s3.json <<END
{"identities": [{"name": "atelier",
  "credentials": [{"accessKey": "atelier", "secretKey": "$(secret s3_secret_key)"}],
  "actions": ["Admin", "Read", "Write", "List", "Tagging"]}]}
END
no_card=""
[ "${ATELIER_GPU:-true}" = true ] || no_card=yes
{
  ./scripts/node new-env | sed \
    -e "s|^DATABASE_URL=.*|DATABASE_URL=postgresql://atelier:$(secret postgres_password)@postgres:5432/atelier|" \
    -e "s|^REDIS_URL=.*|REDIS_URL=redis://:$(secret redis_password)@valkey:6379/0|" \
    -e "s|^S3_ENDPOINT=.*|S3_ENDPOINT=http://seaweedfs:8333|" \
    -e "s|^S3_ACCESS_KEY=.*|S3_ACCESS_KEY=atelier|" \
    -e "s|^S3_SECRET_KEY=.*|S3_SECRET_KEY=$(secret s3_secret_key)|" \
    ${no_card:+-e "s|^ATELIER_PROFILE=.*|ATELIER_PROFILE=tiny|"}
  echo "S3_PUBLIC_ENDPOINT=https://$files_host"
  echo "# nginx is the only one before the service; it is in this network (ops/compose.yaml)."
  echo "TRUSTED_PROXIES=172.30.0.0/24"
  echo "HTTPS_ONLY=1"
} | keep atelier.env

# Nobody starts machines here, so that no GPU beside those that are there may be asked for.
sed -e '/^ *max_gpus:/d' -e "s/gpu: &gpu true/gpu: \&gpu ${ATELIER_GPU:-true}/" serve_config.yaml |
  keep serve_config.yaml
# The container's log is Docker's.
log="s|/var/log/nginx/atelier.log|/dev/stdout|"
sed -e "s|atelier.example.com|$host|" -e "$log" ops/nginx/atelier.conf | keep nginx_atelier.conf
sed -e "s|files.example.com|$files_host|" -e "$log" ops/nginx/atelier_files.conf | keep nginx_files.conf
# In a container the others have names.
if [ -e ops/prometheus/prometheus.yml ]; then
  sed -e 's|127.0.0.1:9093|alertmanager:9093|' -e 's|127.0.0.1:8000|app:8000|' \
    ops/prometheus/prometheus.yml | keep prometheus.yml
fi
# Empty until you write the password of your mail server into it (ops/alertmanager).
keep smtp_password </dev/null
[ -e "$folder/tls.crt" ] || echo "missing: $folder/tls.crt and $folder/tls.key, the certificate of both names"
