#!/usr/bin/env bash
# Installs the npm packages of the lockfile, Node included; `make` calls it when the
# lockfile is newer than the stamp.
set -euo pipefail

stamp=${1:?usage: install.sh STAMP}
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
log=$(mktemp)
trap 'rm -f "$log"' EXIT

lockfile() { sha256sum <package-lock.json; }
has_node() { node_modules/.bin/node --version 2>/dev/null | grep -qE '^v(2[4-9]|[3-9][0-9])\.'; }

# link_node: where no package brings Node for this machine, the machine's own does if it is new enough.
link_node() {
  local own
  ! has_node || return 0
  own=$(PATH=${PATH#"$PWD/node_modules/.bin:"} command -v node) || return 0
  mkdir -p node_modules/.bin
  ln -sfn "$own" node_modules/.bin/node
}

# Two makes at once must not both empty node_modules.
exec {lock}<package-lock.json
flock "$lock"
if [[ -f $stamp && $(<"$stamp") == "$(lockfile)" ]] && has_node; then
  touch "$stamp"
  exit 0
fi

command -v npm >/dev/null || { echo 'install.sh: npm is not installed; install Node.js 20 or newer, which brings it' >&2; exit 1; }
began=$SECONDS
printf 'installing npm packages (about half a minute)… ' >&2
# error only: an older Node around npm makes it warn about every package that wants a newer one
if ! npm ci --no-audit --no-fund --loglevel=error >"$log" 2>&1 </dev/null; then
  echo 'failed' >&2
  tail -n 20 "$log" >&2
  exit 1
fi
link_node
has_node || { echo 'failed' >&2; echo 'install.sh: no Node 24 for this machine; install Node.js 24 and try again' >&2; exit 1; }
lockfile >"$stamp"
echo "done in $((SECONDS - began)) s" >&2
