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
export KUBECACHEDIR=$cache/kubectl # kubectl's own cache; its default is in the user's ~/.kube

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
  local process arguments
  while read -r process; do
    arguments=()
    mapfile -d '' -t arguments 2>/dev/null <"$process/cmdline" || continue
    [[ "${arguments[*]} " != *"$1/"* ]] || echo "${process#/proc/}"
  done < <(find /proc/[0-9]*/exe -maxdepth 0 -lname "$bin/*" -printf '%h\n' 2>/dev/null || true)
}

# end_processes PID…: at once; what they would save on a polite request is removed anyway.
# A killed process whose thread waits for a slow disk ends when that thread has.
end_processes() {
  (($# > 0)) || return 0
  kill -9 "$@" 2>/dev/null || true
  wait_for 60 are_gone "$@" || die "processes $* do not end"
}

# are_gone PID…: no thread of theirs runs. A zombie has ended; who reaps it is not our business.
are_gone() {
  local pid
  for pid; do
    ! grep -qs $'^State:\t[^ZX]' "/proc/$pid"/task/*/status || return 1
  done
}

# use_cluster: which cluster the environment names: sets name, dir, index and provider.
# What an existing cluster was made with wins over defaults; against something else
# that was asked for explicitly it is an error.
use_cluster() {
  name=${CLUSTER_NAME:-openos}
  check_name "$name"
  [[ $name != light-* ]] || die "names that begin with \"light-\" are for light.sh"
  dir=$state_root/$name index=${CLUSTER_INDEX:-} provider=${CLUSTER_PROVIDER:-auto}
  local made_by='' made_with=''
  if [[ -f $dir/cluster ]]; then
    made_by=$(sed -n 's/^provider=//p' "$dir/cluster") made_with=$(sed -n 's/^index=//p' "$dir/cluster")
    [[ $provider == auto || -z $made_by || $provider == "$made_by" ]] \
      || die "$name is a $made_by cluster; take it down before making it with $provider"
    [[ -z $index || -z $made_with || $index == "$made_with" ]] \
      || die "$name has index $made_with; take it down before giving it $index"
  fi
  index=${index:-${made_with:-1}} provider=${made_by:-$provider}
  [[ $provider != auto ]] || provider=$(choose_provider)
  case $provider in
    kind | native) ;;
    *) die "CLUSTER_PROVIDER=$provider is none of auto, kind and native" ;;
  esac
  # shellcheck source=/dev/null
  source "$hack_cluster/providers/$provider.sh"
}

choose_provider() {
  if timeout 5 docker info >/dev/null 2>&1 || timeout 5 podman info >/dev/null 2>&1; then
    echo kind
  else
    echo native
  fi
}

# foreign_kubeconfig: whether the user asked for a cluster of theirs.
foreign_kubeconfig() {
  [[ -n ${KUBECONFIG:-} && $KUBECONFIG != "$state_root/${CLUSTER_NAME:-openos}/kubeconfig" ]]
}

# lock_cluster: one script at a time makes or removes a cluster of this name.
# Long-lived children must not inherit the lock: call what starts them with {lock}>&-.
lock_cluster() {
  mkdir -p "$state_root"
  exec {lock}>"$state_root/$name.lock"
  flock -w 900 "$lock" || die "another script has been busy with $name for 15 minutes"
}
