#!/usr/bin/env bash
# Trains on this machine, after all set-up: bash launch/local.sh [arguments of headprune train]
# Without --config: configs/concrete.py, the whole job on the built-in corpus, into runs/concrete.
# Relative paths are of the checkout, wherever this is called from.
# On a machine with an NVIDIA GPU: ACCELERATOR=cuda13 bash launch/local.sh ...
set -euo pipefail
defaults=(--config configs/concrete.py --workdir runs/concrete)
for argument in "$@"; do
  case "$argument" in
    --config | --config=*) defaults=() ;;
    --workdir | --workdir=*) [ ${#defaults[@]} -eq 0 ] || defaults=(--config configs/concrete.py) ;;
  esac
done
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"
exec python -m headprune.main ${defaults[@]+"${defaults[@]}"} "$@"
