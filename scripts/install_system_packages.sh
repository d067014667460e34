#!/usr/bin/env bash
# Install the Debian packages that a target needs, if they are not there.
#   build   a C compiler, for the TreeSHAP kernel
#   test    what the tests start or look at besides
#   bench   what the benchmarks measure with
set -euo pipefail

declare -A commands=([gcc]=gcc [wrk]=wrk [redis-server]=redis-server [postgres]=postgresql [rabbitmq-server]=rabbitmq-server [chromium]=chromium [prometheus]=prometheus [promtool]=prometheus [prometheus-alertmanager]=prometheus-alertmanager [caddy]=caddy [shellcheck]=shellcheck [docker-registry]=docker-registry)
# Debian keeps the programs of PostgreSQL out of the way.
for folder in /usr/lib/postgresql/*/bin; do PATH=$PATH:$folder; done
target=${1:?usage: install_system_packages.sh build|test|bench}
case $target in
  build) needed=(gcc) ;;
  test) needed=(gcc redis-server postgres rabbitmq-server chromium prometheus promtool prometheus-alertmanager caddy shellcheck docker-registry) ;;
  bench) needed=(gcc wrk redis-server postgres) ;;
  *) echo "unknown target '$target'; allowed: build, test, bench" >&2; exit 2 ;;
esac

missing=()
for command in "${needed[@]}"; do
  command -v "$command" >/dev/null || missing+=("${commands[$command]}")
done
[ ${#missing[@]} -eq 0 ] && exit 0

if ! command -v apt-get >/dev/null; then
  echo "missing: ${missing[*]}; install them with this system's package manager" >&2
  exit 1
fi
run=()
[ "$(id -u)" -eq 0 ] || run=(sudo)
# The tests start their own servers; the ones that the packages would start are not wanted.
export RUNLEVEL=1
"${run[@]}" apt-get update -qq
"${run[@]}" apt-get install -qq -y --no-install-recommends "${missing[@]}" libc6-dev
