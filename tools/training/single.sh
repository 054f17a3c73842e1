#!/usr/bin/env bash
# Train on all graphics cards of this machine: tools/training/single.sh PAIRS -o RUN [options of `previsage train controlnet`]
# A stopped run goes on when the same line is typed again.
set -euo pipefail
cards=${CARDS:-$(nvidia-smi --list-gpus 2>/dev/null | wc -l)}
exec python -m torch.distributed.run --standalone --nproc-per-node "$(( cards > 0 ? cards : 1 ))" \
    -m viewer.cli train controlnet "$@"
