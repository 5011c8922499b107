#!/usr/bin/env bash
# Installs or upgrades the chart in the development cluster.
set -euo pipefail

usage() {
  cat <<'USAGE'
usage: deploy.sh [HELM ARGUMENT…]

helm upgrade --install of charts/openos as release openos in namespace openos-system, waiting
until everything is ready (5 minutes at most), then restarts what runs an image that was loaded
anew under the same tag. Further arguments go to helm: --set controller.replicas=2

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
  kubectl get events --field-selector type=Warning --sort-by .lastTimestamp >&2 | tail -n 15 >&2 || true
  kubectl logs deployment/openos-controller --all-containers --tail 20 >&2 || true
}

restart_changed() {
  local workload name record running
  for workload in "${workloads[@]}"; do
    name=${workload%:*} record=$loaded/${workload#*:}
    if [[ ! -f $record ]] || ! kubectl get "$name" >/dev/null 2>&1; then continue; fi
    running=$(kubectl get "$name" --output "go-template={{with .metadata.annotations}}{{index . \"$annotation\"}}{{end}}")
    if [[ $running =~ ^[0-9a-f]+$ && $running != "$(<"$record")" ]]; then
      echo "restarting $name: its image changed" >&2
      kubectl rollout restart "$name" >/dev/null
      kubectl rollout status "$name" --timeout 120s >/dev/null
    fi
    kubectl annotate "$name" --overwrite "$annotation=$(<"$record")" >/dev/null
  done
}

"$bin/helm" upgrade --install openos charts/openos --namespace "$namespace" --create-namespace \
  --wait --timeout 5m "$@" || { explain; exit 1; }
restart_changed || { explain; exit 1; }
