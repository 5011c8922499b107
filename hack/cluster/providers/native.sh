# shellcheck shell=bash disable=SC2154 # name, index and dir come from up.sh
# The native provider: a control plane and a real node, without a container engine, in
# network, mount and process namespaces of their own. Everything hangs on one process
# (native-init.sh as process 1 inside); what the host holds besides is the network
# device to it, whose routes go with it, a folder and empty cgroups.

# shellcheck source=../control-plane.sh
source "$hack_cluster/control-plane.sh"

# Debian packages by the command they are for: what is there already may come from
# elsewhere (Docker's packages, for instance, bring a runc that excludes Debian's).
# -g: this file is sourced inside a function, where declare alone makes a local variable.
declare -gA native_packages=([runc]=runc [iptables]=iptables [nft]=nftables [ip]=iproute2 [nsenter]=util-linux)

native_describe() {
  [[ $index =~ ^([1-9]|[1-4][0-9])$ ]] || die "CLUSTER_INDEX=$index is not a number from 1 to 49"
  device=openos$index node_name=$name
  host_ip=10.250.$index.1 node_ip=10.250.$index.2
  pod_cidr=10.$((100 + index)).0.0/16 pod_subnet=10.$((100 + index)).0.0/24
  service_cidr=10.$((150 + index)).0.0/16 service_api=10.$((150 + index)).0.1 service_dns=10.$((150 + index)).0.10
  manifests=(coredns kube-network-policies local-path-provisioner runtimeclass)
}

kubectl() { "$bin/kubectl" --kubeconfig "$dir/kubeconfig" --request-timeout 20s "$@"; }

# started PID: when the process began; with it a recycled pid is never taken for ours.
started() { sed 's/.*) //' "/proc/$1/stat" 2>/dev/null | cut -d' ' -f20; }

# outer prints the pid of the cluster's outermost process (unshare) while it lives.
outer() {
  local pid began
  read -r pid began 2>/dev/null <"$dir/pid" || return 1
  [[ $(started "$pid") == "$began" ]] && echo "$pid"
}

# inner prints the pid, as the host sees it, of process 1 inside.
inner() {
  local pid child
  pid=$(outer) || return 1
  child=$(cat "/proc/$pid/task/$pid/children" 2>/dev/null || pgrep -P "$pid") || return 1
  child=${child%%[[:space:]]*}
  [[ -n $child ]] && echo "$child"
}

inside() {
  local pid
  pid=$(inner) || die "the cluster $name is not up; run: make cluster-up"
  nsenter --target "$pid" --mount --pid --net env \
    "PATH=$bin:$PATH" CONTAINERD_ADDRESS=/run/containerd/containerd.sock CONTAINERD_NAMESPACE=k8s.io "$@"
}

native_exec() { inside "$@"; }

native_load() {
  local said
  said=$(inside ctr images import - 2>&1 >/dev/null <"$1") || { say "$said"; return 1; }
}

native_down() {
  native_describe
  local pid child
  if pid=$(outer); then
    child=$(inner) || child=''
    [[ -z $child ]] || nsenter --target "$child" --net sysctl -qw net.ipv4.tcp_orphan_retries=1 net.ipv4.tcp_fin_timeout=1 2>/dev/null || true
    kill -9 ${child:+"$child"} "$pid" 2>/dev/null || true
  fi
  # one that was started just before its starter was killed has no pid on record
  for pid in $(starters); do kill -9 "$pid" 2>/dev/null || true; done
  wait_for 10 has_ended || die "processes of $name do not end: $(processes_of "$dir" | tr '\n' ' ')"
  remove_device
  remove_cgroups
  rm -rf "$dir"
}

# starters prints pids of unshare processes of this state folder.
starters() {
  local file
  while read -r file; do
    [[ $(readlink "${file%/cmdline}/exe") != */unshare ]] || echo "${file//[^0-9]/}"
  done < <(grep -lzxF "dir=$dir" /proc/[0-9]*/cmdline 2>/dev/null)
}

has_ended() { [[ -z $(processes_of "$dir") ]]; }

# remove_device: the kernel keeps a network namespace, and with it our end of the cable,
# until the last connection its dead processes left open has timed out. Removing our
# end removes both, and the routes. One of another cluster is left alone.
remove_device() {
  [[ $(cat "/sys/class/net/$device/ifalias" 2>/dev/null) != "$name" ]] || ip link delete "$device"
}

# A pod's processes may take a moment to leave theirs.
remove_cgroups() {
  local root
  for root in /sys/fs/cgroup/openos-"$name" /sys/fs/cgroup/*/openos-"$name"; do
    [[ ! -d $root ]] || wait_for 5 remove_cgroup "$root" || say "the cgroup $root is still in use"
  done
}

remove_cgroup() { find "$1" -depth -type d -exec rmdir {} + 2>/dev/null; [[ ! -d $1 ]]; }

# The kubelet wants its root in every hierarchy; with a root of its own it also leaves
# the pods of another cluster alone. In cgroup v2 controllers are handed down one by one.
make_cgroups() {
  local root controller
  if [[ -f /sys/fs/cgroup/cgroup.controllers ]]; then
    for controller in $(</sys/fs/cgroup/cgroup.controllers); do
      echo "+$controller" 2>/dev/null >/sys/fs/cgroup/cgroup.subtree_control || true
    done
    mkdir -p "/sys/fs/cgroup/openos-$name"
    return
  fi
  for root in /sys/fs/cgroup/*/; do
    [[ -L ${root%/} ]] || mkdir -p "${root}openos-$name"
  done
  # a new v1 cpuset is empty and admits no process
  root=/sys/fs/cgroup/cpuset
  [[ ! -d $root ]] || for controller in cpuset.cpus cpuset.mems; do
    [[ ! -f $root/$controller ]] || cat "$root/$controller" >"$root/openos-$name/$controller"
  done
}

native_is_healthy() {
  native_describe
  [[ -f $dir/up ]] && inner >/dev/null && are_processes_running && are_addons_ready && add_routes
}

# are_processes_running: a dead scheduler, say, shows nowhere in what the API reports.
are_processes_running() {
  local process running
  running=$(for process in $(processes_of "$dir"); do
    process=$(readlink "/proc/$process/exe") && process=${process##*/} && echo "${process% (deleted)}"
  done | sort -u)
  for process in etcd kube-apiserver kube-controller-manager kube-scheduler kwok containerd kubelet kube-proxy; do
    grep -qx "$process" <<<"$running" || return 1
  done
}

# are_addons_ready: one call for the node, the three workloads and what pods need.
are_addons_ready() {
  local found wanted
  found=$(kubectl get -A nodes,deployments,daemonsets,serviceaccounts,storageclasses,runtimeclasses -o jsonpath='{range .items[*]}
{.kind} {.metadata.namespace} {.metadata.name} {.status.availableReplicas}{.status.numberAvailable}{.status.conditions[?(@.type=="Ready")].status}{end}') || return 1
  for wanted in "Node  $node_name True" "Deployment kube-system coredns 1" "DaemonSet kube-system kube-network-policies 1" \
    "Deployment local-path-storage local-path-provisioner 1" "ServiceAccount default default " "StorageClass  standard " "RuntimeClass  gvisor "; do
    grep -qx "$wanted.*" <<<"$found" || return 1
  done
} 2>/dev/null

add_routes() {
  ip route replace "$pod_cidr" via "$node_ip" dev "$device" && ip route replace "$service_cidr" via "$node_ip" dev "$device"
}

# check_addresses: what would be routed to this cluster must not be in use already.
check_addresses() {
  local cidr used
  for cidr in "10.250.$index.0/24" "$pod_cidr" "$service_cidr"; do
    used=$(ip -4 route show root "$cidr"; ip -4 route show match "$cidr" | grep -v '^default' || true)
    [[ -z $used ]] || die "$cidr is in use on this machine (${used%%$'\n'*}); choose another CLUSTER_INDEX (1 to 49)"
  done
}

install_missing_commands() {
  local command missing=()
  for command in "${!native_packages[@]}"; do
    command -v "$command" >/dev/null || missing+=("${native_packages[$command]}")
  done
  ((${#missing[@]} == 0)) || "$toolchain/packages.sh" "${missing[@]}"
}

native_up() {
  native_describe
  ((EUID == 0)) || die "the native cluster needs root (namespaces, devices): run as root, or install Docker or Podman and use CLUSTER_PROVIDER=kind"
  install_missing_commands
  "$toolchain/get.sh" --native >/dev/null

  local images
  images=$("$hack_cluster/node-images.sh")
  if [[ -e $dir ]] && inner >/dev/null && [[ -f $dir/up ]]; then
    native_repair && return
    say "$name cannot be repaired; building it anew"
  fi
  native_down
  check_addresses
  start_node "$images"
  start_addons
}

# native_repair: brings back what has died inside a cluster whose process 1 lives.
native_repair() {
  say "$name is not healthy; repairing it…"
  add_routes || return 1
  inside env KWOK_WORKDIR="$dir/kwok" kwokctl start cluster --name "$control_plane_name" >>"$dir/log/control-plane.log" 2>&1 || return 1
  wait_for 30 kubectl get --raw /readyz || return 1
  apply_manifests || return 1
  wait_for 60 are_addons_ready && wait_for 10 are_processes_running
}

start_node() {
  local began pid archives
  began=$(now)
  mapfile -t archives <<<"$1"
  say "starting the control plane and the node…"
  mkdir -p "$dir/log"
  printf 'provider=native\nindex=%s\n' "$index" >"$dir/cluster"
  make_cgroups
  setsid unshare --net --mount --pid --fork --kill-child env \
    "dir=$dir" "node_name=$node_name" "node_ip=$node_ip" "host_ip=$host_ip" \
    "pod_subnet=$pod_subnet" "pod_cidr=$pod_cidr" \
    "service_cidr=$service_cidr" "service_dns=$service_dns" "service_api=$service_api" \
    "OPENOS_CACHE=$cache" "OPENOS_STATE=$state_root" \
    bash "$hack_cluster/providers/native-init.sh" "${archives[@]}" </dev/null >"$dir/log/init.log" 2>&1 &
  pid=$!
  echo "$pid $(started "$pid")" >"$dir/pid"
  disown
  wait_for 10 inner || give_up init
  ip link add "$device" type veth peer name eth0 netns "$(inner)"
  ip link set "$device" alias "$name"
  ip addr add "$host_ip/24" dev "$device"
  ip link set "$device" up
  add_routes
  wait_for 120 is_started_or_dead
  [[ -f $dir/up ]] || give_up init control-plane images containerd
  say "control plane and node are started after $(since "$began") s"
}

is_started_or_dead() { [[ -f $dir/up ]] || ! inner >/dev/null; }

apply_manifests() {
  local manifest
  for manifest in "${manifests[@]}"; do
    echo ---
    sed -e "s/SERVICE_DNS/$service_dns/" -e "s#VOLUMES#$dir/volumes#" "$hack_cluster/manifests/$manifest.yaml"
  done | kubectl apply --server-side --force-conflicts -f - >>"$dir/log/addons.log" 2>&1
}

start_addons() {
  local began
  began=$(now)
  apply_manifests || give_up addons
  if ! wait_for 90 are_addons_ready; then
    kubectl get nodes,pods -A >>"$dir/log/addons.log" 2>&1 || true
    give_up addons kubelet
  fi
  say "DNS, network policies and volumes are ready after $(since "$began") s"
}

# give_up LOG…: the ends of these logs, then the end.
give_up() {
  local log
  for log; do
    say "--- the end of $dir/log/$log.log"
    tail -n 12 "$dir/log/$log.log" >&2 || true
  done
  die "$name did not come up; its logs are in $dir/log (remove it with: make cluster-down)"
}
