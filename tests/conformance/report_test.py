"""What reads other people's reports, without them."""

import unittest

from tests.conformance import h2spec_report

H2SPEC = """<?xml version="1.0" encoding="UTF-8"?>
<testsuites>
  <testsuite name="3.5. Preface" package="http2/3.5" id="3.5" tests="2" skipped="0" failures="1" errors="1">
    <testcase package="http2/3.5" classname="Sends client connection preface" time="0.0002"></testcase>
    <testcase package="http2/3.5" classname="Sends invalid connection preface" time="2.0"><error>GOAWAY Frame
  Connection closed
  Timeout</error></testcase>
  </testsuite>
  <testsuite name="5.1. States" package="http2/5.1" id="5.1" tests="1" skipped="1" failures="0" errors="0">
    <testcase package="http2/5.1" classname="idle: Sends a DATA frame" time="0"><skipped></skipped></testcase>
  </testsuite>
</testsuites>"""


class H2specReportTest(unittest.TestCase):
    def test_cases(self):
        cases = h2spec_report.parse(H2SPEC)
        self.assertEqual([case.outcome for case in cases], ["passed", "failed", "skipped"])
        self.assertEqual(cases[1].found, "GOAWAY Frame | Connection closed | Timeout")
        self.assertEqual(h2spec_report.count(cases), 1)

    def test_exceptions_hold_where_they_say(self):
        case = h2spec_report.parse(H2SPEC)[1]
        self.assertTrue(h2spec_report.exception_for(case, "plain", {case.key: ("plain", "why")}))
        self.assertIsNone(h2spec_report.exception_for(case, "secure", {case.key: ("plain", "why")}))
        self.assertEqual(h2spec_report.exception_for(case, "secure", {case.key: ("both", "why")}), "why")
        self.assertIsNone(h2spec_report.exception_for(case, "plain", {}))

    def test_every_exception_has_a_reason(self):
        for key, (where, why) in h2spec_report.EXCEPTIONS.items():
            self.assertIn(where, ("plain", "secure", "both"), key)
            self.assertGreater(len(why), 20, key)

    def test_not_a_report(self):
        for text in ("", "no XML", "<testsuites></testsuites>"):
            with self.assertRaises(ValueError):
                h2spec_report.parse(text)


if __name__ == "__main__":
    unittest.main()
