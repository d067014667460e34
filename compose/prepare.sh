#!/usr/bin/env bash
# Make what compose.yaml needs: prepare.sh [--key NAME ROLE...]
#   without arguments   .env and secrets/: passwords, API keys, the users of dashboard and MLflow. What is there stays.
#   --key NAME ROLE...  an API key for a caller; a running server knows it after two seconds
# FRAUD_PSEUDONYM_KEY is taken from the environment, the one that the model's history was made with; empty is none.
# FRAUD_USER (analyst) is the name for dashboard and MLflow. PYTHON is one with this product; COMPOSE_ENGINE docker or
# podman, for the proxy's program when it is not installed.
set -euo pipefail
folder=$(cd "$(dirname "$0")" && pwd)
python=${PYTHON:-$folder/../.venv/bin/python}
umask 077

fail() { echo "prepare: $*" >&2; exit 1; }

"$python" -c 'import bentos.fraud.access.keys' 2>/dev/null ||
  fail "$python lacks this product; run \`make images\` first, or set PYTHON"

key() { # name, roles
  local name=$1 roles=() role
  shift
  for role in "$@"; do roles+=(--role "$role"); done
  "$python" -m bentos.fraud keys create --name "$name" "${roles[@]}" --file "$secrets/keys/keys.json"
}

open() { # What containers read as another user. Nobody on this machine gets past the folder.
  chmod 0700 "$secrets"
  chmod 0755 "$secrets/keys"
  find "$secrets" -type f -exec chmod 0644 {} +
}

hash_password() { # on standard input
  if command -v caddy >/dev/null; then caddy hash-password; return; fi
  local engine=${COMPOSE_ENGINE:-}
  [ -n "$engine" ] || for engine in docker podman; do command -v "$engine" >/dev/null && break; done
  "$engine" run --rm --interactive --network none --entrypoint caddy \
    "$(sed -n 's/^CADDY_IMAGE=//p' "$folder/.env")" hash-password
}

secrets=$folder/secrets
if [ "${1:-}" = --key ]; then
  [ $# -ge 3 ] || fail "--key needs a name and roles: score, feedback, admin"
  [ -f "$secrets/keys/keys.json" ] || fail "there are no keys yet; run it without arguments first"
  key "${@:2}"
  open
  exit
fi
[ $# -eq 0 ] || fail "unknown argument '$1'; allowed: --key NAME ROLE..."

[ -f "$folder/.env" ] || { cp "$folder/.env.example" "$folder/.env"; chmod 0644 "$folder/.env"; }
if [ -d "$secrets" ]; then
  echo "prepare: $secrets is there and stays as it is; remove it to make it anew, together with the data it opens"
  exit
fi

# Made whole or not at all.
secrets=$(mktemp -d "$folder/.secrets.XXXXXX")
trap 'rm -rf "$secrets"' EXIT
mkdir "$secrets/keys"
random() { "$python" -c 'import secrets; print(secrets.token_hex(24), end="")'; }
put() { printf %s "$2" > "$secrets/$1"; } # name, text

# Each in a line of its own, so that one that fails ends this.
redis=$(random)
postgresql=$(random)
person=$(random)
hashed=$(hash_password <<< "$person")
dashboard=$(key dashboard score feedback)
shop=$(key shop score)
put REDIS_PASSWORD "$redis"
put POSTGRESQL_PASSWORD "$postgresql"
put FRAUD_REDIS_URL "redis://:$redis@redis:6379/0"
put FRAUD_QUEUE_URL "redis://:$redis@redis:6379/1"
put FRAUD_RECORDS_URL "postgresql+psycopg://fraud:$postgresql@postgresql:5432/fraud"
put MLFLOW_BACKEND_STORE_URI "postgresql+psycopg://fraud:$postgresql@postgresql:5432/mlflow"
put FRAUD_PSEUDONYM_KEY "${FRAUD_PSEUDONYM_KEY:-}"
put FRAUD_DASHBOARD_SERVICE_KEY "$dashboard"
put PROXY_USERS "${FRAUD_USER:-analyst} $hashed"
open
mv "$secrets" "$folder/secrets"
trap - EXIT

cat <<END
prepare: wrote $folder/.env and $folder/secrets
  key of a caller (role score), shown this once:   $shop
  dashboard and MLflow, user and password:         ${FRAUD_USER:-analyst}  $person
END
