#!/usr/bin/env bash
# Checks style and runs all tests on the CPU, after all set-up: bash launch/test.sh [pytest's arguments]
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"
ruff check .
ruff format --check .
exec python -m pytest --numprocesses=auto --dist=loadfile "$@"
