#!/usr/bin/env bash
# Request a TPU VM or pod as a queued resource, and wait until it is active.
#
#   create.sh --name=NAME --zone=ZONE --accelerator=v5litepod-16 --runtime=v2-alpha-tpuv5-lite
#             [--project=P] [--spot=true] [--wait-s=86400] [--dry-run]
#
# `gcloud compute tpus accelerator-types list --zone=ZONE` lists accelerators, `versions list` runtimes.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
parse "name zone accelerator runtime project= spot=false wait_s=86400" "$@"
whole wait_s
[[ $spot == true || $spot == false ]] || fail "--spot=$spot is not true or false"

cheaper=()
if $spot; then cheaper=(--spot); fi
tpu queued-resources create "$name" "--node-id=$name" "--accelerator-type=$accelerator" \
  "--runtime-version=$runtime" "${cheaper[@]}"
if $dry_run; then exit 0; fi
end=$((SECONDS + wait_s))
while now=$(state) && [[ $now != ACTIVE ]]; do
  case $now in
    FAILED | SUSPENDED | SUSPENDING | GONE) fail "$name is $now; see watch.sh, then run delete.sh" ;;
  esac
  ((SECONDS < end)) || fail "$name is still $now after $wait_s s; it stays in the queue until you run delete.sh"
  echo "$name is $now"
  sleep 30
done
echo "$name is ACTIVE"
