#!/usr/bin/env bash
# The job submitted by slurm.sh: slurm_job.sh PYTHON FLAGS...
set -euo pipefail
python=$1
shift

workdir=""
for flag in "$@"; do
  if [[ $flag == --workdir=* ]]; then workdir=${flag#--workdir=}; fi
done
[[ -n $workdir ]] || { echo "error: --workdir=DIR is missing; pass it after --" >&2 && exit 1; }

job=()
if ((SLURM_NTASKS > 1)); then job=(--coordinator=auto); fi
srun --kill-on-bad-exit=1 "$python" -m va_jax.main "${job[@]}" "$@"
if [[ ! -e $workdir/metrics.json ]]; then scontrol requeue "$SLURM_JOB_ID"; fi
