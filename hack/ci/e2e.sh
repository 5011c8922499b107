#!/usr/bin/env bash
# Runs the e2e tests against a cluster made for them.
set -euo pipefail

usage() {
  cat <<'USAGE'
usage: e2e.sh REPORT.json

Brings up a cluster of its own (openos-e2e, beside the development cluster), builds and
loads the images, runs the e2e tests and removes the cluster.

Environment
  CLUSTER_NAME  use this cluster of ours instead, and leave it up
  KUBECONFIG    use this cluster of yours, which can pull the images
  KEEP_CLUSTER  when set, the cluster stays, to look into it
USAGE
}

cd "$(dirname "${BASH_SOURCE[0]}")/../.."
[[ ${1:-} != -h && ${1:-} != --help ]] || { usage; exit 0; }
(($# == 1)) || { usage >&2; exit 2; }

take_down() {
  local status=$?
  trap - EXIT
  hack/cluster/down.sh || status=1
  exit "$status"
}

if [[ -z ${KUBECONFIG:-} ]]; then
  if [[ -z ${CLUSTER_NAME:-} ]]; then
    export CLUSTER_NAME=openos-e2e CLUSTER_INDEX=${CLUSTER_INDEX:-2}
    [[ -n ${KEEP_CLUSTER:-} ]] || trap take_down EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
  fi
  hack/cluster/up.sh
  hack/load-images.sh
fi
# Where little works every test would wait for its deadline: what fails first is enough to look into.
vitest run --project e2e --bail 4 --reporter=default --reporter=json --outputFile.json="$1"
