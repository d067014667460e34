#!/usr/bin/env bash
# Write constraints.txt: install every extra into a fresh environment and note what came.
set -euo pipefail

python=${1:-python3.11}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"$python" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.13.0
"$folder/venv/bin/pip" install --quiet '.[serve,client,train,dashboard,k8s,dev]'
{
  echo '# Exact versions of everything the commands install. Made by `make lock`.'
  "$folder/venv/bin/pip" freeze --all | grep -v '^fraud-platform==' | sed 's/+cpu$//' | sort -f
} > constraints.txt.new
mv constraints.txt.new constraints.txt
