#!/usr/bin/env bash
# Save and stop the run on all workers; run.sh resumes it.
#
#   stop.sh --name=NAME --zone=ZONE [--project=P] [--dry-run]
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
parse "name zone project=" "$@"

on all "pkill -TERM -f va_jax.main || true"
