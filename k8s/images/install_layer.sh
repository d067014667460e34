#!/usr/bin/env bash
# Installs packages into /opt/venv and puts what came into a layer's folder: install_layer.sh LAYER PIP-ARGUMENTS...
# A layer holds only what those before it lack, so that images share them. The same requirements give the same bytes:
# no caches, and byte code that names no time (compiled here, because the root of a running image is read-only).
set -euo pipefail

layer=/layers/$1
shift
venv=/opt/venv
# What runs here must not leave byte code of its own, which names times.
export PYTHONDONTWRITEBYTECODE=1
[ -d "$venv" ] || python3 -m venv --without-pip "$venv"
site=$(echo "$venv"/lib/python3*/site-packages)
mkdir -p "$layer"

before=$(mktemp) after=$(mktemp)
find /layers -mindepth 2 ! -type d -printf '/%P\n' | sed 's|^/[^/]*||' | sort > "$before"
pip --python "$venv/bin/python" install --quiet --no-compile --root-user-action ignore "$@"
pip --python "$venv/bin/python" check

# For those who build on a package or test it, and libraries that nothing here loads.
find "$site" -depth -type d \( -name tests -o -name test \) -exec rm -rf {} +
find "$site" -type f \( -name '*.a' -o -name '*.h' -o -name '*.hpp' -o -name '*.pxd' -o -name '*.pxi' -o -name '*.pyx' -o -name '*.cmake' \) -delete
rm -rf "$site"/pyarrow/src "$site"/pyarrow/*flight* "$site"/onnxruntime/capi/libonnxruntime.so*
[ ! -d "$site/pyarrow" ] || "$venv/bin/python" -c 'import pyarrow.csv, pyarrow.dataset, pyarrow.fs, pyarrow.json, pyarrow.parquet'
[ ! -d "$site/onnxruntime" ] || "$venv/bin/python" -c 'import onnxruntime'

# One process for each package: byte code depends on what the process compiled before. Some carry files that only other
# versions of Python can read, which xargs reports as 123.
find "$site" -mindepth 1 -maxdepth 1 ! -name '*.dist-info' ! -name __pycache__ -print0 | sort -z \
  | PYTHONHASHSEED=0 xargs -0 -n 1 -P "$(nproc)" python3 -m compileall -qf --invalidation-mode unchecked-hash \
  || [ $? -eq 123 ]

find "$venv" ! -type d | sort > "$after"
if gone=$(comm -23 "$before" "$after" | grep .); then
  echo "an earlier layer has other versions of: $(head -5 <<< "$gone")" >&2
  exit 1
fi
comm -13 "$before" "$after" | sed "s|^/||" | tar --directory / --create --files-from - | tar --extract --directory "$layer"
rm "$before" "$after"
