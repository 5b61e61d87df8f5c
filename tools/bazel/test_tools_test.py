"""The tools that run and count tests, counted by themselves."""

import contextlib
import io
import json
import os
import tempfile
import unittest
import xml.etree.ElementTree as ElementTree

from tools.bazel import py_test_runner
from tools.bazel import test_report

GTEST_XML = """<testsuites><testsuite name="A">
<testcase name="Good" classname="A" status="run" result="completed"/>
<testcase name="Bad" classname="A" status="run" result="completed"><failure message="x"/></testcase>
<testcase name="Skipped" classname="A" status="run" result="skipped"><skipped message=""/></testcase>
<testcase name="DISABLED_Off" classname="A" status="notrun" result="suppressed"/>
</testsuite></testsuites>"""

ALL_PASSED_XML = '<testsuites><testsuite name="A"><testcase name="Good"/></testsuite></testsuites>'


class TestReport(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def result(self, label, status, xml, attempt=1):
        path = os.path.join(self.folder, f"{len(os.listdir(self.folder))}.xml")
        with open(path, "w", encoding="utf-8") as file:
            file.write(xml)
        return json.dumps(
            {
                "id": {"testResult": {"label": label, "run": 1, "attempt": attempt}},
                "testResult": {
                    "status": status,
                    "testActionOutput": [{"name": "test.xml", "uri": f"file://{path}"}],
                },
            }
        )

    def counts(self, lines, exit_code=0):
        counts = test_report.count_events(lines, exit_code)
        return counts.passed, counts.failed, counts.skipped

    def test_counts_every_gtest_case(self):
        self.assertEqual(self.counts([self.result("//a:t", "FAILED", GTEST_XML)], 3), (1, 1, 1))

    def test_failure_after_the_last_case_counts(self):
        self.assertEqual(self.counts([self.result("//a:t", "FAILED", ALL_PASSED_XML)], 3), (1, 1, 0))

    def test_timeout_with_unreadable_xml_is_one_failure(self):
        self.assertEqual(self.counts([self.result("//a:t", "TIMEOUT", "<testsuites>")], 3), (0, 1, 0))

    def test_last_attempt_of_a_retried_test_counts(self):
        lines = [
            self.result("//a:t", "FAILED", GTEST_XML, attempt=1),
            self.result("//a:t", "PASSED", ALL_PASSED_XML, attempt=2),
        ]
        self.assertEqual(self.counts(lines), (1, 0, 0))

    def test_target_that_does_not_build_is_one_failure(self):
        lines = [
            json.dumps({"id": {"targetCompleted": {"label": "//a:t"}}, "completed": {}}),
            json.dumps({"id": {"targetCompleted": {"label": "//a:t"}}, "completed": {}}),
            json.dumps({"id": {"targetCompleted": {"label": "//a:l"}}, "completed": {"success": True}}),
        ]
        self.assertEqual(self.counts(lines, 1), (0, 1, 0))

    def test_broken_build_file_is_a_failure(self):
        event = {
            "id": {"pattern": {"pattern": ["//..."]}},
            "aborted": {"reason": "LOADING_FAILURE", "description": "syntax error"},
        }
        self.assertEqual(self.counts([json.dumps(event)], 1), (0, 1, 0))

    def test_bazel_failing_without_events_is_a_failure(self):
        self.assertEqual(self.counts([], 37), (0, 1, 0))

    def total(self, *lines):
        path = os.path.join(self.folder, "totals")
        with open(path, "w", encoding="utf-8") as file:
            file.writelines(f"{line}\n" for line in lines)
        output = io.StringIO()
        with contextlib.redirect_stdout(output):
            exit_code = test_report.main(["total", path])
        return exit_code, output.getvalue()

    def test_total_adds_rounds(self):
        self.assertEqual(self.total("1 0 0", "2 0 0"), (0, "3 passed, 0 failed\n"))

    def test_total_names_skipped_only_when_there_are_some(self):
        self.assertEqual(self.total("1 0 2"), (0, "1 passed, 0 failed, 2 skipped\n"))

    def test_total_fails_when_something_failed(self):
        self.assertEqual(self.total("5 1 0"), (1, "5 passed, 1 failed\n"))

    def test_total_fails_when_nothing_ran(self):
        self.assertEqual(self.total(), (1, "0 passed, 0 failed\n"))


class PyTestRunner(unittest.TestCase):
    def outcomes(self):
        class Sample(unittest.TestCase):
            def test_good(self):
                pass

            def test_bad(self):
                self.fail("planted")

            def test_error(self):
                raise ValueError("planted \x00 byte")

            def test_skipped(self):
                self.skipTest("planted")

            def test_two_bad_subtests(self):
                for number in (1, 2):
                    with self.subTest(number=number):
                        self.fail(f"planted {number}")

        suite = unittest.defaultTestLoader.loadTestsFromTestCase(Sample)
        runner = unittest.TextTestRunner(
            stream=io.StringIO(), resultclass=py_test_runner.RecordingResult
        )
        return runner.run(suite).outcomes

    def test_each_case_has_one_outcome(self):
        kinds = {test.rpartition(".")[2]: kind for test, (kind, _, _) in self.outcomes().items()}
        self.assertEqual(
            kinds,
            {
                "test_good": "passed",
                "test_bad": "failed",
                "test_error": "failed",
                "test_skipped": "skipped",
                "test_two_bad_subtests": "failed",
            },
        )

    def test_xml_is_what_the_report_reads(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "test.xml")
            py_test_runner.write_xml(path, self.outcomes())
            counts = test_report.Counts()
            test_report.count_cases("//a:t", path, counts)
            self.assertEqual((counts.passed, counts.failed, counts.skipped), (1, 3, 1))
            self.assertEqual(ElementTree.parse(path).getroot().tag, "testsuites")


if __name__ == "__main__":
    unittest.main()
