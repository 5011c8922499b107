#!/usr/bin/env bash
# Prints the path of the cluster's kubeconfig; see README.md in this folder.
set -euo pipefail

usage() {
  cat <<'EOF'
usage: kubeconfig.sh

Prints the path of the kubeconfig of the cluster CLUSTER_NAME (openos), or KUBECONFIG
when that is set. Your own kubeconfig is never changed.
EOF
}

# shellcheck source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
[[ ${1:-} != -h && ${1:-} != --help ]] || { usage; exit 0; }
(($# == 0)) || { usage >&2; exit 2; }

if foreign_kubeconfig; then
  echo "$KUBECONFIG"
  exit 0
fi
name=${CLUSTER_NAME:-openos}
check_name "$name"
[[ -f $state_root/$name/kubeconfig ]] || die "the cluster $name is not up; run: make cluster-up"
echo "$state_root/$name/kubeconfig"
