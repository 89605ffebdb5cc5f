#!/usr/bin/env bash
# Ask the run to save and stop, on all workers; run.sh goes on with it.
#
#   stop.sh --name=NAME --zone=ZONE [--project=P] [--dry-run]
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
parse "name zone project=" "$@"

on all "pkill -TERM -f va_jax.main || true"
