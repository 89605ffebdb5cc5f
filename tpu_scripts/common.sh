# shellcheck shell=bash
# Functions for the other scripts: flags as --key=value, one-line errors, --dry-run.
set -euo pipefail

dry_run=false
given=() # the flags after --

fail() {
  echo "error: $*" >&2
  exit 1
}

# run COMMAND...: print the command, and run it unless --dry-run is set.
run() {
  printf '+'
  printf ' %q' "$@"
  printf '\n'
  if ! $dry_run; then "$@"; fi
}

# quoted WORD...: print the words, each after a space, with quotes that every POSIX shell understands.
quoted() {
  local LC_ALL=C word # so that only ASCII letters go without quotes
  for word in "$@"; do
    if [[ $word =~ ^[A-Za-z0-9_./:=,@%+-]+$ ]]; then
      printf ' %s' "$word"
    else
      printf " '%s'" "${word//\'/\'\\\'\'}"
    fi
  done
}

# shellcheck disable=SC2034 # given is read by the scripts
# parse "KEY KEY=DEFAULT ..." ARGUMENT...: set a variable for each key; keys without a default are required.
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
        [[ " $known " == *" --$key "* ]] || fail "unknown flag $argument; use$known --dry-run"
        printf -v "${key//-/_}" %s "${argument#*=}"
        ;;
      *) fail "$argument is not --key=value; use$known --dry-run, and -- before flags for va_jax" ;;
    esac
  done
  for spec in $specs; do
    if [[ $spec != *=* && -z ${!spec-} ]]; then fail "--${spec//_/-}=... is missing; see --help"; fi
  done
}

# whole KEY...: require that the values are whole numbers of at least 1.
whole() {
  local key
  for key in "$@"; do
    [[ ${!key} =~ ^[1-9][0-9]*$ ]] || fail "--${key//_/-}=${!key} is not a whole number of at least 1"
  done
}

# like KEY PATTERN WORDS: require that the whole value matches the pattern, which WORDS describe.
like() {
  local LC_ALL=C
  [[ ${!1} =~ ^($2)$ && ${!1} != *$'\n'* ]] || fail "--$1=${!1} is not valid; expected $3"
}

# tpu COMMAND...: run gcloud compute tpus for the zone and, if set, the project.
tpu() {
  run gcloud compute tpus "$@" "--zone=$zone" ${project:+"--project=$project"} --quiet
}

# on WORKER COMMAND: run a shell command on one worker or, with "all", on every worker.
on() {
  tpu tpu-vm ssh "$name" "--worker=$1" "--command=$2"
}

# state: print the state of the queued resource, such as ACTIVE, or GONE if it does not exist.
state() {
  gcloud compute tpus queued-resources describe "$name" "--zone=$zone" \
    ${project:+"--project=$project"} '--format=value(state.state)' 2>/dev/null || echo GONE
}
