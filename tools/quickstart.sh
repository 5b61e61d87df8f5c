#!/usr/bin/env bash
# Builds Portico, starts a control plane, two proxies, HAProxy, Prometheus and demo services on free
# ports of this machine, and shows what they do. See docs/quickstart.md, or --help.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
readonly root

usage() {
  cat <<'TEXT'
tools/quickstart.sh [--check] [--state-dir DIR] [--workers N] [--binaries DIR]

Starts a whole Portico on this machine, shows each feature with a curl line, and stays up until
Ctrl-C. The first run installs Debian packages (as root) and builds.

  --check          assert every step, print a table, stop everything; exit 0 or 1
  --state-dir DIR  keep stores, logs, caches and DIR/env there (default: a temporary folder)
  --workers N      threads of each proxy (default: number of cores)
  --binaries DIR   use the programs built under DIR instead of installing and building

PORTICO_BAZEL_STARTUP holds startup options for bazel, as for tools/test.sh.
TEXT
}

# Only what decides about building is looked at here; main.py reads all flags.
binaries=
for ((i = 1; i <= $#; ++i)); do
  case ${!i} in
    -h | --help)
      usage
      exit 0
      ;;
    --binaries)
      next=$((i + 1))
      binaries=${!next-}
      ;;
    --binaries=*) binaries=${!i#*=} ;;
  esac
done

if [[ -z $binaries ]]; then
  "$root/tools/setup.sh"
  cd "$root"
  echo "quickstart: building (the first time takes some minutes)"
  read -ra startup_options <<<"${PORTICO_BAZEL_STARTUP:-}"
  bazel "${startup_options[@]}" build --config=opt //controlplane:portico_control //dataplane:portico_proxy \
    //tools/porticoctl //tools/demo:echo_service
  set -- --binaries "$(bazel "${startup_options[@]}" info --config=opt bazel-bin 2>/dev/null)" "$@"
  cd - >/dev/null
fi

exec python3 -B "$root/tools/quickstart/main.py" "$@"
