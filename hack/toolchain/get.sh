#!/usr/bin/env bash
# Builds the pinned tools into a user cache; see README.md in this folder.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=versions.env
source "$here/versions.env"

cache=${OPENOS_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/openos}
bin=$cache/bin

light_tools=(etcd kwok kwokctl kubectl kube-apiserver kube-controller-manager kube-scheduler)
native_tools=("${light_tools[@]}" kubelet kube-proxy containerd ctr containerd-shim-runc-v2
  runsc containerd-shim-runsc-v1 ptp host-local loopback portmap
  pause coredns kube-network-policies local-path-provisioner)
kind_tools=(kind kubectl runsc containerd-shim-runsc-v1)
other_tools=(nats-server helm crane)

usage() {
  cat <<EOF
usage: get.sh TOOL… | --light | --native | --kind | --all

Builds what is missing or has another version than versions.env into
$bin and prints that directory.

  --light   control plane and KWOK: ${light_tools[*]}
  --native  --light and what a real node needs without a container engine:
            ${native_tools[*]:${#light_tools[@]}}
  --kind    what a kind cluster needs: ${kind_tools[*]}
  --all     everything, also: ${other_tools[*]}

Environment: OPENOS_CACHE (default: \$XDG_CACHE_HOME/openos or ~/.cache/openos)
EOF
}

die() { echo "get.sh: $*" >&2; exit 1; }

# describe TOOL: sets version, source ("proxy", or a folder here whose go.mod requires
# module at that version), package, about (build time on two cores), tags and ldflags.
describe() {
  source=proxy tags='' ldflags='-s -w'
  case $1 in
    kube-apiserver | kube-controller-manager | kube-scheduler | kubelet | kube-proxy | kubectl)
      version=$KUBERNETES_VERSION source=kubernetes module=k8s.io/kubernetes package=k8s.io/kubernetes/cmd/$1 about='1 to 4 min'
      local v=k8s.io/component-base/version major=${KUBERNETES_VERSION%%.*} minor=${KUBERNETES_VERSION#*.}
      ldflags+=" -X $v.gitVersion=v$KUBERNETES_VERSION -X $v.gitMajor=$major -X $v.gitMinor=${minor%%.*}"
      ldflags+=" -X $v.gitTreeState=clean" ;;
    etcd)
      version=$ETCD_VERSION source=etcd module=go.etcd.io/etcd/server/v3 package=go.etcd.io/etcd/server/v3 about='30 s' ;;
    kube-network-policies)
      version=$KUBE_NETWORK_POLICIES_VERSION source=kube-network-policies about='1 min'
      module=sigs.k8s.io/kube-network-policies package=$module/cmd ;;
    kwok | kwokctl)
      version=$KWOK_VERSION package=sigs.k8s.io/kwok/cmd/$1 about='1 min'
      ldflags+=" -X sigs.k8s.io/kwok/pkg/consts.Version=v$KWOK_VERSION" ;;
    containerd | ctr | containerd-shim-runc-v2)
      version=$CONTAINERD_VERSION package=github.com/containerd/containerd/v2/cmd/$1 about='1 min'
      tags=no_btrfs,no_devmapper,no_zfs
      ldflags+=" -X github.com/containerd/containerd/v2/version.Version=v$CONTAINERD_VERSION" ;;
    runsc)
      version=$GVISOR_VERSION package=gvisor.dev/gvisor/runsc about='1 min'
      ldflags+=" -X gvisor.dev/gvisor/runsc/version.version=$GVISOR_VERSION" ;;
    containerd-shim-runsc-v1)
      version=$GVISOR_VERSION package=gvisor.dev/gvisor/shim about='15 s' ;;
    ptp | loopback) version=$CNI_PLUGINS_VERSION package=$cni/main/$1 about='5 s' ;;
    host-local) version=$CNI_PLUGINS_VERSION package=$cni/ipam/$1 about='5 s' ;;
    portmap) version=$CNI_PLUGINS_VERSION package=$cni/meta/$1 about='5 s' ;;
    coredns) version=$COREDNS_VERSION package=github.com/coredns/coredns about='2 min' ;;
    local-path-provisioner)
      version=$LOCAL_PATH_PROVISIONER_VERSION package=github.com/rancher/local-path-provisioner about='1 min' ;;
    helm)
      version=$HELM_VERSION package=helm.sh/helm/v4/cmd/helm about='2 min'
      ldflags+=" -X helm.sh/helm/v4/internal/version.version=v$HELM_VERSION" ;;
    pause)
      version=1 source=pause module='' package=. about='5 s' ;;
    nats-server) version=$NATS_SERVER_VERSION package=github.com/nats-io/nats-server/v2 about='20 s' ;;
    crane) version=$CRANE_VERSION package=github.com/google/go-containerregistry/cmd/crane about='10 s' ;;
    kind) version=$KIND_VERSION package=sigs.k8s.io/kind about='10 s' ;;
    *) die "no tool named \"$1\"; see get.sh --help" ;;
  esac
}
cni=github.com/containernetworking/plugins/plugins

# A shim that may raise its own OOM score needs CAP_SYS_RESOURCE (bit 24). Where the
# machine withholds it even from root, runsc's shim is built without that wish.
lacks_sys_resource() {
  local mask
  mask=$(sed -n 's/^CapBnd:\t//p' /proc/self/status)
  (((16#$mask >> 24 & 1) == 0))
}

# stamp TOOL: everything the binary depends on; a different stamp means build again.
stamp() {
  local sums=''
  [[ $source == proxy ]] || sums=$(cat "$here/$source"/* | sha256sum | cut -c1-16)
  [[ $1 != containerd-shim-runsc-v1 ]] || ! lacks_sys_resource || sums=oom-score-0
  echo "$1 v$version $sums $tags $ldflags"
}

is_fresh() { [[ -x $bin/$1 && -f $bin/.stamps/$1 && $(<"$bin/.stamps/$1") == "$(stamp "$1")" ]]; }

# find_go: any Go 1.26 as it is; another one fetches the pinned toolchain, which Go itself verifies.
find_go() {
  local advice="Install Go $GO_VERSION from https://go.dev/dl/ (or your distribution's package if it is $GO_MINIMUM or newer) and put it on PATH."
  command -v go >/dev/null || die "Go is not installed. $advice"
  local found
  found=$(GOTOOLCHAIN=local go env GOVERSION)
  found=${found#go}
  [[ $(printf '%s\n' "$GO_MINIMUM" "$found" | sort -V | head -1) == "$GO_MINIMUM" ]] || die "Go $found is too old. $advice"
  [[ $found == "${GO_VERSION%.*}" || $found == "${GO_VERSION%.*}".* ]] || export GOTOOLCHAIN=go$GO_VERSION
  export GOFLAGS=-buildvcs=false GOWORK=off CGO_ENABLED=0
  unset GOOS GOARCH GOEXPERIMENT
}

# compile TOOL DIR: leaves exactly one file in DIR.
compile() {
  local tool=$1 out=$2
  if [[ $tool == containerd-shim-runsc-v1 ]] && lacks_sys_resource; then
    compile_patched_shim "$out"
  elif [[ $source == proxy ]]; then
    GOBIN=$out go install -trimpath -tags "$tags" -ldflags "$ldflags" "$package@v$version"
  else
    [[ -z $module ]] || grep -qE "^(require )?\s*$module v${version//./\\.}( |\$)" "$here/$source/go.mod" \
      || { echo "hack/toolchain/$source/go.mod does not require v$version: edit it and run 'go mod tidy' there"; return 1; }
    go build -C "$here/$source" -mod=readonly -trimpath -tags "$tags" -ldflags "$ldflags" -o "$out/$tool" "$package"
  fi
}

compile_patched_shim() {
  local out=$1 module scratch
  scratch=$(mktemp -d "$cache/tmp/gvisor.XXXXXX")
  module=$(cd "$scratch" && go mod download -json "gvisor.dev/gvisor@v$version" | sed -n 's/^\t"Dir": "\(.*\)",\{0,1\}$/\1/p')
  cp -r "$module/." "$scratch"
  chmod -R u+w "$scratch"
  sed -i 's/oomScoreMax = -999/oomScoreMax = 0/' "$scratch/pkg/shim/v1/manager.go"
  grep -q 'oomScoreMax = 0' "$scratch/pkg/shim/v1/manager.go" || { echo "gVisor's shim changed: no oomScoreMax to patch"; return 1; }
  go build -C "$scratch" -mod=readonly -trimpath -ldflags "$ldflags" -o "$out/containerd-shim-runsc-v1" ./shim
  rm -rf "$scratch"
}

# build TOOL, one builder per tool at a time; the finished file replaces the old one by rename.
build() {
  local tool=$1 log=$cache/log/build-$1.log began out
  exec {lock}>"$cache/lock/$tool"
  if ! flock -n "$lock"; then
    echo "waiting for another build of $tool…" >&2
    flock "$lock"
  fi
  if is_fresh "$tool"; then exec {lock}>&-; return; fi

  [[ -n ${go_ready:-} ]] || { find_go; go_ready=yes; }
  began=$SECONDS out=$(mktemp -d "$cache/tmp/$tool.XXXXXX")
  printf 'building %s v%s (about %s)… ' "$tool" "$version" "$about" >&2
  # a subshell with its own errexit: a condition around compile would switch it off
  set +e
  (set -e; compile "$tool" "$out") >"$log" 2>&1 {lock}>&-
  local status=$?
  set -e
  if ((status != 0)); then
    echo "failed after $((SECONDS - began)) s" >&2
    tail -n 15 "$log" >&2
    rm -rf "$out"
    die "building $tool failed; the whole log is in $log"
  fi
  mv -f "$out"/* "$out.bin"
  mv -f "$out.bin" "$bin/$tool"
  stamp "$tool" >"$out/stamp"
  mv -f "$out/stamp" "$bin/.stamps/$tool"
  rm -rf "$out"
  echo "done in $((SECONDS - began)) s" >&2
  exec {lock}>&-
}

tools=()
(($# > 0)) || { usage >&2; exit 2; }
for argument; do
  case $argument in
    -h | --help) usage; exit 0 ;;
    --light) tools+=("${light_tools[@]}") ;;
    --native) tools+=("${native_tools[@]}") ;;
    --kind) tools+=("${kind_tools[@]}") ;;
    --all) tools+=("${native_tools[@]}" "${other_tools[@]}" kind) ;;
    -*) die "unknown option $argument; see get.sh --help" ;;
    *) tools+=("$argument") ;;
  esac
done

mkdir -p "$bin/.stamps" "$cache"/{lock,log,tmp}
for tool in "${tools[@]}"; do
  describe "$tool"
  is_fresh "$tool" || build "$tool"
done
echo "$bin"
