#!/usr/bin/env bash
# Runs all benchmarks and prints their tables in Markdown.
#
#   scripts/bench.sh [BUILD]         BUILD: a build directory (default: build, as Release)
#
# The figures hold for the machine as it is now: what else runs is said above them.
set -euo pipefail
cd "$(dirname "$0")/.."
build=${1:-build}

scripts/packages.sh build test bench >&2
if [[ ! -f $build/build.ninja || $# -eq 0 ]]; then
  cmake -S . -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DTIME_CHAOS_TESTS=ON >/dev/null
fi
ninja -C "$build" bench >&2

model=$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)
echo "$(nproc) x ${model:-unknown processor}, Linux $(uname -r)," \
  "clock source $(cat /sys/devices/system/clocksource/clocksource0/current_clocksource)," \
  "load $(cut -d' ' -f1-3 /proc/loadavg), $(date -u +%Y-%m-%dT%H:%MZ)"

run() {
  printf '\n### %s\n\n' "$1"
  "$build/tests/bench/$2"
}
run "What a call costs (median; ratio to native, round by round)" bench_calls
run "How long an attach stops its target" bench_stop
run "A program that changes its own clock" bench_library
run "The program" bench_agent
run "The agent's steps" bench_page
run "A BPF program that does nothing" bench_bpf
