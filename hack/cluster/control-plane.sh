# shellcheck shell=bash disable=SC2154 # bin and the versions come from lib.sh
# A Kubernetes control plane as plain processes, by kwokctl's binary runtime: etcd,
# API server, controller manager, scheduler and the KWOK controller, which here only
# simulates nodes annotated kwok.x-k8s.io/node=fake. Used by light.sh (alone) and by
# the native provider (beside a real kubelet). Sourced after lib.sh.

control_plane_name=openos # kwokctl's name; ours is the folder

# control_plane_config DIR API_PORT NAMES [OPTION…]: prints kwokctl's configuration.
# Everything listens on 127.0.0.1: etcd has no authentication and must never be
# reachable from pods. No leader election and no throttling of the controller manager:
# those two alone took longer than all the rest. NAMES go into the certificate; each
# OPTION is one more argument of a component: "COMPONENT KEY VALUE", with " true" after
# it to replace an argument.
control_plane_config() {
  local dir=$1 api_port=$2 names=$3
  shift 3
  cat <<EOF
apiVersion: config.kwok.x-k8s.io/v1alpha1
kind: KwokctlConfiguration
options:
  runtime: binary
  kubeVersion: v$KUBERNETES_VERSION
  etcdVersion: $ETCD_VERSION
  kubeAuthorization: true
  kubeAdmission: true
  securePort: true
  bindAddress: 127.0.0.1
  kubeApiserverPort: $api_port
  etcdPort: $((api_port + 1))
  etcdPeerPort: $((api_port + 2))
  kubeControllerManagerPort: $((api_port + 3))
  kubeSchedulerPort: $((api_port + 4))
  kwokControllerPort: $((api_port + 5))
  kubeApiserverCertSANs: [$names]
  kubeApiserverBinary: $bin/kube-apiserver
  kubeControllerManagerBinary: $bin/kube-controller-manager
  kubeSchedulerBinary: $bin/kube-scheduler
  kwokControllerBinary: $bin/kwok
  etcdBinary: $bin/etcd
  kubectlBinary: $bin/kubectl
  cacheDir: $dir/kwok/cache
componentsPatches:
- name: kwok-controller
  extraArgs:
  - {key: manage-all-nodes, value: "false", override: true}
  - {key: manage-nodes-with-annotation-selector, value: kwok.x-k8s.io/node=fake}
- name: kube-apiserver
  extraArgs:
$(extra_arguments kube-apiserver "$@")
- name: kube-controller-manager
  extraArgs:
  - {key: use-service-account-credentials, value: "true"}
  - {key: leader-elect, value: "false"}
  - {key: kube-api-qps, value: "200"}
  - {key: kube-api-burst, value: "400"}
$(extra_arguments kube-controller-manager "$@")
- name: kube-scheduler
  extraArgs:
  - {key: leader-elect, value: "false"}
EOF
}

# extra_arguments COMPONENT OPTION…: those options that are for the component, as YAML.
extra_arguments() {
  local wanted=$1 component key value override
  shift
  for line; do
    read -r component key value override <<<"$line"
    [[ $component != "$wanted" ]] || echo "  - {key: $key, value: \"$value\", override: ${override:-false}}"
  done
}

# control_plane_start DIR: from DIR/kwok.yaml, in about four seconds.
control_plane_start() {
  KWOK_WORKDIR=$1/kwok "$bin/kwokctl" create cluster --name "$control_plane_name" \
    --config "$1/kwok.yaml" --kubeconfig "$1/kwok.kubeconfig" --wait 60s
}

# control_plane_kubeconfig DIR SERVER NAME: prints a kubeconfig that carries its
# credentials in itself, so that the file alone can be handed on.
control_plane_kubeconfig() {
  local pki=$1/kwok/clusters/$control_plane_name/pki
  cat <<EOF
apiVersion: v1
kind: Config
current-context: $3
contexts: [{name: $3, context: {cluster: $3, user: $3}}]
clusters: [{name: $3, cluster: {server: "$2", certificate-authority-data: $(base64 -w0 "$pki/ca.crt")}}]
users: [{name: $3, user: {client-certificate-data: $(base64 -w0 "$pki/admin.crt"), client-key-data: $(base64 -w0 "$pki/admin.key")}}]
EOF
}
