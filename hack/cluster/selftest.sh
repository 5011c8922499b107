#!/usr/bin/env bash
# Tests these scripts on clusters of their own; see README.md in this folder.
set -Eeuo pipefail

usage() {
  cat <<'EOF'
usage: selftest.sh [light | cluster | all]

Makes clusters (light ones; and "selftest" with index 48) beside what is running,
checks what must work and what must be gone afterwards, removes them. Prints every
check; ends at the first that fails, with exit code 1. About two minutes.
EOF
}

# shellcheck source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

checks=0
# check WHAT COMMAND…: prints the outcome; the command's output only when it fails.
check() {
  local what=$1 began output
  shift
  began=$(now)
  if output=$("$@" 2>&1); then
    checks=$((checks + 1))
    echo "ok    $what ($(since "$began") s)"
  else
    echo "FAIL  $what ($(since "$began") s)"
    printf '%s\n' "$output"
    [[ -z ${kubeconfig:-} ]] || kubectl get pods,pvc,pv -A -o wide --request-timeout 5s || true
    [[ -z ${kubeconfig:-} ]] || kubectl get events -A --sort-by .lastTimestamp --request-timeout 5s | tail -n 15 || true
    exit 1
  fi
}

fails() { ! "$@"; }
within() { timeout "$@"; }
says() {
  local wanted=$1 output
  shift
  output=$("$@" 2>&1) || true
  echo "$output"
  [[ $output == *"$wanted"* ]]
}

kubectl() { "$bin/kubectl" --kubeconfig "$kubeconfig" "$@"; }
apply() { kubectl apply -f - <<<"$1"; }
ready() { kubectl wait --for condition=Ready --timeout 60s "$@"; }

# --- light -------------------------------------------------------------------

light=$hack_cluster/light.sh
light_pod() {
  cat <<EOF
{apiVersion: v1, kind: Pod, metadata: {name: $1}, spec: {runtimeClassName: gvisor, containers: [{name: a, image: none}]}}
EOF
}

light_processes() { processes_of "$state_root/light-$1"; }
no_light_traces() { [[ -z $(light_processes "$1") && ! -e $state_root/light-$1 ]]; }
only_loopback() { # every socket a light cluster listens on is on 127.0.0.1
  local listening
  listening=$(ss -Hltnp | grep -E "pid=($(light_processes "$1" | paste -sd'|'))," | awk '{print $4}')
  echo "$listening"
  [[ -n $listening ]] && ! grep -qv '^127\.0\.0\.1:' <<<"$listening"
}

test_light() {
  "$toolchain/get.sh" --light >/dev/null
  check "light: a first cluster comes up" "$light" up selftest-a
  kubeconfig=$("$light" up selftest-a 2>/dev/null)
  check "light: a second comes up beside it" "$light" up selftest-b
  check "light: up again changes nothing and takes at most ten seconds" within 10 "$light" up selftest-a
  check "light: it listens on 127.0.0.1 only" only_loopback selftest-a
  check "light: fake nodes become Ready" "$light" node selftest-a 2
  wait_for 20 kubectl get serviceaccount default
  check "light: a pod is made with RuntimeClass gvisor" apply "$(light_pod one)"
  check "light: it becomes Ready" ready pod/one
  check "light: it vanishes when deleted" kubectl delete pod/one --timeout 10s
  apply '{apiVersion: v1, kind: ResourceQuota, metadata: {name: none}, spec: {hard: {pods: "0"}}}' >/dev/null
  wait_for 10 says '"pods":"0"' kubectl get resourcequota none -o jsonpath='{.status.hard}'
  check "light: ResourceQuota is enforced" says "exceeded quota" apply "$(light_pod two)"
  kubectl delete resourcequota none >/dev/null
  kubectl label namespace default pod-security.kubernetes.io/enforce=restricted >/dev/null
  check "light: PodSecurity is enforced" says "violates PodSecurity" apply "$(light_pod two)"
  kubectl label namespace default pod-security.kubernetes.io/enforce- >/dev/null
  apply '
{apiVersion: admissionregistration.k8s.io/v1, kind: ValidatingAdmissionPolicy, metadata: {name: refuse}, spec: {failurePolicy: Fail,
  matchConstraints: {resourceRules: [{apiGroups: [""], apiVersions: [v1], operations: [CREATE], resources: [configmaps]}]},
  validations: [{expression: "object.metadata.name != \"refused\"", message: "refused by CEL"}]}}
---
{apiVersion: admissionregistration.k8s.io/v1, kind: ValidatingAdmissionPolicyBinding, metadata: {name: refuse}, spec: {policyName: refuse, validationActions: [Deny]}}' >/dev/null
  check "light: ValidatingAdmissionPolicy is enforced" wait_for 20 says "refused by CEL" kubectl create configmap refused
  apply '{apiVersion: apps/v1, kind: Deployment, metadata: {name: d}, spec: {replicas: 2, selector: {matchLabels: {a: d}},
    template: {metadata: {labels: {a: d}}, spec: {containers: [{name: a, image: none}]}}}}' >/dev/null
  check "light: a Deployment becomes available" kubectl wait --for condition=Available deployment/d --timeout 30s
  kubectl delete deployment d >/dev/null
  check "light: the garbage collector removes its pods" kubectl wait --for delete pod -l a=d --timeout 30s

  kill -9 "$(light_processes selftest-a | head -n 1)"
  check "light: after one process was killed, up repairs" "$light" up selftest-a
  "$light" down selftest-a
  "$light" up selftest-a >/dev/null 2>&1 &
  local starter=$!
  disown
  sleep 1.5
  kill -9 "$starter"
  check "light: after the starter was killed, up repairs" "$light" up selftest-a
  check "light: the kubeconfig works" kubectl get namespaces
  check "light: down" "$light" down selftest-a
  check "light: down, the other" "$light" down selftest-b
  check "light: nothing is left" no_light_traces selftest-a
  check "light: nothing is left of the other" no_light_traces selftest-b
  check "light: down of what is not there" "$light" down selftest-a
}

# --- a whole cluster ---------------------------------------------------------

image=openos.dev/local/busybox:local
sandboxed() { # NAME LABEL COMMAND [more of the spec]
  cat <<EOF
apiVersion: v1
kind: Pod
metadata: {name: $1, labels: {app: $2}}
spec:
  runtimeClassName: gvisor
  terminationGracePeriodSeconds: 0
  securityContext: {runAsNonRoot: true, runAsUser: 1000, runAsGroup: 1000, seccompProfile: {type: RuntimeDefault}}
  containers:
  - {name: main, image: "$image", imagePullPolicy: Never, command: [sh, -c, "$3"], ${4:-}
     securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}}
EOF
}

in_client() { kubectl exec client -- "$@"; }
field() { kubectl get "$1" -o jsonpath="$2"; }
# nc, because the static busybox crashes where wget looks up addresses
fetch() { in_client sh -c "printf 'GET / HTTP/1.0\r\n\r\n' | timeout 5 nc -w 3 $1 8080 | grep 'hello from web'"; }
resolve() { in_client timeout 5 nslookup "$1"; }
from_host() { curl --silent --fail --max-time 5 --noproxy '*' "http://$1:8080/"; }
is_bound() { [[ $(field pvc/data '{.status.phase}') == Bound ]]; }

# traces NAME: what a cluster could leave on the machine, to compare before and after.
# Other software may mount and make devices meanwhile: what it takes away does not
# count, nor do temporary folders, the cache and other clusters' devices.
traces() {
  ip -br link | awk '{print "link", $1}' | grep -vE " openos[0-9]+@" || true
  ip -br link show "$device" | awk '{print "link", $1}' || true
  ip -4 route | sed 's/^/route /' | grep -vE " dev openos[0-9]+ " || true
  ip -4 route show dev "$device" | sed 's/^/route /' || true
  ip netns list | sed 's/^/netns /'
  awk '{print "mount", $5}' /proc/self/mountinfo | grep -vE " ($cache|/tmp)/"
  find /sys/fs/cgroup -maxdepth 3 -type d \( -name "openos-$1" -o -path "*/openos-$1/*" \) | sed 's/^/cgroup /'
  iptables-save | sed '/^#/d;s/\[[0-9:]*\]//;s/^/iptables /'
  processes_of "$state_root/$1" | sed 's/^/process /'
  find "$state_root" -mindepth 1 -maxdepth 1 -name "$1" | sed 's/^/state /'
  find /var/log /var/lib -maxdepth 1 \( -name pods -o -path /var/log/containers -o -name kubelet -o -name cni \) -printf 'file %p\n'
} 2>/dev/null

nothing_is_left() {
  traces selftest | sort | comm -13 "$work/before" - >"$work/left"
  cat "$work/left"
  [[ ! -s $work/left ]]
}

test_pods() {
  check "the busybox image is loaded" "$hack_cluster/load-image.sh" "$("$hack_cluster/node-images.sh" busybox)"
  apply '{apiVersion: v1, kind: Service, metadata: {name: web}, spec: {selector: {app: web}, ports: [{port: 8080}]}}' >/dev/null
  sandboxed web web "echo hello from web > /tmp/index.html; exec httpd -f -p 8080 -h /tmp" | kubectl apply -f - >/dev/null
  sandboxed client client "exec sleep 100000" | kubectl apply -f - >/dev/null
  check "gVisor pods become Ready" ready pod/web pod/client
  check "their kernel is gVisor's" says "gVisor" in_client dmesg
  check "logs can be read" kubectl logs web
  local pod service api
  pod=$(field pod/web '{.status.podIP}') service=$(field service/web '{.spec.clusterIP}')
  api=$(field service/kubernetes '{.spec.clusterIP}')
  check "cluster DNS answers in a pod" says "$service" resolve web.default.svc.cluster.local
  check "a name that does not exist is NXDOMAIN" says "NXDOMAIN" resolve nothing.default.svc.cluster.local
  check "another pod answers" says "hello from web" fetch "$pod"
  check "a Service answers" wait_for 10 says "hello from web" fetch "$service"
  if [[ $provider == native ]]; then
    check "the host reaches the pod" says "hello from web" from_host "$pod"
    check "the host reaches the Service" says "hello from web" from_host "$service"
  fi

  apply '{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: deny}, spec: {podSelector: {matchLabels: {app: client}}, policyTypes: [Egress]}}' >/dev/null
  check "default-deny egress blocks pods" wait_for 10 fails fetch "$pod"
  check "and Services" fails fetch "$service"
  check "and DNS" fails resolve web.default.svc.cluster.local
  [[ $provider != native ]] || check "and the API server" fails in_client nc -w 3 "$api" 443
  check "while exec and logs still work" in_client true
  kubectl delete networkpolicy deny >/dev/null
  check "without the policy the pod answers again" wait_for 10 fetch "$pod"
  apply '{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: deny}, spec: {podSelector: {matchLabels: {app: web}}, policyTypes: [Ingress],
    ingress: [{from: [{podSelector: {matchLabels: {friend: "yes"}}}]}]}}' >/dev/null
  check "an ingress policy blocks strangers" wait_for 10 fails fetch "$pod"
  kubectl label pod client friend=yes >/dev/null
  check "and lets a friend in" wait_for 10 fetch "$pod"
  kubectl delete networkpolicy deny >/dev/null

  apply '{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: data}, spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 10Mi}}}}' >/dev/null
  sandboxed writer writer "echo kept > /data/file && exec sleep 100000" 'volumeMounts: [{name: data, mountPath: /data}],' >"$work/writer"
  echo '  volumes: [{name: data, persistentVolumeClaim: {claimName: data}}]' >>"$work/writer"
  check "a pod with a claim on the default StorageClass is made" kubectl apply -f "$work/writer"
  check "the claim is bound" wait_for 60 is_bound
  check "the gVisor pod becomes Ready" ready pod/writer
  check "and has written to it" wait_for 10 says kept kubectl exec writer -- cat /data/file
  kubectl delete pod writer >/dev/null
  kubectl apply -f "$work/writer" >/dev/null
  ready pod/writer >/dev/null
  kubectl delete pod/writer pvc/data >/dev/null
  check "a deleted claim's volume is removed" wait_for 60 says "No resources" kubectl get pv
}

test_cluster() {
  export CLUSTER_NAME=selftest CLUSTER_INDEX=48
  unset KUBECONFIG
  use_cluster
  "$hack_cluster/down.sh"
  "${provider}_describe"
  device=${device:-none} # kind has none of its own
  traces selftest | sort >"$work/before"
  check "kubeconfig.sh refuses while nothing is up" fails "$hack_cluster/kubeconfig.sh"
  check "node.sh refuses while nothing is up" fails "$hack_cluster/node.sh" true
  check "up from nothing" "$hack_cluster/up.sh"
  kubeconfig=$("$hack_cluster/kubeconfig.sh")
  check "its traces are seen" fails nothing_is_left
  check "up again changes nothing and takes at most ten seconds" within 10 "$hack_cluster/up.sh"
  check "up with the user's KUBECONFIG does nothing" env KUBECONFIG=/nowhere "$hack_cluster/up.sh"
  check "up with our own KUBECONFIG is up as usual" says "is up" env KUBECONFIG="$kubeconfig" "$hack_cluster/up.sh"
  check "down with the user's KUBECONFIG refuses" fails env KUBECONFIG=/nowhere "$hack_cluster/down.sh"
  check "node.sh runs a command in the node" says k8s.io "$hack_cluster/node.sh" ctr namespaces list
  check "another cluster with the same addresses is refused" says "choose another CLUSTER_INDEX" \
    env CLUSTER_NAME=selftest-too "$hack_cluster/up.sh"
  test_pods
  [[ $provider != native ]] || test_native_repair
  check "down" "$hack_cluster/down.sh"
  check "nothing is left" nothing_is_left
  check "down of what is not there" "$hack_cluster/down.sh"
}

# kill_native PROGRAM: one of the node's or the control plane's processes.
kill_native() {
  local process
  for process in $(processes_of "$dir"); do
    [[ $(readlink "/proc/$process/exe") != "$bin/$1" ]] || kill -9 "$process"
  done
}

test_native_repair() {
  local program
  native_describe
  for program in kube-apiserver etcd kube-scheduler; do
    kill_native "$program"
    check "after $program was killed, up repairs" "$hack_cluster/up.sh"
  done
  kill_native containerd
  kill_native kubelet
  check "killed containerd and kubelet come back by themselves" wait_for 20 are_processes_running
  check "the pods are still there" wait_for 30 in_client true
  check "and new ones start" start_one_pod
  kubectl delete pod again >/dev/null
  kill -9 "$(inner)"
  check "after process 1 of the node was killed, up rebuilds" "$hack_cluster/up.sh"
  check "and a gVisor pod runs" start_one_pod
  "$hack_cluster/down.sh"
  local moment starter
  for moment in 0.4 1.5 4; do
    setsid "$hack_cluster/up.sh" >/dev/null 2>&1 &
    starter=$!
    disown
    sleep "$moment"
    kill -9 -- "-$starter" 2>/dev/null || true
    if [[ $moment == 1.5 ]]; then
      check "after up was killed at $moment s, down cleans up" "$hack_cluster/down.sh"
      check "and nothing is left" nothing_is_left
    else
      check "after up was killed at $moment s, up completes" "$hack_cluster/up.sh"
      [[ $moment == 4 ]] || "$hack_cluster/down.sh"
    fi
  done
}

start_one_pod() {
  wait_for 30 kubectl get serviceaccount default
  sandboxed again again "exec sleep 100000" | kubectl apply -f - && ready pod/again
}

clean_up() {
  rm -rf "$work"
  [[ -z ${tested_light:-} ]] || { "$light" down selftest-a; "$light" down selftest-b; }
  [[ -z ${CLUSTER_NAME:-} ]] || "$hack_cluster/down.sh"
} >/dev/null 2>&1

case ${1:-all} in
  -h | --help) usage; exit 0 ;;
  light | cluster | all) ;;
  *) usage >&2; exit 2 ;;
esac
unset CLUSTER_NAME CLUSTER_INDEX
work=$(mktemp -d)
trap clean_up EXIT
trap 'say "FAIL  line $LINENO: $BASH_COMMAND"' ERR
began_all=$(now)
[[ ${1:-all} == cluster ]] || { tested_light=yes; test_light; }
[[ ${1:-all} == light ]] || test_cluster
echo "$checks checks passed in $(since "$began_all") s"
