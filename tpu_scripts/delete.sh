#!/usr/bin/env bash
# Delete the TPU and its queued resource, so that it no longer incurs costs; buckets are kept.
#
#   delete.sh --name=NAME --zone=ZONE [--project=P] [--dry-run]
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
parse "name zone project=" "$@"

tpu queued-resources delete "$name" --force
