#!/usr/bin/env bash
# Runs the operator from source on this machine against the development cluster.
set -euo pipefail

usage() {
  cat <<'USAGE'
usage: run.sh

Scales the controller in the cluster to 0, then runs operator/main.ts here against that cluster and
the Postgres and NATS its Secrets name, and starts it again after every edit. Ends with Ctrl-C;
the controller in the cluster is then scaled back.

Environment
  CLUSTER_NAME, KUBECONFIG       as for make cluster-up
  OPENOS_HTTP_PORT               of /metrics, /healthz and /readyz (8080)
  OPENOS_LOG_LEVEL               (debug)
  WATCH=0                        run once, without starting again after edits
USAGE
}

cd "$(dirname "${BASH_SOURCE[0]}")/.."
[[ ${1:-} != -h && ${1:-} != --help ]] || { usage; exit 0; }

namespace=openos-system
http_port=${OPENOS_HTTP_PORT:-8080} log_level=${OPENOS_LOG_LEVEL:-debug}
KUBECONFIG=$(hack/cluster/kubeconfig.sh)
export KUBECONFIG
bin=$(hack/toolchain/get.sh kubectl)
kubectl() { "$bin/kubectl" --namespace "$namespace" "$@"; }
say() { echo "run.sh: $*" >&2; }
die() { say "$@"; exit 1; }

forwards=() scratch=$(mktemp -d) replicas=''
clean_up() {
  trap - EXIT INT TERM
  ((${#forwards[@]} == 0)) || kill "${forwards[@]}" 2>/dev/null || true
  rm -rf "$scratch"
  [[ -z $replicas ]] || { say "scaling the controller in the cluster back to $replicas"; scale "$replicas"; }
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

scale() { kubectl scale deployment/openos-controller --replicas "$1" >/dev/null; }

is_reachable() { timeout 2 bash -c "exec 3<>/dev/tcp/$1/$2" 2>/dev/null; }

# forward SERVICE PORT: sets local_port, which leads to the Service while this script lives.
forward() {
  local output=$scratch/$1
  "$bin/kubectl" --namespace "$namespace" port-forward --address 127.0.0.1 "service/$1" ":$2" >"$output" 2>&1 &
  forwards+=($!)
  for ((i = 0; i < 100; i++)); do
    local_port=$(sed -n 's/^Forwarding from 127\.0\.0\.1:\([0-9]*\) .*/\1/p' "$output")
    [[ -z $local_port ]] || return 0
    kill -0 "${forwards[-1]}" 2>/dev/null || break
    sleep 0.1
  done
  die "no way from here to the Service $1: $(tail -n 1 "$output")"
}

# server_url SECRET: sets url to what the Secret says, rewritten so that it works from outside of the cluster.
server_url() {
  local host_port service port address
  url=$(kubectl get secret "$1" --output 'go-template={{.data.url}}' | base64 -d) \
    || die "the Secret $1 is not there; is the chart installed? run: make deploy"
  host_port=${url##*@}
  host_port=${host_port#*://}
  host_port=${host_port%%/*}
  service=${host_port%%.*} port=${host_port##*:}
  address=$(kubectl get service "${service%%:*}" --output 'go-template={{.spec.clusterIP}}' 2>/dev/null) || return 0
  if is_reachable "$address" "$port"; then
    url=${url/"$host_port"/"$address:$port"}
  else
    forward "${service%%:*}" "$port"
    url=${url/"$host_port"/"127.0.0.1:$local_port"}
  fi
}

stop_in_cluster() {
  local running
  running=$(kubectl get deployment openos-controller --output 'go-template={{.spec.replicas}}' 2>/dev/null) \
    || die "the chart is not installed; run: make cluster-up image deploy"
  [[ $running != 0 ]] || return 0
  say "scaling the controller in the cluster from $running to 0 while this one runs"
  replicas=$running
  scale 0
  kubectl wait pod --for delete --selector app.kubernetes.io/component=controller --timeout 60s >/dev/null
}

stop_in_cluster
server_url openos-postgres
database_url=$url
server_url openos-nats
nats_url=$url

# What else begins with OPENOS_ here is about these scripts; the operator would refuse it.
while read -r key; do unset "$key"; done < <(compgen -e OPENOS_ || true)
export OPENOS_DATABASE_URL=$database_url OPENOS_NATS_URL=$nats_url OPENOS_NAMESPACE=$namespace
export OPENOS_HTTP_PORT=$http_port OPENOS_LOG_LEVEL=$log_level

node=node_modules/.bin/node
"$node" operator/main.ts migrate
say "the operator runs here; http://127.0.0.1:$http_port/readyz says what it waits for"
if [[ ${WATCH:-1} == 0 ]]; then
  "$node" operator/main.ts controller
else
  "$node" --watch --watch-preserve-output operator/main.ts controller
fi
