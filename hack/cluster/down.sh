#!/usr/bin/env bash
# Removes the development cluster and all it left; see README.md in this folder.
set -euo pipefail

usage() {
  cat <<'EOF'
usage: down.sh

Ends the cluster CLUSTER_NAME (openos) and removes its state: processes, mounts,
devices, routes, cgroups, volumes. Works on half-made clusters too. The cache of
binaries and images stays. Refuses when KUBECONFIG names a cluster of yours.
EOF
}

# shellcheck source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
[[ ${1:-} != -h && ${1:-} != --help ]] || { usage; exit 0; }
(($# == 0)) || { usage >&2; exit 2; }

! foreign_kubeconfig || die "KUBECONFIG=$KUBECONFIG is your cluster, which is not ours to remove; unset KUBECONFIG to remove ours"

use_cluster
lock_cluster
if [[ ! -e $dir ]]; then
  say "there is no cluster $name"
  exit 0
fi
began=$(now)
"${provider}_down"
say "the $provider cluster $name is gone ($(since "$began") s)"
