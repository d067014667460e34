#!/usr/bin/env bash
# Bring a release to a version of the chart and test it: deploy.sh CHART VERSION < values of the environment
# CHART is a folder, a file or an oci:// address. NAMESPACE (fraud), RELEASE (fraud) and TIMEOUT (10m) may be set; the
# cluster is KUBECONFIG's. What does not get ready, or fails `helm test`, is rolled back, and the exit code is 1.
set -euo pipefail

chart=${1:?usage: deploy.sh CHART VERSION} version=${2:?usage: deploy.sh CHART VERSION}
release=${RELEASE:-fraud} timeout=${TIMEOUT:-10m}
at=(--namespace "${NAMESPACE:-fraud}")
profile=$(dirname "$0")/../helm/fraud-platform/values-production.yaml

# What a failed test goes back to; empty when nothing is installed, or nothing that works.
before=$(helm get metadata "$release" "${at[@]}" --output yaml 2>/dev/null || true)
if grep -q '^status: deployed$' <<< "$before"; then before=$(sed -n 's/^revision: //p' <<< "$before"); else before=''; fi

helm upgrade --install "$release" "$chart" --version "$version" "${at[@]}" --values "$profile" --values - \
  --rollback-on-failure --wait --timeout "$timeout" --history-max 20
if helm test "$release" "${at[@]}" --logs --timeout "$timeout"; then
  echo "deploy: $release is at $version"
  exit
fi
if [ -z "$before" ]; then
  echo "deploy: $version fails its test, and nothing worked before that it could go back to: it stays, to be looked at" >&2
  exit 1
fi
echo "deploy: $version fails its test; back to revision $before" >&2
helm rollback "$release" "$before" "${at[@]}" --wait --timeout "$timeout"
exit 1
