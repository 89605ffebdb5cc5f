#!/usr/bin/env bash
# Start one run on all workers, or go on with it; it lives on when this command has ended.
#
#   run.sh --name=NAME --zone=ZONE [--project=P] [--dry-run] -- --config=FILE --workdir=DIR ...
#
# Everything behind -- goes to `python -m va_jax.main`. DIR must be seen by all workers under the same
# path, from ~/va_jax on, such as ../bucket/runs/NAME. What a worker says is in ~/run.log there.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
parse "name zone project=" "$@"
((${#given[@]})) || fail "nothing stands behind --; give --config=FILE --workdir=DIR"

flags=$(printf ' %q' "${given[@]}")
on all "cd va_jax && { setsid nohup .venv/bin/python -m va_jax.main --coordinator=auto$flags \
>> ../run.log 2>&1 < /dev/null & }"
