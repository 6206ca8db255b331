#!/usr/bin/env bash
# Runs all tests, as the continuous integration does.
#
#   scripts/test.sh [--quick] [--kernel V]
#
#   --quick     unit and golden tests, format and order of the rooms: what one runs before a commit
#   --kernel V  only the tests on other kernels, and only on kernel V (5.10 6.1 6.12 6.18 7)
#
# On a fresh Debian 12, as root, it installs what it needs. Five parts:
#   1. a Release build in build/: unit, golden, fuzz, live and benchmark tests, and the demo;
#   2. lint.sh format rooms;
#   3. the image and the manifests of scripts/deploy, in podman and containerd (tests/containers/run.py);
#      skipped where containers cannot be run;
#   4. Debian's kernels in virtual machines (tests/vm/run.py); one that cannot be had is skipped, none is
#      a failure;
#   5. a build with AddressSanitizer and UndefinedBehaviorSanitizer in build-asan/: unit and golden
#      tests. Fuzz tests are sanitized in any build. Live tests run in Release only: their kill tests
#      preload a library into the agent, and a sanitized program accepts none before its own.
#      It is built while the live tests run, which mostly wait, in what they leave of the processors.
# A part that fails does not keep the others from running. The last line is
# "N passed, N failed, N skipped"; the exit code is 0 only when nothing failed.
set -euo pipefail
self=$(realpath "$0")
cd "$(dirname "$self")/.."

quick=false
sanitized=
kernel=()
while (($#)); do
  case $1 in
    --quick) quick=true ;;
    --kernel) kernel=(--kernel "${2:?test.sh: --kernel needs a kernel}"); shift ;;
    --kernel=*) kernel=(--kernel "${1#*=}") ;;
    -h | --help) sed -n '2,/^set /{/^set /!s/^# \{0,1\}//p}' "$self"; exit 0 ;;
    *) echo "test.sh: $1 is not known; see scripts/test.sh --help" >&2; exit 2 ;;
  esac
  shift
done

jobs=$(nproc)
results=$(mktemp -d)
in_background=
trap 'if [[ $in_background ]]; then kill -- -"$in_background" 2>/dev/null; fi; rm -rf "$results"' EXIT

title() { printf '\n== %s (at %d:%02d)\n' "$1" $((SECONDS / 60)) $((SECONDS % 60)); }

# check NAME COMMAND...: one line in the results.
check() {
  local name=$1
  shift
  title "$name"
  if "$@" </dev/null; then
    echo "passed $name" >>"$results/checks"
  else
    echo "failed $name" >>"$results/checks"
    return 1
  fi
}

# run_tests STEP BUILD JOBS LABELS: the results are in STEP.xml. Passed tests are counted, not listed.
run_tests() {
  title "tests: $1"
  ctest --test-dir "$2" -j "$3" -L "^($4)\$" --no-tests=error --output-on-failure --timeout 600 \
    --output-junit "$results/$1.xml" </dev/null |
    grep -vE '^ *Start +[0-9]+:|^ *[0-9]+/[0-9]+ Test .*Passed' || true
  [[ -s $results/$1.xml ]] || echo "failed ctest, step $1" >>"$results/checks"
}

# configure PRESET: quiet unless it fails.
configure() {
  cmake --preset "$1" -DTIME_CHAOS_TESTS=ON >"$results/cmake.log" 2>&1 && return
  cat "$results/cmake.log"
  return 1
}

# programs BUILD PATTERN: the test programs of a build directory whose names match.
programs() {
  ninja -C "$1" -t targets all | sed -nE "s/^($2): phony\$/\1/p"
}

build_release() {
  local targets=(all bench)
  configure release || return
  if ((${#kernel[@]})); then targets=(time-chaos vm_targets unit_syscalls unit_vdso unit_library); fi
  if $quick; then mapfile -t targets < <(programs build 'unit_[a-z0-9_]+|golden_test'); fi
  ninja -C build -j "$jobs" --quiet "${targets[@]}"
}

# Sanitized live tests would be built for nothing.
build_sanitized() {
  local targets
  configure asan || return
  mapfile -t targets < <(programs build-asan 'unit_[a-z0-9_]+|golden_test')
  ((${#targets[@]})) || { echo "no tests in build-asan"; return 1; }
  ninja -C build-asan -j "$jobs" --quiet "${targets[@]}"
}

# With SCHED_IDLE: whatever else wants a processor gets it at once.
begin_sanitized() {
  set -m
  (chrt --idle -p 0 "$BASHPID" && build_sanitized) >"$results/sanitized.log" 2>&1 &
  in_background=$!
  set +m
}
end_sanitized() {
  local status=0
  wait "$in_background" || status=$?
  in_background=
  cat "$results/sanitized.log"
  return "$status"
}

# Their results are in vm.xml. Passed tests are counted, not listed.
run_vm() {
  title "tests: vm"
  tests/vm/run.py "${kernel[@]}" --jobs 3 --junit "$results/vm.xml" </dev/null || true
  [[ -s $results/vm.xml ]] || echo "failed vm: no kernel ran" >>"$results/checks"
}

# Their results are in containers.xml. Passed tests are counted, not listed.
run_containers() {
  title "tests: containers"
  tests/containers/run.py --junit "$results/containers.xml" </dev/null || true
  [[ -s $results/containers.xml ]] || echo "failed containers: no test ran" >>"$results/checks"
}

summary() {
  printf '\ntook %d:%02d\n' $((SECONDS / 60)) $((SECONDS % 60))
  scripts/test_summary.py "$results"
}

title "packages"
parts=(build test vm lint)
if ! $quick && ! ((${#kernel[@]})); then parts+=(containers); fi
scripts/packages.sh "${parts[@]}"
if ((${#kernel[@]})); then
  if check "build: release" build_release; then run_vm; fi
  summary
  exit
fi
# Kept in .cache/; a series that cannot be had is skipped by the tests, aloud.
check "golden: vDSO images of Debian's kernels" tests/golden/fetch-vdso.py || true
if check "build: release" build_release; then
  if $quick; then
    run_tests release build "$jobs" 'unit|golden'
  else
    run_tests release build "$jobs" 'unit|golden|fuzz'
    begin_sanitized
    # They mostly wait.
    run_tests live build 2 'live|bench'
    check "build: sanitizers" end_sanitized && sanitized=true
    run_containers
    run_vm
  fi
fi
if $quick; then
  check "lint" scripts/lint.sh format rooms || true
else
  # clang-tidy is a step of its own, scripts/lint.sh tidy: it takes longer than all the tests.
  check "lint" scripts/lint.sh format rooms || true
  if [[ $sanitized ]]; then run_tests sanitizers build-asan "$jobs" 'unit|golden'; fi
  # Last, because it configures build/ without the tests, as on a machine that has nothing else.
  check "demo" scripts/demo.sh || true
fi

summary
