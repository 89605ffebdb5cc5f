#!/usr/bin/env bash
# Delete the TPU and its queued resource, which ends its costs; buckets stay.
#
#   delete.sh --name=NAME --zone=ZONE [--project=P] [--dry-run]
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
parse "name zone project=" "$@"

tpu queued-resources delete "$name" --force
