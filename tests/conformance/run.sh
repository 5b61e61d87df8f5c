#!/usr/bin/env bash
# Shows what Portico holds against, with other people's clients, servers and attack tools:
#
#   tests/conformance/run.sh NAME [options]     # last line: "NAME: N passed, N failed"
#   tests/conformance/run.sh --list
#
# Builds Portico optimised unless PORTICO_BIN_ROOT names a build, and installs what NAME needs from package registries. Everything runs
# on loopback and is ended by the run. docs/conformance.md says what each shows.
#   PORTICO_BAZEL_STARTUP  startup options for bazel, such as --output_base=/elsewhere
#   PORTICO_BAZEL_OPTIONS  options for the build
set -euo pipefail

readonly ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
readonly PRODUCT=(//dataplane:portico_proxy //controlplane:portico_control //tools/porticoctl //tools/demo:echo_service)

names() {
  (cd "$ROOT/tests/conformance" && ls -1 ./*_check.py | sed -e 's|^\./||' -e 's|_check\.py$||')
}

if [[ ${1:-} == --list ]]; then
  names
  exit 0
fi
if [[ ! -f $ROOT/tests/conformance/${1:-}_check.py ]]; then
  echo "run.sh: there is no check \"${1:-}\"; there are: $(names | tr '\n' ' ')" >&2
  exit 2
fi

read -ra startup_options <<<"${PORTICO_BAZEL_STARTUP:-}"
read -ra bazel_options <<<"${PORTICO_BAZEL_OPTIONS:-}"
bazel_run() {
  (cd "$ROOT" && bazel "${startup_options[@]}" "$@")
}

if [[ -z ${PORTICO_BIN_ROOT:-} ]]; then
  bazel_run build --config=opt "${bazel_options[@]}" "${PRODUCT[@]}" >&2
  PORTICO_BIN_ROOT=$(bazel_run info --config=opt "${bazel_options[@]}" bazel-bin 2>/dev/null)
  export PORTICO_BIN_ROOT
fi
name=$1
shift
cd "$ROOT"
export PYTHONPATH=$ROOT${PYTHONPATH:+:$PYTHONPATH}
exec python3 -m "tests.conformance.${name}_check" "$@"
