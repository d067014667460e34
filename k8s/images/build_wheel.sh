#!/usr/bin/env bash
# Builds the wheel of the repository in this folder, C extensions included, and unpacks it: build_wheel.sh FOLDER
set -euo pipefail

# Without debugging information, which names the folder of the build.
CFLAGS=-g0 LDFLAGS=-s /build/venv/bin/pip wheel --quiet --no-deps --no-build-isolation --wheel-dir /build/wheel .
mkdir -p "$1"
python3 -m zipfile -e /build/wheel/*.whl "$1"
find "$1" -type f \( -name '*.c' -o -name '*.h' -o -name '*.pyi' \) -delete
