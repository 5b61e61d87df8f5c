#!/usr/bin/env bash
# Portico beside HAProxy, nginx, Envoy, Traefik, Caddy and a Node proxy, in one interleaved run.
#
#   tools/bench.sh                                     # everything, 30 minutes on a quiet machine, 42 at most
#   tools/bench.sh --rounds 3                          # the same in 23, 28 at most
#   tools/bench.sh --quick                             # a first look, nine minutes
#   tools/bench.sh --scenario a,c --peers haproxy,nginx --rounds 3 --json FILE
#   tools/bench.sh --help
#
# Builds Portico optimised unless --portico-binaries DIR names a build, installs the peers, writes to bench-results/. docs/benchmarks.md
# says what is measured and how.
#   PORTICO_BAZEL_STARTUP  startup options for bazel, such as --output_base=/elsewhere
#   PORTICO_BAZEL_OPTIONS  options for the build
set -euo pipefail

readonly ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
readonly TOOLS=(//tests/bench/load:bench_load //tests/bench/load:bench_upstream //tests/bench/load:bench_around)
readonly PRODUCT=(//dataplane:portico_proxy //controlplane:portico_control //tools/porticoctl)

read -ra startup_options <<<"${PORTICO_BAZEL_STARTUP:-}"
read -ra bazel_options <<<"${PORTICO_BAZEL_OPTIONS:-}"

# all: nothing is built yet; tools: the product is, the load tools may not be; no: only help is wanted.
build=all
previous=
for argument in "$@"; do
  case $argument in
    --portico-binaries=*) binaries=${argument#*=} build=tools ;;
    --help | -h) build=no ;;
  esac
  if [[ $previous == --portico-binaries ]]; then binaries=$argument build=tools; fi
  previous=$argument
done
if [[ $build == tools && ( -x $binaries/bench_load || -x $binaries/tests/bench/load/bench_load ) ]]; then build=no; fi

bazel_run() {
  (cd "$ROOT" && bazel "${startup_options[@]}" "$@")
}

more=()
if [[ $build != no ]]; then
  targets=("${TOOLS[@]}")
  if [[ $build == all ]]; then targets+=("${PRODUCT[@]}"); fi
  bazel_run build --config=opt "${bazel_options[@]}" "${targets[@]}" >&2
  PORTICO_BENCH_TOOLS=$(bazel_run info --config=opt "${bazel_options[@]}" bazel-bin 2>/dev/null)
  export PORTICO_BENCH_TOOLS
  if [[ $build == all ]]; then more=(--portico-binaries "$PORTICO_BENCH_TOOLS"); fi
fi
export PYTHONPATH=$ROOT${PYTHONPATH:+:$PYTHONPATH}
exec python3 -m tests.bench.suite.main "${more[@]}" "$@"
