#!/usr/bin/env bash
# Checks every shell script of the repository: that it parses, and what shellcheck says where it is installed.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/../.."
mapfile -t scripts < <(git grep -lE '^#!/usr/bin/env bash$|^# shellcheck shell=bash' -- '*.sh' .ci hack)
((${#scripts[@]} > 0)) || { echo 'scripts.sh: found no scripts' >&2; exit 1; }
status=0
for script in "${scripts[@]}"; do
  bash -n "$script" || status=1
done
if command -v shellcheck >/dev/null; then
  shellcheck --external-sources --source-path=SCRIPTDIR --severity=warning "${scripts[@]}" || status=1
else
  echo 'scripts.sh: shellcheck is not installed; only the syntax was checked' >&2
fi
exit "$status"
