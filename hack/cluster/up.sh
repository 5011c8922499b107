#!/usr/bin/env bash
# Brings up the development cluster; see README.md in this folder.
set -euo pipefail

usage() {
  cat <<'EOF'
usage: up.sh

Brings up a one-node Kubernetes with RuntimeClass gvisor, DNS, enforced NetworkPolicy
and a default StorageClass; repairs or rebuilds what a killed run left. On a healthy
cluster it returns at once.

Environment
  CLUSTER_NAME      name, part of paths and of the kubeconfig's context (openos)
  CLUSTER_INDEX     1 to 49: addresses 10.250.I.0/24, pods 10.(100+I).0.0/16,
                    Services 10.(150+I).0.0/16; two clusters need two of them (1)
  CLUSTER_PROVIDER  kind, native, or auto: kind where Docker or Podman answers (auto)
  OPENOS_STATE      clusters' state (~/.local/state/openos)
  OPENOS_CACHE      binaries and images (~/.cache/openos)
  KUBECONFIG        when set, that cluster is used and nothing is brought up
EOF
}

# shellcheck source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
[[ ${1:-} != -h && ${1:-} != --help ]] || { usage; exit 0; }
(($# == 0)) || { usage >&2; exit 2; }

if foreign_kubeconfig; then
  say "using the cluster of KUBECONFIG=$KUBECONFIG; nothing to bring up"
  exit 0
fi

use_cluster
lock_cluster
began=$(now)
if "${provider}_is_healthy"; then
  say "the $provider cluster $name is up ($(since "$began") s)"
else
  say "bringing up the $provider cluster $name"
  "${provider}_up" {lock}>&-
  say "the $provider cluster $name is up after $(since "$began") s; kubeconfig: $dir/kubeconfig"
fi
