#!/usr/bin/env bash
# Checks the sources without running them: format, order of the rooms, clang-tidy on all of agent/.
#
#   scripts/lint.sh [format] [rooms] [tidy]        (default: all three)
#
# clang-tidy needs to know how files are compiled; build/ is configured for it where it is not yet.
set -euo pipefail
cd "$(dirname "$0")/.."

# Places only; clang-format-14 -i FILE mends them.
format() {
  local findings
  findings=$(find agent bpf include tests \( -name '*.cc' -o -name '*.h' -o -name '*.c' \) -print0 |
    xargs -0 clang-format-14 --dry-run -Werror 2>&1) && return
  grep -E '^[^ ]+:[0-9]+:[0-9]+: ' <<<"$findings" || echo "$findings"
  return 1
}

rooms() { scripts/lint_includes.py; }

# One file a process, two at a time on a machine of two processors. Output only where a check fired.
tidy() {
  if [[ ! -f build/compile_commands.json ]]; then
    cmake --preset release -DCMAKE_EXPORT_COMPILE_COMMANDS=ON >/dev/null
  fi
  find agent -name '*.cc' -print0 | sort -z |
    xargs -0 -n 1 -P "$(nproc)" bash -c '
      output=$(clang-tidy-14 -p build --quiet "$0" 2>/dev/null) && exit 0
      printf "%s\n" "$output"
      exit 1'
}

scripts/packages.sh lint
(($#)) || set -- format rooms tidy
failed=0
for step in "$@"; do
  case $step in
    format | rooms | tidy) ;;
    *) echo "lint.sh: no step $step; there are: format rooms tidy" >&2; exit 2 ;;
  esac
  start=$SECONDS
  if "$step"; then
    echo "lint: $step is clean ($((SECONDS - start)) s)"
  else
    echo "lint: $step found something ($((SECONDS - start)) s)"
    failed=1
  fi
done
exit "$failed"
