"""What the code does without, and how a line says that it is an exception.

A comment on the line, or just above it, names the reason after one of these words:

    // boundary: yaml-cpp throws        on try or one of its catches, where a library throws
    // owned: by the intrusive list     new, where no smart pointer can hold the object
    // clock: waits for a real kernel   a real clock, in a test

Placement is written `::new (address) T` and owns nothing.
"""

import re

from tests.hygiene.rules.source_tree import CODE_ROOTS, Violation

MAX_LINES = 500
COUNTED_SUFFIXES = (".cc", ".h", ".py", ".sh")

_REGEX = re.compile(r"\bstd::w?regex\b|#\s*include\s*<regex>")
_CLOCK = re.compile(
    r"\b(?:system|steady|high_resolution)_clock\s*::\s*now\b"
    r"|\b(?:clock_gettime|gettimeofday|clock_getres)\s*\("
    r"|\babsl::Now\b|\babsl::GetCurrentTimeNanos\b"
    r"|(?<![\w.>])(?:std::)?time\s*\(\s*(?:nullptr|NULL|0)\s*\)"
)
_THROW = re.compile(r"\bthrow\b")
_RETHROW = re.compile(r"\bthrow\s*;")
_TRY = re.compile(r"\btry\s*(?:\{|$)")
_CATCH = re.compile(r"\bcatch\s*\(")
_USING_NAMESPACE = re.compile(r"\busing\s+namespace\s+(?!(?:std::(?:\w+::)*)?\w*literals\s*;)")
_NEW = re.compile(r"(?<!\boperator )\bnew\b\s*(?:\(|\[|::|[A-Za-z_])")
_PLACEMENT_NEW = re.compile(r"::new\s*\((?!\s*std::nothrow)")
_SMART_NEW = re.compile(r"(?:unique_ptr\s*<.*>|WrapUnique|\breset)\s*[({]\s*$|unique_ptr<[^;]*\w\s*[({]\s*$")
_ABSL_MUTEX = re.compile(r"\babsl::(?:Mutex|MutexLock|Notification|CondVar|BlockingCounter|Barrier)\b")
_MAKE_THREADS_SLEEP = re.compile(r"\bsleep_for\b|\bsleep_until\b|\b(?:u|nano)?sleep\s*\(|\babsl::SleepFor\b")

# Real time enters the programs here and nowhere else.
CLOCK_HOMES = ("dataplane/base/", "controlplane/model/", "tools/")

# Written so that this file does not name the paths itself.
_MACHINE_PATH = re.compile(r"(?:^|[^A-Za-z0-9_.])/(?:" + "|".join(("work", "root", "home")) + r")/")


def _own_code(files):
    return [file for file in files if file.is_cpp and file.path.startswith(CODE_ROOTS)]


def _matches(files, pattern, message, note=None, skip=lambda file: False):
    violations = []
    for file in files:
        if skip(file):
            continue
        for index, line in enumerate(file.code):
            if pattern.search(line) and not (note and file.has_note(index, note)):
                violations.append(Violation(file.path, index + 1, message))
    return violations


def check_regex(files):
    """std::regex recurses and can take exponential time; RE2 does neither."""
    return _matches(_own_code(files), _REGEX, "std::regex: use RE2")


def check_clocks(files):
    """Time comes from a Clock that tests can turn."""

    def skip(file):
        return file.path.startswith(CLOCK_HOMES) or file.path in (
            "dataplane/main.cc",
            "controlplane/main.cc",
        )

    code = _own_code(files)
    tests = [file for file in code if file.is_test]
    rest = [file for file in code if not file.is_test]
    message = "a real clock: take a Clock"
    return _matches(rest, _CLOCK, message, skip=skip) + _matches(
        tests, _CLOCK, message + ", or say `// clock: why`", note="clock", skip=skip
    )


def check_sleeping(files):
    """A worker never sleeps: it waits in its event loop."""
    code = [file for file in _own_code(files) if not file.path.startswith("tools/")]
    return _matches(
        [file for file in code if not file.is_test],
        _MAKE_THREADS_SLEEP,
        "sleeping blocks a thread: use a timer",
    )


def _try_statements(file):
    """(line indices of one `try` and its catches) for each; nested ones count as the inner."""
    statement = []
    for index, line in enumerate(file.code):
        if _TRY.search(line):
            if statement:
                yield statement
            statement = [index]
        elif _CATCH.search(line):
            statement.append(index)
    if statement:
        yield statement


def check_exceptions(files):
    """Errors are absl::Status; only what a library throws is caught, where it enters."""
    violations = []
    for file in _own_code(files):
        looked_at = set()
        for statement in _try_statements(file):
            if any(file.has_note(index, "boundary") for index in statement):
                # `try { throw; }` is how the current exception is looked at.
                looked_at.update((statement[0], statement[0] + 1))
                continue
            message = "try/catch: only where a library throws, with `// boundary: why`"
            violations.append(Violation(file.path, statement[0] + 1, message))
        for index, line in enumerate(file.code):
            rethrown = index in looked_at and _RETHROW.search(line)
            if _THROW.search(line) and not rethrown:
                violations.append(Violation(file.path, index + 1, "throw: return absl::Status"))
    return violations


def check_using_namespace(files):
    """A name says where it comes from; only literals (1s, "a"sv) cannot."""
    cpp = [file for file in files if file.is_cpp]
    return _matches(cpp, _USING_NAMESPACE, "using namespace")


def check_new(files):
    """Every object has an owner that the compiler knows."""
    violations = []
    for file in _own_code(files):
        for index, line in enumerate(file.code):
            if line.lstrip().startswith("#"):
                continue
            for match in _NEW.finditer(line):
                if _PLACEMENT_NEW.match(line, max(match.start() - 2, 0)):
                    continue
                before = line[: match.start()]
                if not before.strip() and index > 0:
                    before = file.code[index - 1].rstrip()
                if _SMART_NEW.search(before) or file.has_note(index, "owned"):
                    continue
                violations.append(
                    Violation(file.path, index + 1, "raw new: use a smart pointer, or say `// owned: why`")
                )
    return violations


def check_mutexes(files):
    """ThreadSanitizer cannot see into Debian's Abseil: std::mutex is what it understands."""
    return _matches(_own_code(files), _ABSL_MUTEX, "use std::mutex and std::condition_variable")


def check_length(files):
    """A file is a room, not a hall."""
    violations = []
    for file in files:
        count = file.text.count("\n")
        if file.path.endswith(COUNTED_SUFFIXES) and count > MAX_LINES:
            violations.append(Violation(file.path, MAX_LINES, f"{count} lines; {MAX_LINES} are allowed"))
    return violations


def check_machine_paths(files):
    """Nothing depends on where somebody's checkout stands."""
    violations = []
    for file in files:
        for index, line in enumerate(file.lines):
            if _MACHINE_PATH.search(line):
                violations.append(Violation(file.path, index + 1, "a path of one machine"))
    return violations
