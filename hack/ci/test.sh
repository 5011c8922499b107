#!/usr/bin/env bash
# Runs levels of tests one after the other and closes with the totals over all of them.
set -uo pipefail

usage() {
  cat <<'USAGE'
usage: test.sh LEVEL…

Runs the tests of each LEVEL (unit, integration, proof, e2e), also when an earlier one failed,
and prints as its last line: N passed, N failed. Exits 0 only when nothing failed and
every level really ran; where a runner failed beside its tests, its complaints are above that
line. Reports are in dist/reports.
USAGE
}

cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 1
export PATH=$PWD/node_modules/.bin:$PATH
reports=dist/reports

run_level() {
  case $1 in
    unit | integration | proof)
      vitest run --project "$1" --reporter=default --reporter=json --outputFile.json="$reports/$1.json" ;;
    e2e) hack/ci/e2e.sh "$reports/e2e.json" ;;
    *) echo "test.sh: no level \"$1\"" >&2; return 2 ;;
  esac
}

(($# > 0)) || { usage >&2; exit 2; }
[[ $1 != -h && $1 != --help ]] || { usage; exit 0; }
mkdir -p "$reports"
for level; do rm -f "$reports/$level".{json,exit,stderr}; done
trap 'exit 130' INT
trap 'exit 143' TERM
for level; do
  echo "=== $level" >&2
  { run_level "$level" </dev/null 2>&1 >&3 3>&- | tee "$reports/$level.stderr" >&2; } 3>&1
  echo $? >"$reports/$level.exit"
done
node hack/ci/totals.ts "$reports" "$@"
