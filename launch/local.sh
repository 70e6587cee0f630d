#!/usr/bin/env bash
# Trains on this machine, after all set-up: bash launch/local.sh [arguments of headprune.main]
# Without --config: configs/concrete.py, the whole job on the built-in corpus, into runs/concrete.
set -euo pipefail
config=configs/concrete.py workdir=runs/concrete
for argument in "$@"; do
  case "$argument" in
    --config | --config=*) config= ;;
    --workdir | --workdir=*) workdir= ;;
  esac
done
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"
exec python -m headprune.main ${config:+--config "$config"} ${workdir:+--workdir "$workdir"} "$@"
