#!/usr/bin/env bash
# Runs unittest files with the system's python3: see py_test.bzl.
set -euo pipefail

export PYTHONDONTWRITEBYTECODE=1
export PYTHONPATH=$PWD${PYTHONPATH:+:$PYTHONPATH}
exec /usr/bin/python3 tools/bazel/py_test_runner.py "$@"
