#!/usr/bin/env bash
# Package the chart as a version: package_chart.sh VERSION FOLDER
# Its images get the version as their tag. `helm package --version` would leave the subcharts, and so their images' tags,
# at the version that stands in their files.
set -euo pipefail

version=${1:?usage: package_chart.sh VERSION FOLDER} folder=${2:?usage: package_chart.sh VERSION FOLDER}
if ! [[ $version =~ ^(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)(-[0-9A-Za-z.-]+)?$ ]]; then
  echo "package_chart: '$version' is no version; give one such as 1.2.3 or 1.2.3-rc.1" >&2
  exit 2
fi
mkdir -p "$folder"
folder=$(cd "$folder" && pwd)
cd "$(dirname "$0")/.."

copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
cp -r helm/fraud-platform "$copy/"
chart=$copy/fraud-platform
sed -i -E "s/^(version|appVersion): .*/\1: $version/; s/(\{name: [a-z]+, version: )[^,}]+/\1$version/" \
  "$chart/Chart.yaml" "$chart"/charts/*/Chart.yaml

# As the profiles are used: a cluster with Gateway API.
helm lint --strict "$chart"
for profile in local production; do
  helm template fraud "$chart" --values "$chart/values-$profile.yaml" \
    --api-versions gateway.networking.k8s.io/v1/HTTPRoute --api-versions gateway.networking.k8s.io/v1/GRPCRoute >/dev/null
done
helm package "$chart" --destination "$folder"
