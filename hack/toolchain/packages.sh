#!/usr/bin/env bash
# Makes sure Debian packages are installed; see README.md in this folder.
set -euo pipefail

usage() {
  cat <<'EOF'
usage: packages.sh PACKAGE…
       packages.sh --unpack FOLDER PACKAGE…

Installs the Debian packages that are missing when run as root on Debian or
Ubuntu, never at the price of removing another. Otherwise prints the command to
run and exits 1. With --unpack it installs nothing and unpacks them into FOLDER.
EOF
}

is_installed() { [[ $(dpkg-query --show --showformat='${db:Status-Status}' "$1" 2>/dev/null) == installed ]]; }

# can_install: apt already knows a version of every missing package, so no update is needed.
can_install() { apt-get install --simulate --no-install-recommends "${missing[@]}" >/dev/null 2>&1; }

(($# > 0)) || { usage >&2; exit 2; }
[[ $1 != -h && $1 != --help ]] || { usage; exit 0; }

if ! command -v dpkg-query >/dev/null; then
  echo "packages.sh: this is not Debian or Ubuntu; install what these Debian packages contain: $*" >&2
  exit 1
fi

if [[ $1 == --unpack ]]; then
  (($# >= 3)) || { usage >&2; exit 2; }
  folder=$2
  shift 2
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  chmod 755 "$work"
  download() { (cd "$work" && apt-get -o APT::Sandbox::User=root download "$@"); }
  if ! { download "$@" || { ((EUID == 0)) && apt-get update && download "$@"; }; } >"$work/log" 2>&1; then
    tail -n 15 "$work/log" >&2
    echo "packages.sh: apt could not download $*; try: sudo apt-get update" >&2
    exit 1
  fi
  for package in "$work"/*.deb; do
    dpkg-deb --extract "$package" "$folder"
  done
  exit 0
fi

missing=()
for package; do
  is_installed "$package" || missing+=("$package")
done
((${#missing[@]} > 0)) || exit 0

if ((EUID != 0)); then
  echo "packages.sh: missing packages; run: sudo apt-get install --no-install-recommends ${missing[*]}" >&2
  exit 1
fi

export DEBIAN_FRONTEND=noninteractive
began=$SECONDS log=$(mktemp)
trap 'rm -f "$log"' EXIT
printf 'installing Debian packages %s… ' "${missing[*]}" >&2
wait_for_lock=(-o DPkg::Lock::Timeout=120)
if ! { can_install || apt-get "${wait_for_lock[@]}" update; } >"$log" 2>&1 \
  || ! apt-get "${wait_for_lock[@]}" install --yes --no-remove --no-install-recommends "${missing[@]}" >>"$log" 2>&1 </dev/null; then
  echo "failed" >&2
  tail -n 15 "$log" >&2
  echo "packages.sh: apt could not install ${missing[*]}; see the lines above" >&2
  exit 1
fi
echo "done in $((SECONDS - began)) s" >&2
