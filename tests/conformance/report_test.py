"""What reads other people's reports, without them."""

import unittest

from tests.conformance import flood_frames, grpc_check, h2_raw, h2load_report, h2spec_report, smuggling_h2_table, smuggling_table, testssl_report

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


H2LOAD = """finished in 30.00s, 21.30 req/s, 3.99KB/s
Application protocol: h2
requests: 640 total, 640 started, 639 done, 638 succeeded, {failed} failed, 0 errored, 0 timeout
status codes: 639 2xx, 0 3xx, 0 4xx, 0 5xx
"""


class H2loadReportTest(unittest.TestCase):
    def test_counts(self):
        report = h2load_report.Report(H2LOAD.format(failed=0))
        self.assertEqual((report.done, report.ok, report.protocol), (639, 639, "h2"))
        self.assertTrue(report.clean())
        self.assertFalse(h2load_report.Report(H2LOAD.format(failed=1)).clean())

    def test_not_a_report(self):
        with self.assertRaises(ValueError):
            h2load_report.Report("starting benchmark...")


class TestsslReportTest(unittest.TestCase):
    def test_findings(self):
        found = testssl_report.parse("""[{"id": "SSLv2", "severity": "OK", "finding": "not offered"},
            {"id": "RC4", "severity": "HIGH", "finding": "VULNERABLE"}, {"id": "cert_revocation <cert#2>", "severity": "HIGH"}]""")
        self.assertEqual([finding.bad for finding in found], [False, True, False])

    def test_not_a_report(self):
        for text in ("", "{}", "[1]"):
            with self.assertRaises(ValueError):
                testssl_report.parse(text)


class RawHttp2Test(unittest.TestCase):
    def test_frames(self):
        self.assertEqual(h2_raw.settings(), b"\0\0\0\4\0\0\0\0\0")
        self.assertEqual(h2_raw.window_update(3, 1), b"\0\0\4\x08\0\0\0\0\3\0\0\0\1")
        # RFC 7541, appendix C.1: an integer in its prefix, and beyond it.
        self.assertEqual(h2_raw.indexed(62), b"\xbe")
        self.assertEqual(h2_raw.literal(b"x", b"y" * 200)[3:5], b"\x7f\x49")

    def test_floods_are_as_large_as_they_say(self):
        for flood in flood_frames.FLOODS:
            if not flood.refused:
                self.assertGreaterEqual(len(flood.make(b"http")), 9 * flood_frames.COUNT, flood.name)
        self.assertGreaterEqual(len(flood_frames.RESETS), 7)

    def test_names_are_their_own(self):
        for names in ([flood.name for flood in flood_frames.FLOODS + flood_frames.RESETS],
                      [case.name for case in smuggling_h2_table.cases()],
                      [(case.group, case.name) for case in smuggling_table.cases()]):
            self.assertEqual(len(names), len(set(names)))


class GrpcWebTest(unittest.TestCase):
    def test_frames(self):
        body = b"\0\0\0\0\2hi" + b"\x80\0\0\0\x10grpc-status: 0\r\n"
        self.assertEqual(grpc_check.unframe(body), ([b"hi"], {"grpc-status": "0"}))
        for half in (body[:3], body[:6], body[:-1]):
            with self.assertRaises(ValueError):
                grpc_check.unframe(half)

    def test_base64_in_pieces(self):
        self.assertEqual(grpc_check.decode_pieces(b"aGk=aGk="), b"hihi")


if __name__ == "__main__":
    unittest.main()
