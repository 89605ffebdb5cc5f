#!/usr/bin/env bash
# Run on spot capacity until the run is finished: after each preemption, request a new TPU and resume.
#
#   spot.sh --name=NAME --zone=ZONE --accelerator=A --runtime=R --bucket=BUCKET --workdir=runs/NAME
#           [--project=P] [--every-s=60] [--dry-run] -- --config=FILE ...
#
# The workdir is a folder in the bucket, and the run is finished once it contains metrics.json. Leave
# this script running on a machine that stays up. You pay for the time during which the TPU is ACTIVE.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
parse "name zone accelerator runtime bucket workdir project= every_s=60" "$@"
whole every_s
((${#given[@]})) || fail "no flags after --; pass --config=FILE"

here=$(dirname "${BASH_SOURCE[0]}")
place=("--name=$name" "--zone=$zone")
if [[ -n $project ]]; then place+=("--project=$project"); fi
dry=()
if $dry_run; then dry=(--dry-run); fi

begin() {
  "$here/create.sh" "${place[@]}" "--accelerator=$accelerator" "--runtime=$runtime" --spot=true "${dry[@]}" &&
    "$here/setup.sh" "${place[@]}" "--bucket=$bucket" "${dry[@]}" &&
    "$here/run.sh" "${place[@]}" "${dry[@]}" -- "${given[@]}" "--workdir=../bucket/$workdir"
}

ended() { gcloud storage ls "gs://$bucket/$workdir/metrics.json" >/dev/null 2>&1; }

if $dry_run; then
  begin
  exit 0
fi
until ended; do
  now=$(state)
  if [[ $now != ACTIVE ]]; then
    echo "$name is $now; requesting a new TPU"
    if [[ $now != GONE ]]; then "$here/delete.sh" "${place[@]}"; fi
    begin || echo "the request failed; trying again in $every_s s"
  fi
  sleep "$every_s"
done
"$here/delete.sh" "${place[@]}"
