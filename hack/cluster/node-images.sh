#!/usr/bin/env bash
# Builds the images every native cluster needs; see README.md in this folder.
set -euo pipefail

usage() {
  cat <<'EOF'
usage: node-images.sh [NAME…]

Packs the images NAME (default: all of pause, coredns, kube-network-policies,
local-path-provisioner and busybox) as openos.dev/local/NAME:local into archives in
the cache, unless they are there already, and prints the archives' paths.
EOF
}

# shellcheck source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
[[ ${1:-} != -h && ${1:-} != --help ]] || { usage; exit 0; }

images=$cache/images

# pack NAME BINARY VERSION: BINARY as the only program of the image; busybox with its links.
pack() {
  local name=$1 binary=$2 archive root program
  archive=$images/$name-$(cat "$hack_cluster/pack-image.sh" - <<<"$3" | sha256sum | cut -c1-12).tar
  if [[ ! -f $archive ]]; then
    root=$(mktemp -d "$images/$name.XXXXXX")
    mkdir -p "$root"/{bin,etc,tmp}
    chmod 755 "$root"
    chmod 1777 "$root/tmp"
    cp "$binary" "$root/bin/$name"
    if [[ $name == busybox ]]; then
      for program in $("$binary" --list); do
        [[ $program == busybox ]] || ln -s busybox "$root/bin/$program"
      done
    fi
    rm -f "$images/$name"-*.tar
    if [[ $name == busybox ]]; then set -- /bin/sh; else set -- "/bin/$name"; fi
    "$hack_cluster/pack-image.sh" "$archive" "openos.dev/local/$name:local" "$root" "$@"
    rm -rf "$root"
  fi
  echo "$archive"
}

# static_busybox prints the path of one: the system's if it is static, else Debian's
# package unpacked into the cache, since installing it would replace the system's.
static_busybox() {
  local candidate folder=$cache/busybox-static
  for attempt in 1 2; do
    for candidate in /bin/busybox "$folder"/{bin,usr/bin}/busybox; do
      if [[ -x $candidate ]] && ! ldd "$candidate" >/dev/null 2>&1; then
        echo "$candidate"
        return
      fi
    done
    ((attempt == 2)) || "$toolchain/packages.sh" --unpack "$folder" busybox-static
  done
  die "found no static busybox in Debian's package busybox-static"
}

mkdir -p "$images"
exec {lock}>"$images/.lock"
flock -w 120 "$lock" || die "another node-images.sh has been busy for two minutes"
(($# > 0)) || set -- pause coredns kube-network-policies local-path-provisioner busybox
for image; do
  case $image in
    busybox)
      busybox=$(static_busybox)
      pack busybox "$busybox" "$(sha256sum <"$busybox")" ;;
    pause | coredns | kube-network-policies | local-path-provisioner)
      "$toolchain/get.sh" "$image" >/dev/null
      pack "$image" "$bin/$image" "$(<"$bin/.stamps/$image")" ;;
    *) die "no image \"$image\"; see node-images.sh --help" ;;
  esac
done
