"""Tests written in Python with unittest, run by the system's python3.

    load("//tools/bazel:py_test.bzl", "portico_py_test")

    portico_py_test(
        name = "proxy_test",
        srcs = ["proxy_test.py"],
        data = ["//dataplane:portico-proxy"],
        deps_py = ["//tests/support:support_py"],
        timeout = "moderate",
        tags = ["no-tsan"],
    )

Every file in `srcs` holds unittest cases, and every case counts on its own. `deps_py` are filegroups of
Python modules. The workspace root is the import root (`from tests.support import gateway`) and the
working directory, so data files are opened by their path in the workspace. One case:
`bazel test //x:proxy_test --test_filter=ProxyTest.test_get`.
"""

def portico_py_test(name, srcs, data = [], deps_py = [], timeout = None, size = None, tags = [], args = [], **kwargs):
    """An sh_test that runs unittest cases and reports each of them.

    Args:
      name: name of the test.
      srcs: Python files with unittest cases.
      data: files and binaries that the cases use.
      deps_py: filegroups or files with the Python modules that the cases import.
      timeout: as for every test.
      size: as for every test.
      tags: as for every test.
      args: more arguments; the cases find them in sys.argv[1:].
      **kwargs: passed on (env, visibility, flaky, ...).
    """
    native.sh_test(
        name = name,
        srcs = ["//tools/bazel:py_test.sh"],
        args = ["$(rootpath %s)" % src for src in srcs] + (["--"] + args if args else []),
        data = srcs + deps_py + data + ["//tools/bazel:py_test_runner.py"],
        timeout = timeout,
        size = size,
        tags = tags,
        **kwargs
    )
