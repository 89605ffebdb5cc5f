#!/usr/bin/env bash
# Start or resume a run on all workers; the run continues after this command ends.
#
#   run.sh --name=NAME --zone=ZONE [--project=P] [--dry-run] -- --config=FILE --workdir=DIR ...
#
# The flags after -- are passed to `python -m va_jax.main`. DIR is relative to ~/va_jax and must be the
# same folder on all workers, such as ../bucket/runs/NAME. Each worker writes its log to ~/run.log.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
parse "name zone project=" "$@"
((${#given[@]})) || fail "no flags after --; pass --config=FILE --workdir=DIR"

flags=$(quoted "${given[@]}")
on all "cd va_jax && { setsid nohup .venv/bin/python -m va_jax.main --coordinator=auto$flags \
>> ../run.log 2>&1 < /dev/null & }"
