#!/usr/bin/env bash
# Submit a run to SLURM: one process per GPU; two minutes before the time limit it saves and stops.
#
#   slurm.sh --gpus=8 [--nodes=1] [--time=24:00:00] [--partition=P] [--account=A] [--cpus=8]
#            [--python=.venv/bin/python] [--dry-run] -- --config=FILE --workdir=DIR ...
#
# --gpus counts per node, --cpus per process. DIR must be on a file system that all nodes share. A run
# that is not finished is requeued and resumes.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
parse "gpus nodes=1 time=24:00:00 partition= account= cpus=8 python=.venv/bin/python" "$@"
whole gpus nodes cpus
((${#given[@]})) || fail "no flags after --; give --config=FILE --workdir=DIR"

run sbatch --job-name=va_jax "--nodes=$nodes" "--ntasks-per-node=$gpus" "--gpus-per-node=$gpus" \
  "--cpus-per-task=$cpus" "--time=$time" --signal=TERM@120 --requeue --open-mode=append \
  ${partition:+"--partition=$partition"} ${account:+"--account=$account"} \
  "$(dirname "${BASH_SOURCE[0]}")/slurm_job.sh" "$python" "${given[@]}"
