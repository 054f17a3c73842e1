#!/usr/bin/env bash
# Train on a SLURM cluster: sbatch tools/training/slurm.sh PAIRS -o RUN [options of `previsage train controlnet`]
# One task per graphics card. Three minutes before its time is up, or when it is preempted, every task is told (USR1),
# keeps its state and ends; the job is queued again until the result is there.
#SBATCH --job-name=previsage-controlnet
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=4
#SBATCH --gpus-per-task=1
#SBATCH --cpus-per-task=4
#SBATCH --time=08:00:00
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --signal=USR1@180
set -uo pipefail

run=
given=("$@")
for number in "${!given[@]}"; do
    case ${given[$number]} in -o | --output) run=${given[$((number + 1))]:-} ;; esac
done
[ -n "$run" ] || { echo "Name the folder of the run: -o RUN" >&2; exit 2; }

export MASTER_ADDR=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
export MASTER_PORT=$((20000 + SLURM_JOB_ID % 20000))
srun --kill-on-bad-exit=1 bash -c \
    'RANK=$SLURM_PROCID LOCAL_RANK=0 WORLD_SIZE=$SLURM_NTASKS exec previsage train controlnet "$@"' previsage "$@"
code=$?
if [ $code -eq 0 ] && [ ! -f "$run/controlnet/config.json" ]; then
    scontrol requeue "$SLURM_JOB_ID"
fi
exit $code
