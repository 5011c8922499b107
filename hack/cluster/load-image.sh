#!/usr/bin/env bash
# Loads image archives into the cluster's node; see README.md in this folder.
set -euo pipefail

usage() {
  cat <<'EOF'
usage: load-image.sh ARCHIVE.tar…

Imports archives as "docker save" or "buildah push … docker-archive:" write them into
the node of the cluster CLUSTER_NAME (openos). Use their images with imagePullPolicy
Never or IfNotPresent.
EOF
}

# shellcheck source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
[[ ${1:-} != -h && ${1:-} != --help ]] || { usage; exit 0; }
(($# > 0)) || { usage >&2; exit 2; }

! foreign_kubeconfig || die "your cluster (KUBECONFIG=$KUBECONFIG) has to pull images: push them to a registry it reaches"
for archive; do
  [[ -r $archive ]] || die "cannot read $archive"
done
use_cluster
[[ -f $dir/up ]] || die "the cluster $name is not up; run: make cluster-up"
for archive; do
  began=$(now)
  "${provider}_load" "$archive" || die "$archive could not be loaded; is it a docker archive?"
  say "loaded $archive into $name in $(since "$began") s"
done
