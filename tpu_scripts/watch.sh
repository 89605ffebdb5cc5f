#!/usr/bin/env bash
# Print the state of the queued resource, then follow the log of one worker.
#
#   watch.sh --name=NAME --zone=ZONE [--project=P] [--worker=0] [--dry-run]
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
parse "name zone project= worker=0" "$@"

tpu queued-resources describe "$name" '--format=value(state.state)'
on "$worker" "tail -n 30 -F run.log"
