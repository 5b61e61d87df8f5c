"""Runs the unittest cases of some files and writes what Bazel calls test.xml.

py_test_runner.py FILE.py... [-- ARGUMENT...]

Honours Bazel's XML_OUTPUT_FILE and TESTBRIDGE_TEST_ONLY (--test_filter).
"""

import importlib
import os
import sys
import time
import unittest
import xml.etree.ElementTree as ElementTree


class RecordingResult(unittest.TextTestResult):
    """Remembers the outcome of each case: one of passed, failed, skipped; with its text and seconds."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.outcomes = {}
        self._started = {}

    def startTest(self, test):
        self._started[test.id()] = time.monotonic()
        super().startTest(test)

    def stopTest(self, test):
        super().stopTest(test)
        kind, text, _ = self.outcomes.setdefault(test.id(), ("passed", "", 0.0))
        seconds = time.monotonic() - self._started[test.id()]
        self.outcomes[test.id()] = (kind, text, seconds)

    def _record(self, test, kind, text):
        old_kind, old_text, seconds = self.outcomes.get(test.id(), (kind, "", 0.0))
        kind = "failed" if "failed" in (kind, old_kind) else kind
        self.outcomes[test.id()] = (kind, "\n".join(filter(None, [old_text, text])), seconds)

    def addError(self, test, err):
        super().addError(test, err)
        self._record(test, "failed", self._exc_info_to_string(err, test))

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self._record(test, "failed", self._exc_info_to_string(err, test))

    def addSubTest(self, test, subtest, err):
        super().addSubTest(test, subtest, err)
        if err is not None:
            text = f"{subtest}\n{self._exc_info_to_string(err, test)}"
            self._record(test, "failed", text)

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        self._record(test, "skipped", reason)

    def addUnexpectedSuccess(self, test):
        super().addUnexpectedSuccess(test)
        self._record(test, "failed", "passed, but was expected to fail")


def clean(text):
    """XML 1.0 has no place for most control characters."""
    return "".join(c for c in text if c in "\t\n\r" or " " <= c < "\ufffe" and not "\ud800" <= c < "\ue000")


def write_xml(path, outcomes):
    kinds = [kind for kind, _, _ in outcomes.values()]
    suite = ElementTree.Element(
        "testsuite",
        name=os.environ.get("TEST_TARGET", "unittest"),
        tests=str(len(kinds)),
        failures=str(kinds.count("failed")),
        skipped=str(kinds.count("skipped")),
    )
    for test_id, (kind, text, seconds) in outcomes.items():
        class_name, _, name = test_id.rpartition(".")
        case = ElementTree.SubElement(
            suite, "testcase", classname=class_name, name=name, time=f"{seconds:.3f}"
        )
        if kind == "failed":
            ElementTree.SubElement(case, "failure", message=clean(text[:200])).text = clean(text)
        elif kind == "skipped":
            ElementTree.SubElement(case, "skipped", message=clean(text))
    root = ElementTree.Element("testsuites")
    root.append(suite)
    ElementTree.ElementTree(root).write(path, encoding="utf-8", xml_declaration=True)


def load(files, name_filter):
    loader = unittest.TestLoader()
    if name_filter:
        loader.testNamePatterns = [
            pattern if "*" in pattern else f"*{pattern}*" for pattern in name_filter.split(":")
        ]
    suite = unittest.TestSuite()
    for file in files:
        module = importlib.import_module(file.removesuffix(".py").replace("/", "."))
        suite.addTests(loader.loadTestsFromModule(module))
    return suite


def main(arguments):
    files = arguments
    if "--" in arguments:
        split = arguments.index("--")
        files, sys.argv[1:] = arguments[:split], arguments[split + 1 :]
    suite = load(files, os.environ.get("TESTBRIDGE_TEST_ONLY"))
    runner = unittest.TextTestRunner(verbosity=2, resultclass=RecordingResult, stream=sys.stdout)
    result = runner.run(suite)
    xml_path = os.environ.get("XML_OUTPUT_FILE")
    if xml_path:
        write_xml(xml_path, result.outcomes)
    if not result.outcomes:
        print("no test cases were found", file=sys.stderr)
        return 1
    return 0 if result.wasSuccessful() else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
