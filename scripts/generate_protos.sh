#!/usr/bin/env bash
# Generate Python code, with types, from every .proto under bentos/protos.
# Usage: scripts/generate_protos.sh [python] [folder]; the folder is replaced, bentos/protos/_generated unless given.
set -euo pipefail

cd "$(dirname "$0")/.."
python=${1:-.venv/bin/python}
folder=${2:-bentos/protos/_generated}
bin=$(dirname "$("$python" -c 'import sys; print(sys.executable)')")
mapfile -t protos < <(find bentos/protos -name '*.proto' -not -path 'bentos/protos/_generated/*' | LC_ALL=C sort)

rm -rf "$folder"
mkdir -p "$folder"
"$python" -m grpc_tools.protoc --proto_path=bentos/protos \
  --plugin=protoc-gen-mypy="$bin/protoc-gen-mypy" --plugin=protoc-gen-mypy_grpc="$bin/protoc-gen-mypy_grpc" \
  --python_out="$folder" --grpc_python_out="$folder" --mypy_out=quiet:"$folder" --mypy_grpc_out=quiet:"$folder" \
  "${protos[@]}"

# protoc imports modules from the top; here they lie in a package. Files keep their own names, which reflection shows.
find "$folder" \( -name '*.py' -o -name '*.pyi' \) -exec sed -E -i \
  -e 's/^from (([a-z0-9_]+\.)*[a-z0-9_]+) import ([a-z0-9_]+_pb2)( as|$)/from bentos.protos._generated.\1 import \3\4/' \
  -e 's/^import ([a-z0-9_]+_pb2)( as|$)/from bentos.protos._generated import \1\2/' \
  -e 's/^from bentos\.protos\._generated\.google\./from google./' {} +
find "$folder" -type d -exec touch {}/__init__.py \;
