# shellcheck shell=bash disable=SC2154 # name, index and dir come from up.sh
# The kind provider: the node is a container of Docker or Podman. kind brings DNS,
# NetworkPolicy (kindnet) and the default StorageClass; gVisor is added here.

kind_configuration=$repository/config/kind

kind_describe() {
  [[ $index =~ ^([1-9]|[1-4][0-9])$ ]] || die "CLUSTER_INDEX=$index is not a number from 1 to 49"
  node=$name-control-plane
  pod_cidr=10.$((100 + index)).0.0/16 service_cidr=10.$((150 + index)).0.0/16
  if timeout 5 docker info >/dev/null 2>&1; then
    engine=docker
  elif timeout 5 podman info >/dev/null 2>&1; then
    engine=podman
    export KIND_EXPERIMENTAL_PROVIDER=podman
  else
    die "neither Docker nor Podman answers; start one, or use CLUSTER_PROVIDER=native"
  fi
}

kubectl() { "$bin/kubectl" --kubeconfig "$dir/kubeconfig" --request-timeout 20s "$@"; }

kind_is_healthy() {
  [[ -f $dir/up ]] || return 1
  kind_describe
  [[ $("$engine" inspect --format '{{.State.Running}}' "$node" 2>/dev/null) == true ]] && are_addons_ready
}

are_addons_ready() {
  [[ $(kubectl get nodes "$node" -o jsonpath='{.status.conditions[?(@.type=="Ready")].status}') == True ]] \
    && [[ $(kubectl get -n kube-system deployments/coredns -o jsonpath='{.status.availableReplicas}') -ge 1 ]] \
    && [[ $(kubectl get -n kube-system daemonsets/kindnet -o jsonpath='{.status.numberAvailable}') -ge 1 ]] \
    && [[ $(kubectl get -n local-path-storage deployments/local-path-provisioner -o jsonpath='{.status.availableReplicas}') -ge 1 ]] \
    && kubectl get serviceaccounts/default storageclasses/standard runtimeclasses/gvisor >/dev/null
} 2>/dev/null

kind_up() {
  kind_describe
  "$toolchain/get.sh" --kind >/dev/null
  if [[ -f $dir/up ]] && repair; then
    return
  fi
  if [[ -e $dir ]]; then
    kind_down
  elif "$bin/kind" get clusters 2>/dev/null | grep -qx "$name"; then
    die "there is a kind cluster $name that was not made here; delete it yourself or choose another CLUSTER_NAME"
  fi
  local began
  began=$(now)
  mkdir -p "$dir/log"
  printf 'provider=kind\nindex=%s\n' "$index" >"$dir/cluster"
  sed -e "s#10.101.0.0/16#$pod_cidr#" -e "s#10.151.0.0/16#$service_cidr#" "$kind_configuration/cluster.yaml" >"$dir/kind.yaml"
  say "creating the kind cluster (the first time its node image is pulled, about 400 MB)…"
  "$bin/kind" create cluster --name "$name" --config "$dir/kind.yaml" --kubeconfig "$dir/kubeconfig" \
    ${KIND_NODE_IMAGE:+--image "$KIND_NODE_IMAGE"} --wait 180s >"$dir/log/kind.log" 2>&1 || give_up "kind create cluster failed"
  say "kind's node is ready after $(since "$began") s"
  install_gvisor >>"$dir/log/kind.log" 2>&1 || give_up "gVisor could not be installed in the node"
  wait_for 120 are_addons_ready || give_up "DNS, network policies or volumes did not become ready"
  add_routes
  touch "$dir/up"
}

# repair: a node that was only stopped (a restarted machine) is started again.
repair() {
  say "$name is not healthy; repairing it…"
  "$engine" start "$node" >/dev/null 2>&1 && install_gvisor >>"$dir/log/kind.log" 2>&1 && wait_for 90 are_addons_ready && add_routes
}

# containerd looks for a shim when a pod wants it: no restart is needed.
install_gvisor() {
  local program
  for program in runsc containerd-shim-runsc-v1; do
    "$engine" cp "$bin/$program" "$node:/usr/local/bin/$program" || return 1
  done
  "$engine" cp "$kind_configuration/runsc.toml" "$node:/etc/containerd/runsc.toml" || return 1
  wait_for 60 kubectl apply -f "$hack_cluster/manifests/runtimeclass.yaml"
}

# add_routes: where the node is reachable (Linux, as root) host processes reach pods and
# Services too. Nothing here depends on it, and a route that exists is left alone.
add_routes() {
  local address cidr
  ((EUID == 0)) || return 0
  address=$("$engine" inspect --format '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}' "$node") || return 0
  for cidr in "$pod_cidr" "$service_cidr"; do
    if ip route add "$cidr" via "$address"; then echo "$cidr $address" >>"$dir/routes"; fi
  done
} 2>/dev/null

remove_routes() {
  local cidr address
  [[ -f $dir/routes ]] || return 0
  while read -r cidr address; do
    ip route delete "$cidr" via "$address" || true
  done <"$dir/routes"
} 2>/dev/null

kind_down() {
  kind_describe
  "$toolchain/get.sh" kind >/dev/null
  remove_routes
  "$bin/kind" delete cluster --name "$name" --kubeconfig "$dir/kubeconfig" >/dev/null 2>&1 \
    || die "kind could not delete the cluster $name; try: $bin/kind delete cluster --name $name"
  rm -rf "$dir"
}

kind_load() {
  kind_describe
  "$bin/kind" load image-archive --name "$name" "$1" >/dev/null
}

kind_exec() {
  kind_describe
  "$engine" exec --interactive "$node" "$@"
}

give_up() {
  say "--- the end of $dir/log/kind.log"
  tail -n 15 "$dir/log/kind.log" >&2 || true
  kubectl get nodes,pods -A >&2 2>/dev/null || true
  die "$1 (remove what is there with: make cluster-down)"
}
