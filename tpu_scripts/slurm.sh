#!/usr/bin/env bash
# Submit a run to SLURM with one process per GPU; it saves and stops two minutes before the time limit.
#
#   slurm.sh --gpus=8 [--nodes=1] [--time=24:00:00] [--partition=P] [--account=A] [--cpus=8]
#            [--python=.venv/bin/python] [--dry-run] -- --config=FILE --workdir=DIR ...
#
# --gpus is the number per node, --cpus the number per process. DIR must be on a file system that all
# nodes share. An unfinished run is requeued and resumes.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
parse "gpus nodes=1 time=24:00:00 partition= account= cpus=8 python=.venv/bin/python" "$@"
whole gpus nodes cpus
((${#given[@]})) || fail "no flags after --; pass --config=FILE --workdir=DIR"

run sbatch --job-name=va_jax "--nodes=$nodes" "--ntasks-per-node=$gpus" "--gpus-per-node=$gpus" \
  "--cpus-per-task=$cpus" "--time=$time" --signal=TERM@120 --requeue --open-mode=append \
  ${partition:+"--partition=$partition"} ${account:+"--account=$account"} \
  "$(dirname "${BASH_SOURCE[0]}")/slurm_job.sh" "$python" "${given[@]}"
