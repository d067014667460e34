#!/usr/bin/env bash
# Installs what builds the C extensions, in a stage that no image keeps: install_compiler.sh CONSTRAINTS
set -euo pipefail

apt-get update -qq
DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends gcc libc6-dev >/dev/null
python3 -m venv /build/venv
/build/venv/bin/pip install --quiet --constraint "$1" setuptools wheel
