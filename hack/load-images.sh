#!/usr/bin/env bash
# Builds the images and loads those the cluster does not have yet.
set -euo pipefail

usage() {
  cat <<'USAGE'
usage: load-images.sh [NAME…]

Builds the images (default: all; see hack/image/build.sh --help) and loads those that
changed since they were loaded last into the cluster CLUSTER_NAME (openos). With
KUBECONFIG set to a cluster of yours they are built only: push them yourself.
USAGE
}

cd "$(dirname "${BASH_SOURCE[0]}")/.."
[[ ${1:-} != -h && ${1:-} != --help ]] || { usage; exit 0; }

built=$(hack/image/build.sh "$@")
mapfile -t archives <<<"$built"
kubeconfig=$(hack/cluster/kubeconfig.sh)
if [[ -n ${KUBECONFIG:-} && $kubeconfig == "$KUBECONFIG" ]]; then
  echo 'load-images.sh: your cluster (KUBECONFIG) pulls its images itself; push these to where it can:' >&2
  printf '  %s\n' "${archives[@]}" >&2
  exit 0
fi

# The record lies with the cluster's state and goes with the cluster.
loaded=$(dirname "$kubeconfig")/loaded
mkdir -p "$loaded"
changed=0
for archive in "${archives[@]}"; do
  record=$loaded/$(basename "$archive" .tar)
  ! cmp -s "$archive.stamp" "$record" || continue
  rm -f "$record"
  hack/cluster/load-image.sh "$archive"
  cp "$archive.stamp" "$record"
  changed=$((changed + 1))
done
((changed > 0)) || echo "the cluster has all ${#archives[@]} images" >&2
