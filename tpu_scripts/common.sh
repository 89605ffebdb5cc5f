# shellcheck shell=bash
# Read by the scripts beside it: flags as --key=value, one line for a mistake, --dry-run.
set -euo pipefail

dry_run=false
given=() # what stood behind --

fail() {
  echo "error: $*" >&2
  exit 1
}

# run COMMAND...: tell the command, and run it unless --dry-run was given.
run() {
  printf '+'
  printf ' %q' "$@"
  printf '\n'
  if ! $dry_run; then "$@"; fi
}

# shellcheck disable=SC2034 # given is read by the scripts
# parse "KEY KEY=DEFAULT ..." ARGUMENT...: a variable for every key; one without default is needed.
parse() {
  local specs=$1 spec key argument known=""
  shift
  for spec in $specs; do
    key=${spec%%=*}
    known+=" --${key//_/-}"
    if [[ $spec == *=* ]]; then printf -v "$key" %s "${spec#*=}"; else unset "$key"; fi
  done
  while (($#)); do
    argument=$1
    shift
    case $argument in
      --) given=("$@") && break ;;
      --dry-run) dry_run=true ;;
      --help) awk 'NR > 1 && !/^# shellcheck/ { if (!/^#/) exit; sub(/^# ?/, ""); print }' "$0" && exit 0 ;;
      --*=*)
        key=${argument#--}
        key=${key%%=*}
        [[ " $known " == *" --$key "* ]] || fail "$argument is unknown; known are$known --dry-run"
        printf -v "${key//-/_}" %s "${argument#*=}"
        ;;
      *) fail "$argument is no --key=value; known are$known --dry-run, and -- before flags of va_jax" ;;
    esac
  done
  for spec in $specs; do
    if [[ $spec != *=* && -z ${!spec-} ]]; then fail "--${spec//_/-}=... is missing; see --help"; fi
  done
}

# whole KEY...: each must be a number from 1 on.
whole() {
  local key
  for key in "$@"; do
    [[ ${!key} =~ ^[1-9][0-9]*$ ]] || fail "--${key//_/-}=${!key} is no number from 1 on"
  done
}

# tpu COMMAND...: gcloud compute tpus, in the zone and, if given, the project.
tpu() {
  run gcloud compute tpus "$@" "--zone=$zone" ${project:+"--project=$project"} --quiet
}

# on WORKER COMMAND: in a shell on one worker, or on all.
on() {
  tpu tpu-vm ssh "$name" "--worker=$1" "--command=$2"
}

# state: of the queued resource, such as ACTIVE; GONE if there is none.
state() {
  gcloud compute tpus queued-resources describe "$name" "--zone=$zone" \
    ${project:+"--project=$project"} '--format=value(state.state)' 2>/dev/null || echo GONE
}
