#!/usr/bin/env bash
# Make pairs on a SLURM cluster with Dask: sbatch tools/training/pairs.sh -o PAIRS --count 50000
# The first task is the scheduler, the others are workers; the folder must be one that all nodes see.
#SBATCH --job-name=previsage-pairs
#SBATCH --ntasks=65
#SBATCH --cpus-per-task=1
#SBATCH --mem-per-cpu=3G
#SBATCH --time=04:00:00
set -euo pipefail
place=$(mktemp -d "$PWD/.dask-XXXXXX")
trap 'rm -rf "$place"' EXIT
srun --ntasks=1 --exact dask scheduler --port 0 --no-dashboard --scheduler-file "$place/scheduler.json" &
srun --ntasks=$((SLURM_NTASKS - 1)) --exact env OMP_NUM_THREADS=1 dask worker --nthreads 1 \
    --scheduler-file "$place/scheduler.json" --local-directory "${TMPDIR:-/tmp}" &
until [ -s "$place/scheduler.json" ]; do sleep 2; done
address=$(python -c 'import json, sys; print(json.load(open(sys.argv[1]))["address"])' "$place/scheduler.json")
previsage train pairs "$@" --scheduler "$address"
