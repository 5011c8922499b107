#!/usr/bin/env bash
# Runs a command on the cluster's node; see README.md in this folder.
set -euo pipefail

usage() {
  cat <<'EOF'
usage: node.sh COMMAND…

Runs COMMAND in the namespaces of the node of the cluster CLUSTER_NAME (openos), for
example: node.sh ctr -n k8s.io containers list; node.sh ps ax; node.sh kill -STOP 123.
EOF
}

# shellcheck source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
[[ ${1:-} != -h && ${1:-} != --help ]] || { usage; exit 0; }
(($# > 0)) || { usage >&2; exit 2; }

! foreign_kubeconfig || die "KUBECONFIG=$KUBECONFIG is your cluster; its nodes are not reachable from here"
use_cluster
[[ -f $dir/up ]] || die "the cluster $name is not up; run: make cluster-up"
"${provider}_exec" "$@"
