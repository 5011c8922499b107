#!/usr/bin/env bash
# Lints the chart and renders it: as it is, and with servers of one's own.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/../.."
helm=$(hack/toolchain/get.sh helm)/helm
own=(--set 'postgres.embedded=false' --set 'postgres.existingSecret.name=database'
  --set 'nats.embedded=false' --set 'nats.existingSecret.name=broker')

render() { "$helm" template openos charts/openos --namespace openos-system "$@" >/dev/null; }

"$helm" lint --strict charts/openos
render
render "${own[@]}"
render --set runtimeClass.create=true --set controller.replicas=2
