# shellcheck shell=bash disable=SC2034 # the variables are for the scripts that source this
# What every script here shares: where things are, messages, bounded waiting, and
# finding the processes that belong to a state folder. Sourced, never run.

hack_cluster=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
repository=$(cd "$hack_cluster/../.." && pwd)
toolchain=$repository/hack/toolchain
# shellcheck source=../toolchain/versions.env
source "$toolchain/versions.env"

cache=${OPENOS_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/openos}
state_root=${OPENOS_STATE:-${XDG_STATE_HOME:-$HOME/.local/state}/openos}
bin=$cache/bin

say() { echo "$*" >&2; }
die() { say "${0##*/}: $*"; exit 1; }

# now prints milliseconds, since prints the seconds (one decimal) passed from such a moment.
now() { echo $((${EPOCHREALTIME/[.,]/} / 1000)); }
since() {
  local ms=$(($(now) - $1))
  echo "$((ms / 1000)).$((ms % 1000 / 100))"
}

# check_name NAME: names end up in paths, device names and cgroups.
check_name() {
  [[ $1 =~ ^[a-z]([a-z0-9-]{0,30}[a-z0-9])?$ ]] \
    || die "\"$1\" is not a cluster name: at most 32 of a-z, 0-9 and -, beginning with a letter"
}

# wait_for SECONDS COMMAND…: true as soon as the command is, false when the time is over.
wait_for() {
  local end=$(($(now) + $1 * 1000))
  shift
  until "$@" >/dev/null 2>&1; do
    (($(now) < end)) || return 1
    sleep 0.1
  done
}

# processes_of DIR: pids of processes that run one of our binaries with DIR in an
# argument. This finds also those whose pid was not yet written down when their
# starter was killed, and never mistakes a recycled pid for ours.
processes_of() {
  local process executable arguments
  for process in /proc/[0-9]*; do
    executable=$(readlink "$process/exe" 2>/dev/null) || continue
    [[ $executable == "$bin/"* ]] || continue
    arguments=$(tr '\0' ' ' <"$process/cmdline" 2>/dev/null) || continue
    [[ $arguments != *"$1/"* ]] || echo "${process#/proc/}"
  done
}

# stop_processes PID…: asks, then insists after five seconds.
stop_processes() {
  (($# > 0)) || return 0
  kill "$@" 2>/dev/null || true
  wait_for 3 are_gone "$@" || kill -9 "$@" 2>/dev/null || true
  wait_for 5 are_gone "$@" || say "processes $* do not end"
}

# are_gone PID…: a zombie has ended; who reaps it is not our business.
are_gone() {
  local pid state
  for pid; do
    state=$(sed -n 's/^State:\t\(.\).*/\1/p' "/proc/$pid/status" 2>/dev/null) || true
    [[ -z $state || $state == Z ]] || return 1
  done
}
