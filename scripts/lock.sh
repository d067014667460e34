#!/usr/bin/env bash
# Write constraints.txt and constraints-feast.txt: install the extras into fresh environments and note what came.
# Feast wants older versions of some packages; of all others its environment gets those of constraints.txt.
set -euo pipefail

python=${1:-python3.11}
which=${2:-all} # or feast: that file alone
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

note() { # title, environment, file
  {
    echo "# $1 Made by \`make lock\`."
    "$2/bin/pip" freeze --all | grep -vE '^(fraud-platform|pip==)' | sed 's/+cpu$//' | sort -f
  } > "$3.new"
  mv "$3.new" "$3"
}

if [ "$which" = all ]; then
  "$python" -m venv "$folder/venv"
  "$folder/venv/bin/pip" install --quiet torch==2.13.0
  "$folder/venv/bin/pip" install --quiet '.[serve,client,train,dashboard,k8s,dev]'
  note 'Exact versions of everything the commands install.' "$folder/venv" constraints.txt
fi

grep -viE '^(pandas|prometheus_client|redis|torch)==' constraints.txt > "$folder/kept.txt"
"$python" -m venv "$folder/feast"
"$folder/feast/bin/pip" install --quiet --constraint "$folder/kept.txt" pip setuptools wheel
"$folder/feast/bin/pip" install --quiet --constraint "$folder/kept.txt" '.[serve,client,feast,feast-test]'
note 'Exact versions of the service with Feast.' "$folder/feast" constraints-feast.txt
