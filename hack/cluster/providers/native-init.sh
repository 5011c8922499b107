#!/usr/bin/env bash
# Process 1 of a native cluster's namespaces: sets up the node, starts everything and
# then reaps. When it dies, the kernel ends every process, mount, device and rule of
# the cluster. Started by native.sh, which passes what the cluster is by environment:
# dir node_name node_ip host_ip pod_subnet pod_cidr service_cidr service_dns service_api
# and the image archives as arguments.
set -euo pipefail

# shellcheck source=../lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
# shellcheck source=../control-plane.sh
source "$hack_cluster/control-plane.sh"

: "${dir:?}" "${node_name:?}" "${node_ip:?}" "${host_ip:?}" "${pod_subnet:?}" "${pod_cidr:?}"
: "${service_cidr:?}" "${service_dns:?}" "${service_api:?}"
export PATH=$bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export CONTAINERD_ADDRESS=/run/containerd/containerd.sock CONTAINERD_NAMESPACE=k8s.io
pki=$dir/kwok/clusters/$control_plane_name/pki

# keep NAME COMMAND…: runs it for as long as the node lives, as systemd would.
keep() {
  local name=$1
  shift
  while :; do
    "$@" >>"$dir/log/$name.log" 2>&1 || true
    echo "$name ended; starting it again" >>"$dir/log/$name.log"
    sleep 1
  done
}

# cover PATH FOLDER: what the node writes to PATH lands in the state folder instead.
cover() {
  mkdir -p "$dir/$2"
  mount --bind "$dir/$2" "$1"
}

# Mounts of the host no longer come in, ours do not go out; below that everything is
# shared, as kubelet and pods with mount propagation expect.
set_up_mounts() {
  mount --make-rprivate /
  mount --make-rshared /
  mount -t proc proc /proc
  cp -L /etc/resolv.conf "$dir/resolv.conf" 2>/dev/null || : >"$dir/resolv.conf"
  mount -t tmpfs -o mode=755 tmpfs /run
  mkdir -p /run/containerd /run/lock
  if [[ $(realpath "$dir") != /var/* && $(realpath "$cache") != /var/* ]]; then
    cover /var var
    mkdir -p /var/lib /var/log /var/tmp
    ln -sfn /run /var/run
  fi
}

# eth0 arrives from the host a moment after this process began.
set_up_network() {
  ip link set lo up
  wait_for 10 ip link show eth0 || die "the network device from the host did not arrive"
  ip addr add "$node_ip/24" dev eth0
  ip link set eth0 up
  ip route add default via "$host_ip"
  echo 1 >/proc/sys/net/ipv4/ip_forward
}

# Which connections kube-network-policies is asked about (queue 100): it adds the rules
# itself through nftables. Kernels without nftables' queue (CONFIG_NFT_QUEUE) refuse
# them; these do the same through xtables: every new connection to or from a pod except
# those of the node's own root (kubelet's probes). No queue-bypass: while nobody
# decides, nothing new passes. Connections from pods to the node itself (the API server
# among them) are asked about on every kernel, for which nftables' rules do not provide.
divert_connections() {
  local queue=(-m conntrack --ctstate NEW -j NFQUEUE --queue-num 100)
  iptables -t mangle -A INPUT -i veth+ "${queue[@]}"
  if nft -f - 2>/dev/null <<<'table inet probe { chain probe { queue num 100; } }'; then
    nft delete table inet probe
    return
  fi
  iptables -t mangle -A POSTROUTING -m owner --uid-owner 0 -j ACCEPT
  iptables -t mangle -A POSTROUTING -o veth+ "${queue[@]}"
  iptables -t mangle -A POSTROUTING -s "$pod_cidr" "${queue[@]}"
}

configure_containerd() {
  local snapshotter=overlayfs
  [[ $(stat -f -c %T "$dir") != overlayfs ]] || snapshotter=native
  # restrict_oom_score_adj: otherwise runc fails where root lacks CAP_SYS_RESOURCE
  cat >"$dir/containerd.toml" <<EOF
version = 3
root = "$dir/containerd"
state = "/run/containerd"
[grpc]
  address = "$CONTAINERD_ADDRESS"
[plugins."io.containerd.internal.v1.opt"]
  path = "$dir/opt"
[plugins."io.containerd.nri.v1.nri"]
  disable = true
[plugins."io.containerd.cri.v1.images"]
  snapshotter = "$snapshotter"
[plugins."io.containerd.cri.v1.images".pinned_images]
  sandbox = "openos.dev/local/pause:local"
[plugins."io.containerd.cri.v1.runtime"]
  restrict_oom_score_adj = true
[plugins."io.containerd.cri.v1.runtime".cni]
  bin_dirs = ["$bin"]
  conf_dir = "$dir/cni"
[plugins."io.containerd.cri.v1.runtime".containerd]
  default_runtime_name = "runc"
[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc.options]
  BinaryName = "$(command -v runc)"
[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runsc]
  runtime_type = "io.containerd.runsc.v1"
  pod_annotations = ["dev.gvisor.*"]
[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runsc.options]
  TypeUrl = "io.containerd.runsc.v1.options"
  ConfigPath = "$dir/runsc.toml"
EOF
  cat >"$dir/runsc.toml" <<EOF
binary_name = "$bin/runsc"
[runsc_config]
  platform = "systrap"
EOF
  # routed (ptp), not bridged: filters then see what one pod sends to another
  mkdir -p "$dir/cni"
  cat >"$dir/cni/10-openos.conflist" <<EOF
{"cniVersion": "1.0.0", "name": "openos", "plugins": [
  {"type": "ptp", "ipMasq": true, "ipam": {"type": "host-local", "dataDir": "/run/cni",
    "ranges": [[{"subnet": "$pod_subnet"}]], "routes": [{"dst": "0.0.0.0/0"}]}},
  {"type": "portmap", "capabilities": {"portMappings": true}}]}
EOF
}

configure_kubelet() {
  cat >"$dir/kubelet.yaml" <<EOF
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
authentication: {anonymous: {enabled: false}, webhook: {enabled: true}, x509: {clientCAFile: $pki/ca.crt}}
authorization: {mode: Webhook}
cgroupDriver: cgroupfs
cgroupRoot: /openos-$node_name
clusterDNS: [$service_dns]
clusterDomain: cluster.local
containerRuntimeEndpoint: unix://$CONTAINERD_ADDRESS
evictionHard: {imagefs.available: "0%", nodefs.available: "0%", memory.available: 100Mi}
failCgroupV1: false
failSwapOn: false
imageGCHighThresholdPercent: 100 # images come from archives: once collected they would be gone
maxPods: 250
podLogsDir: $dir/pods
resolvConf: $dir/resolv.conf
serializeImagePulls: false
EOF
}

start_control_plane() {
  control_plane_config "$dir" 6443 "$node_ip, $service_api" \
    "kube-apiserver bind-address 0.0.0.0 true" \
    "kube-apiserver advertise-address $node_ip" \
    "kube-apiserver service-cluster-ip-range $service_cidr" \
    "kube-apiserver kubelet-preferred-address-types InternalIP" \
    "kube-apiserver kubelet-client-certificate $pki/admin.crt" \
    "kube-apiserver kubelet-client-key $pki/admin.key" \
    "kube-controller-manager allocate-node-cidrs true" \
    "kube-controller-manager cluster-cidr $pod_cidr" \
    "kube-controller-manager service-cluster-ip-range $service_cidr" >"$dir/kwok.yaml"
  control_plane_start "$dir" >"$dir/log/control-plane.log" 2>&1
  control_plane_kubeconfig "$dir" "https://$node_ip:6443" "$node_name" >"$dir/kubeconfig.new"
  mv "$dir/kubeconfig.new" "$dir/kubeconfig"
}

import_images() {
  wait_for 20 ctr version || { echo "containerd does not answer"; return 1; }
  local archive
  for archive; do
    ctr images import "$archive"
  done
}

mkdir -p "$dir/log"
set_up_mounts
set_up_network
divert_connections
configure_containerd
keep containerd containerd --config "$dir/containerd.toml" &
import_images "$@" >"$dir/log/images.log" 2>&1 &
importing=$!
start_control_plane
configure_kubelet
wait "$importing"
keep kubelet kubelet --config "$dir/kubelet.yaml" --kubeconfig "$dir/kubeconfig" --root-dir "$dir/kubelet" \
  --cert-dir "$dir/kubelet/pki" --hostname-override "$node_name" --node-ip "$node_ip" &
keep kube-proxy kube-proxy --kubeconfig "$dir/kubeconfig" --proxy-mode iptables --hostname-override "$node_name" \
  --cluster-cidr "$pod_cidr" --conntrack-max-per-core 0 --conntrack-min 0 --metrics-bind-address 127.0.0.1:10249 &
touch "$dir/up"
while :; do
  wait -n || sleep 1
done
