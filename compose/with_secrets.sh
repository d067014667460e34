#!/bin/sh
# Runs a command with its container's secrets as variables: /run/secrets/FRAUD_REDIS_URL becomes FRAUD_REDIS_URL.
set -eu
for file in "${SECRETS:-/run/secrets}"/*; do
  export "${file##*/}=$(cat "$file")"
done
exec "$@"
