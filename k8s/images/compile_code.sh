#!/usr/bin/env bash
# Gives code of our own the rights and the byte code it has in an image: compile_code.sh FOLDER...
set -euo pipefail

find "$@" -type d -name __pycache__ -prune -exec rm -rf {} +
chmod -R u=rwX,go=rX "$@"
PYTHONHASHSEED=0 python3 -m compileall -qf --invalidation-mode unchecked-hash "$@"
