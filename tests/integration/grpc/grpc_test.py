"""gRPC through the real proxy: a C++ client and server (Debian's gRPC) with every kind of call, its checks in
talk_client_test.cc, and what the proxy's log and counters say of them."""

import os
import re
import subprocess
import unittest

from tests.support import fleet as support
from tests.support import tls_files
from tests.support.http_client import fetch

CONFIG = support.LOGGED_LISTENER + """
kind: Upstream
name: talk
spec: {{endpoints: [{{address: "{endpoint}"}}], protocol: http2{upstream_tls}, outlier_detection: {{disabled: true}}}}
---
{tls}kind: Upstream
name: gone
spec: {{endpoints: [{{address: "127.0.0.1:1"}}], protocol: http2}}
---
kind: Route
name: talk
spec: {{match: {{path: {{prefix: /portico.test.Talk}}}}, upstreams: [{{name: talk}}], timeout: 60s, max_body_bytes: 100000000}}
---
kind: Route
name: health
spec: {{match: {{path: {{prefix: /grpc.health.v1.Health}}}}, upstreams: [{{name: talk}}]}}
---
kind: Route
name: reflection
spec: {{match: {{path: {{prefix: /grpc.reflection.v1alpha.ServerReflection}}}}, upstreams: [{{name: talk}}]}}
---
kind: Route
name: short
spec: {{match: {{path: {{prefix: /short}}}}, upstreams: [{{name: talk}}], rewrite: {{prefix: /}}, timeout: 500ms}}
---
kind: Route
name: gone
spec: {{match: {{path: {{prefix: /gone.Service}}}}, upstreams: [{{name: gone}}]}}
---
kind: Route
name: locked
spec: {{match: {{path: {{prefix: /locked.Service}}}}, upstreams: [{{name: talk}}], authentication: {{any_of: [{{api_key: {{}}}}]}}}}
"""


# A listener with TLS, beside what else there is.
TLS = """kind: Listener
name: https
spec: {{address: "127.0.0.1:0", tls: {{certificates: [main]}}}}
---
{certificate}---
kind: CaBundle
name: ca
spec:
  certificates: |
{ca}---
"""


class GrpcTest(unittest.TestCase):
    def setUp(self):
        self.fleet = support.Fleet()
        self.addCleanup(self.fleet.stop)
        self.server = self.start_server("talk")
        self.proxy = self.start_proxy("p1", self.server)

    def start_server(self, name, *arguments):
        file = self.fleet.path(f"{name}.addresses")
        command = [support.binary("tests/integration/grpc/talk_server"), file, *arguments]
        return self.fleet.add(support.Process(self.fleet.folder, name, command, file))

    def start_proxy(self, name, server, tls="", upstream_tls="", listeners=("http",)):
        config = self.fleet.write(f"{name}.yaml", CONFIG.format(
            folder=self.fleet.folder, endpoint=server.addresses()["grpc"], tls=tls, upstream_tls=upstream_tls))
        proxy = self.fleet.proxy(name, config=config, workers=2, listeners=listeners)
        proxy.wait_ready()
        return proxy

    def run_client(self, *arguments, listener="http"):
        host, port = self.proxy.listener(listener)
        command = [support.binary("tests/integration/grpc/talk_client_test"), f"--target={host}:{port}", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=200,
                              env={**os.environ, "GRPC_VERBOSITY": "ERROR"})
        self.assertEqual(done.returncode, 0, done.stdout[-6000:] + done.stderr[-2000:] + self.proxy.log())
        return done.stdout

    def test_every_kind_of_call(self):
        print(self.run_client())
        self.assertIsNone(self.proxy.process.poll())
        support.wait_until(lambda: self.proxy.metrics()["portico_requests_active"] == 0, "the end of all exchanges")
        lines = self.fleet.access_log()
        by_path = {}
        for line in lines:
            by_path.setdefault(line["path"], []).append(line)
        self.assertEqual({r.get("grpc_status") for r in by_path["/portico.test.Talk/Collect"]}, {0})
        self.assertTrue(set(range(17)) <= {r.get("grpc_status") for r in by_path["/portico.test.Talk/Say"]})
        self.assertEqual({(r["status"], r.get("grpc_status"), r["reason"]) for r in by_path["/gone.Service/Method"]},
                         {(200, 14, "upstream_connect_failed")})
        metrics = self.proxy.metrics()
        self.assertGreater(metrics['portico_grpc_requests_total{route="talk",status_class="ok"}'], 100)
        self.assertEqual(metrics['portico_grpc_responses_total{grpc_status="ABORTED"}'], 2)

    def test_every_kind_of_call_over_tls(self):
        """On both sides."""
        authority = tls_files.Authority(self.fleet.path("certificates"))
        pair = authority.issue("localhost", "127.0.0.1")
        with open(authority.ca_path) as f:
            tls = TLS.format(certificate=tls_files.certificate_yaml("main", pair), ca=tls_files.indented(f.read()))
        server = self.start_server("secure-talk", pair.chain_path, pair.key_path)
        self.proxy = self.start_proxy("secure", server, tls, ", tls: {ca_bundles: [ca], server_name: localhost}", ("http", "https"))
        self.run_client(f"--ca={authority.ca_path}", "--authority=localhost", listener="https")

    def test_the_example_of_the_documentation(self):
        with open("docs/grpc.md") as f:
            example = re.search("```yaml\n(.*?)```", f.read(), re.DOTALL).group(1)
        example = (example.replace("0.0.0.0:8080", "127.0.0.1:0").replace("/acme.Users", "/portico.test.Talk")
                   .replace("127.0.0.1:50051", self.server.addresses()["grpc"]))
        self.proxy = self.fleet.proxy("example", config=self.fleet.write("example.yaml", example), workers=1)
        self.proxy.wait_ready()
        self.run_client("--gtest_filter=TalkTest.Unary:TalkTest.ErrorsKeepTheirDetails:TalkTest.ClientStreaming")
        # A browser's call of Say with an empty message.
        response = fetch(self.proxy.listener(), "POST", "/portico.test.Talk/Say",
                         [("Content-Type", "application/grpc-web+proto")], b"\0\0\0\0\0")
        self.assertEqual((response.status, response.header("content-type")), (200, "application/grpc-web"))
        self.assertEqual(response.body[:6], b"\0\0\0\0\0\x80")
        self.assertIn(b"grpc-status:0\r\n", response.body)

    def test_a_server_that_goes_away(self):
        """Calls on connections that end are not lost: they were not acted on."""
        self.run_client("--gtest_filter=TalkTest.Unary")
        self.server.kill()
        self.server.process.wait()
        self.server.start()  # On another port: the old one is refused.
        out = subprocess.run(
            [support.binary("tests/integration/grpc/talk_client_test"),
             "--target=%s:%d" % self.proxy.listener(), "--gtest_filter=TalkTest.Unary"],
            capture_output=True, text=True, timeout=60)
        self.assertNotEqual(out.returncode, 0)
        self.assertIn("upstream_connect_failed", out.stdout)


if __name__ == "__main__":
    unittest.main()
