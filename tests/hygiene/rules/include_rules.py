"""Who may include whom: a file includes only lower floors, and siblings stay apart."""

import re

from tests.hygiene.rules.source_tree import CODE_ROOTS, Violation

# Folders of one number are siblings and do not include each other. In the data plane's lowest floor,
# base is below event, which is below net.
FLOORS = {
    "api": {"portico": 0, "resource": 1, "validation": 2},
    "dataplane": {
        "base": 0,
        "event": 1,
        "net": 2,
        "http": 3,
        "tls": 3,
        "observe": 3,
        "routing": 4,
        "snapshot": 5,
        "filters": 6,
        "upstream": 6,
        "proxy": 7,
        "downstream": 8,
        "discovery": 9,
        "server": 10,
    },
    "controlplane": {
        "model": 0,
        "store": 1,
        "rollout": 2,
        "compile": 2,
        "management": 3,
        "discovery": 3,
    },
}

# Which top-level folders each one may include. A program's main file (no folder below the plane) may
# include tools/flags, too; tests may include tests/.
REACH = {
    "api": {"api", "proto"},
    "proto": {"api", "proto"},
    "dataplane": {"dataplane", "api", "proto"},
    "controlplane": {"controlplane", "api", "proto"},
    "tools": {"tools", "dataplane", "controlplane", "api", "proto"},
}

# In these folders each subfolder is one extension that knows nothing of the others.
EXTENSION_FOLDERS = {"dataplane/filters"}

ROOTS = ("api", "proto", "dataplane", "controlplane", "tools", "tests")
_INCLUDE = re.compile(r'^\s*#\s*include\s*["<]([^">]+)[">]')


def includes(file):
    """(line number, path) of each include of a file of our own."""
    for number, line in enumerate(file.lines, 1):
        match = _INCLUDE.match(line)
        if match and match.group(1).split("/")[0] in ROOTS:
            yield number, match.group(1)


def _part(path, index):
    """The folder at a depth, or "" for a file that stands directly above it."""
    parts = path.split("/")
    return parts[index] if index < len(parts) - 1 else ""


def _reach_error(file, target):
    top, wanted = _part(file.path, 0), _part(target, 0)
    allowed = set(REACH[top])
    if file.is_test:
        allowed.add("tests")
    if _part(file.path, 1) == "" and target.startswith("tools/flags/"):
        return None
    if wanted not in allowed:
        return f"{top}/ must not include {wanted}/"
    return None


def _floor_error(file, target):
    top = _part(file.path, 0)
    if top not in FLOORS or _part(target, 0) != top:
        return None
    own, other = _part(file.path, 1), _part(target, 1)
    if own == "" or own == other:
        return None
    if own not in FLOORS[top] or other not in FLOORS[top]:
        unknown = own if own not in FLOORS[top] else other or "(a main file)"
        return f"{top}/{unknown} has no floor: see FLOORS in tests/hygiene/rules/include_rules.py"
    if FLOORS[top][other] > FLOORS[top][own]:
        return f"{top}/{own} is below {top}/{other} and must not include it"
    if FLOORS[top][other] == FLOORS[top][own] and not file.is_test:
        return f"{top}/{own} and {top}/{other} are siblings and stay apart"
    return None


def _extension_error(file, target):
    for folder in EXTENSION_FOLDERS:
        if not (file.path.startswith(folder + "/") and target.startswith(folder + "/")):
            continue
        depth = folder.count("/") + 1
        own, other = _part(file.path, depth), _part(target, depth)
        if own and other and own != other and not file.is_test:
            return f"{folder}/{own} and {folder}/{other} are siblings and stay apart"
    return None


def check_reach(files):
    """The planes never include each other; nothing but tests includes tests/."""
    return _check(files, _reach_error)


def check_floors(files):
    """A file includes only lower floors of its plane; siblings stay apart."""
    return _check(files, lambda file, target: _floor_error(file, target) or _extension_error(file, target))


def _check(files, find_error):
    violations = []
    for file in files:
        if not file.is_cpp or _part(file.path, 0) not in REACH:
            continue
        for number, target in includes(file):
            error = find_error(file, target)
            if error:
                violations.append(Violation(file.path, number, f"{error} ({target})"))
    return violations


def check_two_tls_libraries(files):
    """No file includes headers of both BoringSSL and gRPC, which brings OpenSSL."""
    violations = []
    for file in files:
        if file.is_cpp and re.search(r"#\s*include\s*<openssl/", file.text):
            match = re.search(r'#\s*include\s*[<"](grpcpp/|grpc/|[^">]*\.grpc\.pb\.h)', file.text)
            if match:
                line = file.text[: match.start()].count("\n") + 1
                violations.append(Violation(file.path, line, "gRPC and <openssl/...> in one file"))
    return violations


def check_headers_have_targets(files):
    """Every header stands in its BUILD file, so that `--config=headers` compiles it alone."""
    build_files = {file.path: file for file in files if file.path.endswith("BUILD.bazel")}
    violations = []
    for file in files:
        if not file.path.endswith(".h") or not file.path.startswith(CODE_ROOTS):
            continue
        folder, below = file.path.rsplit("/", 1)
        while folder and f"{folder}/BUILD.bazel" not in build_files:
            folder, _, name = folder.rpartition("/")
            below = f"{name}/{below}"
        build_file = build_files.get(f"{folder}/BUILD.bazel")
        if build_file is None or not re.search(rf'"{re.escape(below)}"|glob\(.*\.h"', build_file.text):
            violations.append(Violation(file.path, 1, "this header belongs to no target"))
    return violations
