# shellcheck shell=bash disable=SC2034,SC2154 # variables shared with build.sh
# The two ways to build an image. Sourced by build.sh; both read the same Dockerfile.
# Each has BUILDER_build NAME and BUILDER_save NAME FILE. choose_builder sets `builder`
# and `base_id`, what the images' foundations are made of.

choose_builder() {
  builder=${OPENOS_IMAGE_BUILDER:-}
  [[ -n $builder ]] || { docker_answers && builder=docker; } || builder=buildah
  case $builder in
    docker) base_id=("${OPENOS_IMAGE_BASE:-}" "${OPENOS_IMAGE_BUSYBOX:-}") ;;
    buildah) use_buildah ;;
    *) die "OPENOS_IMAGE_BUILDER is docker or buildah, not \"$builder\"" ;;
  esac
}

docker_answers() { command -v docker >/dev/null && timeout 5 docker version --format '{{.Server.Version}}' >/dev/null 2>&1; }

# arguments: the build arguments common to both, one a line.
arguments() {
  echo "NODE_ARCH=$arch"
  [[ -z ${OPENOS_IMAGE_BASE:-} ]] || echo "BASE=$OPENOS_IMAGE_BASE"
  [[ -z ${OPENOS_IMAGE_BUSYBOX:-} ]] || echo "BUSYBOX=$OPENOS_IMAGE_BUSYBOX"
}

docker_build() {
  local flags=() line
  while read -r line; do flags+=(--build-arg "$line"); done < <(arguments)
  DOCKER_BUILDKIT=1 docker build --quiet "${flags[@]}" --target "$1" --tag "openos.dev/$1:dev" "$repository"
}

docker_save() { docker save --output "$2" "openos.dev/$1:dev"; }

# use_buildah: without a registry the two foundations are local images of Debian packages.
use_buildah() {
  local packages=(buildah)
  [[ -n ${OPENOS_IMAGE_BASE:-} ]] || packages+=(mmdebstrap)
  [[ -n ${OPENOS_IMAGE_BUSYBOX:-} ]] || packages+=(busybox-static)
  "$toolchain/packages.sh" "${packages[@]}"
  export BUILDAH_ISOLATION=chroot
  choose_storage
  : "${OPENOS_IMAGE_BASE:=$(debian_base)}" "${OPENOS_IMAGE_BUSYBOX:=$(debian_busybox)}"
  base_id=("$OPENOS_IMAGE_BASE" "$OPENOS_IMAGE_BUSYBOX")
}

# choose_storage: overlay builds in a second where vfs copies every layer for eight; the kernel
# decides. Images are kept apart from any others on the machine.
choose_storage() {
  local driver
  for driver in overlay vfs; do
    storage=(--storage-driver "$driver" --root "$cache/image-storage/$driver" --runroot "$cache/tmp/buildah-$driver")
    ! buildah "${storage[@]}" images >/dev/null 2>&1 || return 0
  done
  die 'buildah has no usable storage; see: buildah --storage-driver vfs info'
}

has_image() { buildah "${storage[@]}" inspect --type image "$1" >/dev/null 2>&1; }

# import NAME FOLDER: an image of one layer with what is in the folder (or its only file, a tar).
import() {
  local from
  from=$(buildah "${storage[@]}" from scratch)
  buildah "${storage[@]}" add --quiet "$from" "$2" / >/dev/null
  buildah "${storage[@]}" commit --quiet --timestamp 0 --rm "$from" "$1" >/dev/null
}

base_packages=base-files,libc6,libstdc++6,libgcc-s1,ca-certificates,tzdata,netbase

# debian_base: prints the name of a base like distroless/cc, made once per list of packages.
debian_base() {
  local id name archive=$cache/tmp/image-base.tar
  id=$(echo "$DEBIAN_SUITE $base_packages" | sha256sum | cut -c1-12)
  name=localhost/openos-base:$id
  if ! has_image "$name"; then
    printf 'making the base image of Debian packages (about 10 s)… ' >&2
    mmdebstrap --quiet --variant=extract --include="$base_packages" "$DEBIAN_SUITE" "$archive" >&2
    import "$name" "$archive"
    rm -f "$archive"
    say 'done'
  fi
  echo "$name"
}

debian_busybox() {
  local folder=$cache/tmp/image-busybox name
  name=localhost/openos-busybox:$(sha256sum "$(command -v busybox)" | cut -c1-12)
  if ! has_image "$name"; then
    rm -rf "$folder"
    mkdir -p "$folder/bin"
    cp "$(command -v busybox)" "$folder/bin/busybox"
    import "$name" "$folder"
    rm -rf "$folder"
  fi
  echo "$name"
}

# Called where set -e is off: a build that failed must not go on with the image of before.
# A fixed time makes a layer of the same files the same layer, so nodes keep those they have.
buildah_build() {
  local flags=() line
  while read -r line; do flags+=(--build-arg "$line"); done < <(arguments)
  buildah "${storage[@]}" build --quiet --layers --force-rm --timestamp 0 --pull=missing "${flags[@]}" \
    --target "$1" --tag "openos.dev/$1:dev" "$repository" || return
  # what the image of the same name was before; the layers of today's images stay for the next build
  buildah "${storage[@]}" rmi --prune
}

buildah_save() { buildah "${storage[@]}" push --quiet "openos.dev/$1:dev" "docker-archive:$2:openos.dev/$1:dev"; }
