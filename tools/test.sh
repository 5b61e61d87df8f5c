#!/usr/bin/env bash
# Builds Portico and runs every test. The last line is `N passed, N failed`.
#
#   tools/test.sh [--fast] [TARGET_PATTERN...]
#
#   --fast          only the ordinary build: no headers alone, no sanitizers, no fuzzing
#   TARGET_PATTERN  what to test instead of //... (`//dataplane/...`; `-//dataplane/tls/...` leaves out)
#
# Environment:
#   PORTICO_FUZZ_SECONDS   how long each fuzz target runs: 60 when CI=true, otherwise 10; 0 for none
#   PORTICO_TSAN           all: every test under ThreadSanitizer, not only what shares memory between threads
#   PORTICO_FUZZ_SEED      where fuzzing starts from: 1, so that a run can be repeated; 0 for a new place
#   PORTICO_TEST_ROUNDS    which rounds to run, of: normal headers asan tsan fuzz
#   PORTICO_SKIP_SETUP     1: do not run tools/setup.sh first
#   PORTICO_BAZEL_STARTUP  startup options for bazel, such as --output_base=/elsewhere
#   PORTICO_BAZEL_OPTIONS  options for each bazel build and test
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
export HOME=${HOME:-/root}

usage() { sed -n '2,/^set -e/{/^set -e/d; s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}"; }

fuzz_seed=${PORTICO_FUZZ_SEED:-1}
rounds=${PORTICO_TEST_ROUNDS:-normal headers asan tsan fuzz}
patterns=()
for argument in "$@"; do
  case $argument in
    --fast) rounds=normal ;;
    -h | --help)
      usage
      exit 0
      ;;
    //* | -//* | :* | @*) patterns+=("$argument") ;;
    *)
      printf 'test: unknown argument %s\n\n' "$argument" >&2
      usage >&2
      exit 2
      ;;
  esac
done
# What shares memory between threads: the rest is one thread's by design, and compiling all of it a
# third time would cost CI a quarter of its hour.
tsan_patterns=(
  //controlplane/{model,store,rollout,management}/...
  //dataplane/{event,observe,snapshot,server,discovery}/... //dataplane/filters/rate_limit/...
  //dataplane/downstream:accept_group_test
)
if [[ ${#patterns[@]} -gt 0 || ${PORTICO_TSAN:-} == all ]]; then
  tsan_patterns=("${patterns[@]:-//...}")
fi
[[ ${#patterns[@]} -gt 0 ]] || patterns=(//...)

if [[ ${CI:-} == true ]]; then
  fuzz_seconds=${PORTICO_FUZZ_SECONDS:-60}
else
  fuzz_seconds=${PORTICO_FUZZ_SECONDS:-10}
fi

work=$(mktemp -d "${TMPDIR:-/tmp}/portico-test.XXXXXX")
trap 'rm -rf "$work"' EXIT
readonly totals=$work/totals
read -ra startup_options <<<"${PORTICO_BAZEL_STARTUP:-}"
read -ra bazel_options <<<"${PORTICO_BAZEL_OPTIONS:-}"
readonly progress=(--show_progress --curses=no --color=no --show_progress_rate_limit=30)

say() { printf '== %s: %s\n' "$(date +%H:%M:%S)" "$*"; }

report() { python3 tools/bazel/test_report.py "$@"; }

run_bazel() {
  local command=$1
  shift
  bazel "${startup_options[@]}" "$command" "${progress[@]}" "${bazel_options[@]}" "$@"
}

# test_round NAME OPTION... -- PATTERN...: bazel test with its cases counted.
test_round() {
  local name=$1 exit_code=0
  shift
  say "$name: building and running tests"
  run_bazel test --keep_going --build_event_json_file="$work/$name.json" "$@" || exit_code=$?
  report round "$name" "$work/$name.json" "$exit_code" "$totals"
}

# check NAME COMMAND...: one check, which passes when the command succeeds.
check() {
  local name=$1 outcome=passed
  shift
  "$@" || outcome=failed
  report case "$name" "$outcome" "$totals"
}

# check_fails NAME COMMAND...: one check, which passes when the command fails.
check_fails() {
  local name=$1 outcome=failed
  shift
  "$@" >/dev/null 2>&1 || outcome=passed
  report case "$name" "$outcome" "$totals"
}

headers_round() {
  say "headers: compiling every header alone"
  check "headers: each compiles alone" \
    run_bazel build --config=headers --keep_going -- "${patterns[@]}"
  check_fails "headers: one that does not is noticed" \
    run_bazel build --config=headers //tests/hygiene/planted:not_self_contained
}

# fuzz_one BINARY LABEL: runs one fuzz target over a copy of its corpus.
fuzz_one() {
  local binary=$1 label=$2 name outcome=passed
  name=${label##*:}
  local folder=$work/fuzz/$name corpus
  corpus=${label#//}
  corpus=${corpus%%:*}/corpus/$name
  mkdir -p "$folder/corpus" "$folder/crashes"
  if [[ -d $corpus ]]; then
    cp -r "$corpus/." "$folder/corpus/"
  fi
  local dictionary=()
  if [[ -f ${corpus%/corpus/*}/$name.dict ]]; then
    dictionary=("-dict=${corpus%/corpus/*}/$name.dict")
  fi
  "$binary" -max_total_time="$fuzz_seconds" -seed="$fuzz_seed" -timeout=20 -rss_limit_mb=2560 -print_final_stats=1 \
    -verbosity=0 -artifact_prefix="$folder/crashes/" "${dictionary[@]}" "$folder/corpus" \
    >"$folder/log" 2>&1 || outcome=failed
  printf '%s\n' "$outcome" >"$folder/outcome"
}

fuzz_round() {
  if [[ $fuzz_seconds == 0 || ! -d tests/fuzz ]]; then
    return
  fi
  local targets=() label name running=0 bin
  mapfile -t targets < <(bazel "${startup_options[@]}" query --noshow_progress --ui_event_filters=-info \
    "attr(tags, '[\[ ]fuzz[,\]]', kind(cc_binary, //tests/fuzz/...))")
  if [[ ${#targets[@]} == 0 ]]; then
    report case "fuzz: there are targets" failed "$totals"
    return
  fi
  say "fuzz: building ${#targets[@]} targets"
  check "fuzz: targets build" run_bazel build --config=fuzz --keep_going "${targets[@]}"
  bin=$(bazel "${startup_options[@]}" info --config=fuzz "${bazel_options[@]}" bazel-bin 2>"$work/output") || {
    cat "$work/output"
    report case "fuzz: bazel info" failed "$totals"
    return
  }
  say "fuzz: running each target for $fuzz_seconds s"
  for label in "${targets[@]}"; do
    name=${label#//}
    if [[ -x $bin/${name/://} ]]; then
      fuzz_one "$bin/${name/://}" "$label" &
      running=$((running + 1))
    fi
    if ((running >= $(nproc))); then
      wait -n || true
      running=$((running - 1))
    fi
  done
  wait
  for label in "${targets[@]}"; do
    report_fuzz_target "${label##*:}"
  done
}

report_fuzz_target() {
  local name=$1 folder=$work/fuzz/$1 crash runs
  if [[ ! -f $folder/outcome ]]; then
    report case "fuzz: $name did not run" failed "$totals"
    return
  fi
  runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$folder/log")
  if [[ $(<"$folder/outcome") == passed && ${runs:-0} -gt 0 ]]; then
    report case "fuzz: $name, $runs inputs" passed "$totals"
    return
  fi
  tail -n 60 "$folder/log"
  for crash in "$folder"/crashes/*; do
    [[ -f $crash ]] || continue
    echo "-- the input, in base64 ($(basename "$crash"), first 4 KiB):"
    head -c 4096 "$crash" | base64
  done
  report case "fuzz: $name" failed "$totals"
}

main() {
  if [[ ${PORTICO_SKIP_SETUP:-} != 1 ]]; then
    say "setting up"
    if ! tools/setup.sh; then
      report case "setup" failed "$totals"
      report total "$totals"
      exit 1
    fi
  fi
  local round
  for round in $rounds; do
    case $round in
      normal) test_round normal -- "${patterns[@]}" ;;
      headers) headers_round ;;
      asan) test_round asan --config=asan --build_tests_only -- "${patterns[@]}" ;;
      tsan) test_round tsan --config=tsan --build_tests_only -- "${tsan_patterns[@]}" ;;
      fuzz) fuzz_round ;;
      *) report case "unknown round $round" failed "$totals" ;;
    esac
  done
  say "done"
  local exit_code=0
  report total "$totals" || exit_code=$?
  exit "$exit_code"
}

main
