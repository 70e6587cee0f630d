#!/usr/bin/env bash
# On every worker of a TPU VM (gcloud compute tpus tpu-vm ssh NAME --worker=all --command=...):
#   bash launch/tpu_vm.sh --config configs/concrete.py:base --workdir NFS-FOLDER/x
# The workdir lies on a file system that all workers see.
set -euo pipefail
ACCELERATOR=${ACCELERATOR:-tpu} source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"
exec python -m headprune.main --distributed "$@"
