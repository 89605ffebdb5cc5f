#!/usr/bin/env bash
# Copy a folder, such as a workdir, from worker 0 to this machine.
#
#   collect.sh --name=NAME --zone=ZONE --from=DIR --to=DIR [--project=P] [--dry-run]
#
# Copying from a bucket does not require a worker: gcloud storage rsync --recursive gs://BUCKET/runs/NAME DIR
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
parse "name zone from to project=" "$@"
[[ ! -e $to ]] || fail "--to=$to already exists; use a different folder"

tpu tpu-vm scp --recurse "$name:$from" "$to" --worker=0
