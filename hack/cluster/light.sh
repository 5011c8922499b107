#!/usr/bin/env bash
# A control plane with simulated nodes for integration tests; see README.md in this folder.
set -euo pipefail

usage() {
  cat <<'EOF'
usage: light.sh up NAME [--port-base N]   start (or repair); prints the kubeconfig's path
       light.sh node NAME N               have nodes fake-0 … fake-(N-1)
       light.sh down NAME                 stop it and remove all it left

A real API server, etcd, controller manager and scheduler, with KWOK nodes on which
pods turn Ready without running. No root, no namespaces; listens on 127.0.0.1 only,
on six ports from N (default: the first free ones, so several can run side by side).
Each cluster's state is in $OPENOS_STATE/light-NAME (default ~/.local/state/openos).
EOF
}

# shellcheck source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source=control-plane.sh
source "$hack_cluster/control-plane.sh"

kubectl() { "$bin/kubectl" --kubeconfig "$dir/kubeconfig" "$@"; }

is_healthy() {
  [[ -f $dir/up ]] && local pids && mapfile -t pids < <(processes_of "$dir") \
    && ((${#pids[@]} == 5)) && kubectl get --raw /readyz --request-timeout 5s >/dev/null 2>&1
}

# are_free PORT: nothing listens on it or on the five after it.
are_free() {
  local port
  for ((port = $1; port < $1 + 6; port++)); do
    ! (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || return 1
  done
}

# free_ports ATTEMPT: below the range from which the kernel takes ports for outgoing
# connections; each name begins looking somewhere else.
free_ports() {
  local start port
  start=$(($(cksum <<<"$name$1" | cut -d' ' -f1) % 1000))
  for ((i = 0; i < 1000; i++)); do
    port=$((20000 + (start + i) % 1000 * 10))
    if are_free "$port"; then
      echo "$port"
      return
    fi
  done
  die "found no six free ports between 20000 and 30000"
}

remove() {
  local pids
  mapfile -t pids < <(processes_of "$dir")
  end_processes "${pids[@]}"
  rm -rf "$dir"
}

start() {
  local port=$1
  mkdir -p "$dir"
  # the API server refuses to announce a loopback address as an endpoint: let it announce none
  control_plane_config "$dir" "$port" 127.0.0.1 "kube-apiserver endpoint-reconciler-type none" \
    "kube-apiserver audit-policy-file $hack_cluster/manifests/audit-policy.yaml" \
    "kube-apiserver audit-log-path $dir/audit.log" >"$dir/kwok.yaml"
  control_plane_start "$dir" >"$dir/up.log" 2>&1 || return 1
  control_plane_kubeconfig "$dir" "https://127.0.0.1:$port" "$name" >"$dir/kubeconfig"
  kubectl create -f "$hack_cluster/manifests/runtimeclass.yaml" >>"$dir/up.log" 2>&1 || return 1
  wait_for 30 kubectl get serviceaccount default || return 1
  touch "$dir/up"
}

up() {
  local began port attempt
  "$toolchain/get.sh" --light >/dev/null
  if is_healthy; then
    say "$name is up already"
  else
    remove
    for attempt in 1 2 3; do
      began=$(now) port=${port_base:-$(free_ports "$attempt")}
      if start "$port"; then
        say "$name is up on 127.0.0.1:$port after $(since "$began") s"
        break
      fi
      tail -qn 5 "$dir/up.log" "$dir"/kwok/clusters/*/logs/*.log >&2 || true
      remove
      ((attempt < 3)) || die "no control plane came up; the lines above are from its logs"
      say "no control plane on port $port; trying again"
    done
  fi
  echo "$dir/kubeconfig"
}

add_nodes() {
  local i
  [[ $1 =~ ^[0-9]{1,4}$ ]] || die "\"$1\" is not a number of nodes"
  is_healthy || die "$name is not up; run: light.sh up $name"
  for ((i = 0; i < 10#$1; i++)); do
    sed "s/NODE/fake-$i/g" "$hack_cluster/manifests/fake-node.yaml"
  done | kubectl apply -f - >/dev/null
  kubectl wait --for condition=Ready node -l type=kwok --timeout 30s >/dev/null
  say "$name has $1 fake nodes"
}

case ${1:-} in
  -h | --help) usage; exit 0 ;;
  up | down | node) action=$1 ;;
  *) usage >&2; exit 2 ;;
esac
name=${2:-}
[[ -n $name ]] || { usage >&2; exit 2; }
check_name "$name"
dir=$state_root/light-$name
mkdir -p "$state_root"

port_base=''
case $action,$#,${3:-} in
  up,2, | down,2, | node,3,*) ;;
  up,4,--port-base)
    port_base=$4
    [[ $port_base =~ ^[0-9]{4,5}$ && $port_base -gt 1023 && $port_base -lt 65530 ]] || die "\"$port_base\" is not a port" ;;
  *) usage >&2; exit 2 ;;
esac

# one light cluster comes or goes at a time: ports are looked for and then taken
exec {lock}>"$state_root/light.lock"
flock -w 300 "$lock" || die "another light.sh has been busy for five minutes"
case $action in
  up) up {lock}>&- ;;
  down) remove {lock}>&- ;;
  node) add_nodes "$3" {lock}>&- ;;
esac
