#!/usr/bin/env bash
# Installs or upgrades the chart in the development cluster.
set -euo pipefail

usage() {
  cat <<'USAGE'
usage: deploy.sh [HELM ARGUMENT…]

helm upgrade --install of charts/openos as release openos in namespace openos-system, waiting
until everything is ready (5 minutes at most). What runs an image that was loaded anew under the
same tag is restarted. Further arguments go to helm: --set controller.replicas=2

The cluster is CLUSTER_NAME (openos), or the one KUBECONFIG names.
USAGE
}

cd "$(dirname "${BASH_SOURCE[0]}")/.."
[[ ${1:-} != -h && ${1:-} != --help ]] || { usage; exit 0; }

namespace=openos-system
KUBECONFIG=$(hack/cluster/kubeconfig.sh)
export KUBECONFIG
bin=$(hack/toolchain/get.sh helm kubectl)
loaded=$(dirname "$KUBECONFIG")/loaded
kubectl() { "$bin/kubectl" --namespace "$namespace" "$@"; }

# What runs which image. The tag of development images never changes, so Kubernetes does not
# see that the image did; the annotation remembers which one was running.
workloads=(deployment/openos-controller:openos statefulset/openos-postgres:postgres statefulset/openos-nats:nats)
annotation=openos.dev/loaded-image

explain() {
  echo "deploy.sh: the release did not become ready; this is what is there:" >&2
  kubectl get pods,persistentvolumeclaims --output wide >&2 || true
  kubectl get events --field-selector type=Warning --sort-by .lastTimestamp | tail -n 15 >&2 || true
  kubectl logs deployment/openos-controller --all-containers --tail 20 >&2 || true
}

# changed KIND/NAME IMAGE: it is there, and runs another image than the one that was loaded last.
changed() {
  local running
  [[ -f $loaded/$2 ]] || return 1
  running=$(kubectl get "$1" --output "jsonpath={.metadata.annotations.${annotation//./\\.}}" 2>/dev/null) || return 1
  [[ $running != "$(<"$loaded/$2")" ]]
}

# Deleted, not rolled: a StatefulSet never replaces a pod that was not ready before.
restart_changed() {
  local workload name
  for workload in "${workloads[@]}"; do
    name=${workload%:*}
    changed "$name" "${workload#*:}" || continue
    echo "restarting $name: its image changed" >&2
    kubectl delete pods --selector "app.kubernetes.io/name=openos,app.kubernetes.io/component=${name##*-}" --timeout 60s >/dev/null
  done
}

remember() {
  local workload record
  for workload in "${workloads[@]}"; do
    record=$loaded/${workload#*:}
    [[ ! -f $record ]] || kubectl annotate "${workload%:*}" --overwrite "$annotation=$(<"$record")" >/dev/null
  done
}

restart_changed
"$bin/helm" upgrade --install openos charts/openos --namespace "$namespace" --create-namespace \
  --wait --timeout 5m "$@" || { explain; exit 1; }
remember
