#!/usr/bin/env bash
# Save and stop the run on all workers; run.sh resumes it.
#
#   stop.sh --name=NAME --zone=ZONE [--project=P] [--dry-run]
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
parse "name zone project=" "$@"

# The brackets keep the pattern from matching the remote shell, whose command line contains it.
on all "pkill -TERM -f '[v]a_jax[.]main' || echo 'no run to stop'"
