#!/usr/bin/env bash
# Packs files into a container image archive; see README.md in this folder.
set -euo pipefail

usage() {
  cat <<'EOF'
usage: pack-image.sh ARCHIVE NAME ROOT ENTRYPOINT…

Writes the folder ROOT as the only layer of the image NAME into ARCHIVE, in the
format of "docker save". Needs tar and sha256sum, neither root nor an engine.
EOF
}

[[ ${1:-} != -h && ${1:-} != --help ]] || { usage; exit 0; }
(($# >= 4)) || { usage >&2; exit 2; }
archive=$1 name=$2 root=$3
shift 3

case $(uname -m) in
  x86_64) architecture=amd64 ;;
  aarch64) architecture=arm64 ;;
  *) echo "pack-image.sh: images for $(uname -m) are not supported" >&2; exit 1 ;;
esac

work=$(mktemp -d "$archive.XXXXXX")
trap 'rm -rf "$work"' EXIT
reproducible=(--sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner)

tar "${reproducible[@]}" -C "$root" -cf "$work/layer.tar" .
layer=$(sha256sum "$work/layer.tar" | cut -d' ' -f1)
entrypoint=$(printf '"%s",' "$@")
cat >"$work/config.json" <<EOF
{"architecture":"$architecture","os":"linux","created":"1970-01-01T00:00:00Z",
"config":{"Entrypoint":[${entrypoint%,}],"Env":["PATH=/usr/sbin:/usr/bin:/sbin:/bin"],"WorkingDir":"/"},
"rootfs":{"type":"layers","diff_ids":["sha256:$layer"]},
"history":[{"created":"1970-01-01T00:00:00Z","created_by":"pack-image.sh"}]}
EOF
config=$(sha256sum "$work/config.json" | cut -d' ' -f1)
mv "$work/config.json" "$work/$config.json"
echo "[{\"Config\":\"$config.json\",\"RepoTags\":[\"$name\"],\"Layers\":[\"layer.tar\"]}]" >"$work/manifest.json"
tar "${reproducible[@]}" -C "$work" -cf "$work/image" manifest.json "$config.json" layer.tar
mv -f "$work/image" "$archive"
