#!/usr/bin/env bash
# The demo: a running Python and a running Go program jump by an hour and come back.
#
#   scripts/demo.sh
#
# On a fresh Debian 12, as root, it installs what it needs, builds, and runs. It exits with 0 only
# when it saw every jump in what the programs themselves printed.
set -euo pipefail
cd "$(dirname "$0")/.."
program=build/time-chaos
patience=10 # seconds until a program must have printed a line with the time that is expected

if [[ -t 1 && -z ${NO_COLOR:-} ]]; then
  bold=$'\e[1m' dim=$'\e[2m' green=$'\e[32m' red=$'\e[31m' yellow=$'\e[33m' plain=$'\e[0m'
else
  bold='' dim='' green='' red='' yellow='' plain=''
fi
title() { printf '\n%s%s%s\n' "$bold" "$*" "$plain"; }
die() {
  printf '%sthe demo failed: %s%s\n' "$red" "$*" "$plain" >&2
  exit 1
}

# --- build ---

prepare() {
  title "Building"
  scripts/packages.sh build demo
  local log=$work/build.log
  { cmake --preset release -DTIME_CHAOS_TESTS=OFF && cmake --build build --target time-chaos &&
    build_go; } >"$log" 2>&1 </dev/null || {
    tail -n 40 "$log" >&2
    die "it does not build (above: the end of what the compiler said)"
  }
  echo "$program $("$program" --version | cut -d' ' -f2), built in $SECONDS s"
}

build_go() {
  GO111MODULE=off CGO_ENABLED=0 GOFLAGS='' GOCACHE=$PWD/build/go-cache \
    go build -o "$work/ticker-go" scripts/demo/ticker.go
}

# --- the two programs ---

names=(python go)
declare -A pid=() # by name
agent=''

start_programs() {
  local python=/usr/bin/python3
  touch "$work/python" "$work/go" # both are read before they need have begun
  [[ -x $python ]] || python=python3
  "$python" scripts/demo/ticker.py >"$work/python" </dev/null &
  pid[python]=$!
  "$work/ticker-go" >"$work/go" </dev/null &
  pid[go]=$!
}

# Ends what this script started, by pid, and nothing else.
clean_up() {
  local status=$?
  for one in $agent "${pid[@]}"; do
    kill "$one" 2>/dev/null || true
    wait "$one" 2>/dev/null || true
  done
  rm -rf "$work"
  exit "$status"
}

# --- what they print ---

last_line() { tail -n 1 "$work/$1"; }
lines() { wc -l <"$work/$1"; }

# -3601 -> "-1h", 7 -> "": what a reading is off by, to the minute.
shift_text() {
  local minutes=$((($1 + ($1 < 0 ? -30 : 30)) / 60)) sign=+
  ((minutes)) || return 0
  ((minutes > 0)) || sign=- minutes=$((-minutes))
  ((minutes < 60)) || sign+=$((minutes / 60))h
  ((minutes % 60 == 0)) || sign+=$((minutes % 60))m
  echo "$sign"
}

# Prints a row now, and leaves in `off` what each program is off by, in seconds.
declare -A off=()
row() {
  local host=$EPOCHSECONDS text seconds
  printf '  host %(%H:%M:%S)T' "$host"
  for name in "${names[@]}"; do
    read -r text seconds <<<"$(last_line "$name")"
    off[$name]=$((seconds - host))
    local shift
    shift=$(shift_text "${off[$name]}")
    printf '     %s %s%s%s%s' "$name" "${shift:+$yellow}" "$text" "${shift:+ $shift}" "${shift:+$plain}"
  done
  printf '\n'
}

# Waits for lines printed from now on, shows three of them, and judges them.
see() {
  local expected=$1 name
  declare -A before=()
  printf '\n'
  for name in "${names[@]}"; do before[$name]=$(lines "$name"); done
  local deadline=$((SECONDS + patience))
  for name in "${names[@]}"; do
    # One line may have been under way; the next is from after the change.
    until (($(lines "$name") >= before[$name] + 2)); do
      kill -0 "${pid[$name]}" 2>/dev/null || die "the $name program has ended"
      ((SECONDS < deadline)) || die "the $name program prints nothing any more"
      sleep 0.05
    done
  done
  for _ in 1 2 3; do
    row
    for name in "${names[@]}"; do
      local error=$((off[$name] - expected))
      ((error >= -3 && error <= 3)) ||
        die "the $name program is off by ${off[$name]} s, expected were $expected s"
    done
    sleep 0.5
  done
}

# --- the program, as one would type it ---

type_in() { printf '\n%s$%s %stime-chaos %s%s\n' "$dim" "$plain" "$bold" "$*" "$plain"; }
run() {
  type_in "$*"
  "$program" "$@"
}

start_agent() {
  type_in "$* &"
  : >"$work/agent" # it is read before the agent need have begun
  "$program" "$@" >"$work/agent" 2>&1 </dev/null &
  agent=$!
  local deadline=$((SECONDS + patience))
  until (($(grep -c '^checked' "$work/agent") == ${#names[@]})); do
    kill -0 "$agent" 2>/dev/null || die "the agent says: $(cat "$work/agent")"
    ((SECONDS < deadline)) || die "the agent has not shifted both: $(cat "$work/agent")"
    sleep 0.02
  done
  cat "$work/agent"
}

kill_agent() {
  printf '\n%s$%s %skill -KILL %s%s      # the agent is killed\n' "$dim" "$plain" "$bold" "$agent" "$plain"
  kill -KILL "$agent"
  wait "$agent" 2>/dev/null || true
  agent=''
}

main() {
  work=$(mktemp -d)
  trap clean_up EXIT
  trap 'exit 130' INT TERM
  prepare

  start_programs
  title "Two programs are running: Python (pid ${pid[python]}) and Go (pid ${pid[go]})"
  see 0

  local both=(--pid "${pid[python]}" --pid "${pid[go]}")
  title "Their clocks go back by an hour; they run on"
  start_agent agent "${both[@]}" --offset -1h
  see -3600

  title "Another offset, while they are shifted: nothing stops for it"
  run set "${both[@]}" --offset 1h30m
  see 5400

  title "The agent is killed; what it did is found in the programs themselves, and undone"
  kill_agent
  run status "${both[@]}"
  run recover "${both[@]}"
  see 0

  title "${green}Seen in what the programs printed: an hour back, 1h30m ahead, and host time again.$plain"
}

main
