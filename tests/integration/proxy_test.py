"""One proxy with a static configuration, real upstreams, real sockets."""

import hashlib
import json
import os
import socket
import struct
import subprocess
import unittest

from tests.support import fleet as support
from tests.support.http_client import Connection, fetch
from tests.support.tcp_server import TcpServer

CONFIG = """
kind: Listener
name: http
spec: {{address: "127.0.0.1:0", access_log: requests, limits: {{header_timeout: 1s, max_header_bytes: 8192}}}}
---
kind: Listener
name: behind
spec: {{address: "127.0.0.1:0", proxy_protocol: required, trusted_hops: [10.0.0.0/8]}}
---
kind: AccessLog
name: requests
spec: {{path: "{folder}/access.log", request_headers: [user-agent]}}
---
kind: Upstream
name: echo
spec: {{endpoints: [{{address: "{echo}"}}]}}
---
kind: Upstream
name: half-dead
spec: {{endpoints: [{{address: "{echo}"}}, {{address: "127.0.0.1:{dead}"}}], outlier_detection: {{disabled: true}}}}
---
kind: Upstream
name: dead
spec: {{endpoints: [{{address: "127.0.0.1:{dead}"}}], outlier_detection: {{disabled: true}}}}
---
kind: Upstream
name: narrow
spec: {{endpoints: [{{address: "{echo}"}}], circuit_breaker: {{max_requests: 1}}}}
---
kind: Consumer
name: acme
spec: {{api_keys: [{{sha256: "{key_hash}"}}], plan: small}}
---
kind: Plan
name: small
spec: {{rate_limits: [{{policy: per-consumer, rate: {{requests: 3, per: 60s}}}}]}}
---
kind: RateLimitPolicy
name: per-consumer
spec: {{rate: {{requests: 1000, per: 60s}}, key: [{{consumer: {{}}}}]}}
---
kind: HeaderTransform
name: stamp
spec:
  request: {{set: [{{name: x-client, value: "${{client.address}}"}}], remove: [x-drop]}}
  response: {{set: [{{name: x-gateway, value: "portico ${{route.name}}"}}]}}
---
kind: Route
name: echo
spec: {{match: {{path: {{prefix: /}}}}, upstreams: [{{name: echo}}], header_transforms: [stamp]}}
---
kind: Route
name: keyed
spec:
  match: {{path: {{prefix: /keyed}}}}
  upstreams: [{{name: echo}}]
  authentication: {{any_of: [{{api_key: {{}}}}]}}
  rate_limits: [per-consumer]
---
kind: Route
name: post-only
spec: {{match: {{path: {{exact: /payments}}, methods: [POST]}}, upstreams: [{{name: echo}}]}}
---
kind: Route
name: payments-reads
spec: {{match: {{path: {{exact: /payments}}}}, respond: {{status: 405, body: "POST only"}}}}
---
kind: Route
name: rewritten
spec: {{match: {{path: {{prefix: /api/v1}}}}, upstreams: [{{name: echo}}], rewrite: {{prefix: /internal, host: inner.test}}}}
---
kind: Route
name: healthz
spec: {{match: {{path: {{exact: /healthz}}}}, respond: {{status: 200, body: "fine"}}}}
---
kind: Route
name: dead
spec: {{match: {{path: {{prefix: /dead}}}}, upstreams: [{{name: dead}}]}}
---
kind: Route
name: half-dead
spec: {{match: {{path: {{prefix: /half-dead}}}}, upstreams: [{{name: half-dead}}]}}
---
kind: Route
name: slow
spec: {{match: {{path: {{prefix: /slow}}}}, upstreams: [{{name: echo}}], timeout: 0.3s}}
---
kind: Route
name: narrow
spec: {{match: {{path: {{prefix: /narrow}}}}, upstreams: [{{name: narrow}}]}}
---
kind: Route
name: small-bodies
spec: {{match: {{path: {{prefix: /small-bodies}}}}, upstreams: [{{name: echo}}], max_body_bytes: 1000}}
---
kind: Route
name: only-here
spec: {{match: {{hosts: [only.test], path: {{prefix: /only}}}}, respond: {{status: 200, body: "host"}}}}
"""

KEY = "demo-key-0123456789"


class CountingUpstream(TcpServer):
    """Accepts connections and counts the bytes that arrive."""

    def __init__(self):
        self.received = b""
        self.connections = 0
        super().__init__()

    def serve(self, connection):
        self.connections += 1
        while data := connection.recv(65536):
            self.received += data


class ProxyTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.fleet = support.Fleet()
        cls.addClassCleanup(cls.fleet.stop)
        echo = cls.fleet.echo("echo").addresses()["http"]
        cls.echo = echo
        config = cls.fleet.write("config.yaml", CONFIG.format(
            folder=cls.fleet.folder, echo=echo, dead=support.free_port(),
            key_hash=hashlib.sha256(KEY.encode()).hexdigest()))
        cls.proxy = cls.fleet.proxy("p1", config=config, listeners=("http", "behind"))
        cls.proxy.wait_ready()
        cls.address = cls.proxy.listener("http")

    def get(self, target, **options):
        return fetch(self.address, target=target, **options)

    def assert_reason(self, response, status, reason):
        self.assertEqual(response.status, status, response.body)
        body = json.loads(response.body)
        self.assertEqual(body["reason"], reason)
        self.assertTrue(body["error"])
        self.assertEqual(body["request_id"], response.header("x-request-id"))

    # Forwarding.

    def test_request_reaches_the_upstream_with_hop_headers(self):
        response = self.get("/users/42?q=1", headers=[("X-Forwarded-For", "6.6.6.6"), ("X-Drop", "1"),
                                                      ("Connection", "x-secret"), ("X-Secret", "1")])
        self.assertEqual(response.status, 200)
        seen = json.loads(response.body)
        self.assertEqual(seen["path"], "/users/42?q=1")
        self.assertEqual(seen["headers"]["x-forwarded-for"], "127.0.0.1")
        self.assertEqual(seen["headers"]["x-forwarded-proto"], "http")
        self.assertEqual(seen["headers"]["x-client"], "127.0.0.1")
        self.assertEqual(seen["headers"]["x-request-id"], response.header("x-request-id"))
        self.assertRegex(seen["headers"]["traceparent"], "^00-[0-9a-f]{32}-[0-9a-f]{16}-01$")
        self.assertNotIn("x-drop", seen["headers"])
        self.assertNotIn("x-secret", seen["headers"])
        self.assertEqual(response.header("x-gateway"), "portico echo")

    def test_path_is_canonical_for_matching_and_upstream(self):
        response = self.get("/a/../api/v1/./%75sers")
        seen = json.loads(response.body)
        self.assertEqual(seen["path"], "/internal/users")
        self.assertEqual(seen["headers"]["host"], "inner.test")

    def test_method_decides_between_routes(self):
        self.assertEqual(fetch(self.address, "POST", "/payments", body=b"{}").status, 200)
        refused = self.get("/payments")
        self.assertEqual((refused.status, refused.body), (405, b"POST only"))

    def test_host_decides_between_routes(self):
        self.assertEqual(self.get("/only", host="Only.Test:8080").body, b"host")
        self.assertEqual(json.loads(self.get("/only").body)["path"], "/only")

    def test_direct_response_and_head(self):
        self.assertEqual(self.get("/healthz").body, b"fine")
        head = fetch(self.address, "HEAD", "/healthz")
        self.assertEqual((head.status, head.body, head.header("content-length")), (200, b"", "4"))

    def test_bodies_both_ways(self):
        for size in (1, 1000, 65536, 3_000_000):
            body = os.urandom(size)
            response = fetch(self.address, "PUT", "/upload", body=body)
            self.assertEqual(json.loads(response.body)["body_bytes"], size)
            for mode in ("", "&chunked=1"):
                response = self.get(f"/download?bytes={size}{mode}")
                self.assertEqual(len(response.body), size)

    def test_chunked_upload_with_expect_continue(self):
        with Connection(self.address) as connection:
            connection.send(b"POST /up HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n")
            self.assertTrue(connection._until(b"\r\n\r\n").startswith(b"HTTP/1.1 100"))
            connection.send(b"5\r\nhello\r\n6;ext=1\r\n world\r\n0\r\nX-Trailer: 1\r\n\r\n")
            seen = json.loads(connection.read_response().body)
            self.assertEqual((seen["body"], seen["body_bytes"]), ("hello world", 11))
            self.assertNotIn("expect", seen["headers"])

    def test_pipelined_requests_are_answered_in_order(self):
        with Connection(self.address) as connection:
            connection.send(b"".join(b"GET /n/%d HTTP/1.1\r\nHost: t\r\n\r\n" % i for i in range(50)))
            for i in range(50):
                self.assertEqual(json.loads(connection.read_response().body)["path"], f"/n/{i}")

    # Failures of upstreams.

    def test_failures_of_upstreams_are_named(self):
        self.assert_reason(self.get("/dead/x"), 503, "upstream_connect_failed")
        self.assert_reason(self.get("/slow?delay_ms=5000"), 504, "upstream_timeout")
        self.assert_reason(self.get("/x?reset=1"), 502, "upstream_reset")

    def test_a_body_that_does_not_come_is_no_fault_of_the_upstream(self):
        with Connection(self.address) as connection:
            connection.send(b"POST /slow HTTP/1.1\r\nHost: t\r\nContent-Length: 10\r\n\r\nabc")
            self.assert_reason(connection.read_response(), 408, "body_timeout")
        # All of it came: now it is the upstream that is waited for.
        self.assert_reason(fetch(self.address, "POST", "/slow?delay_ms=5000", body=b"abc"), 504, "upstream_timeout")

    def test_a_dead_endpoint_is_tried_around(self):
        for _ in range(20):
            self.assertEqual(self.get("/half-dead").status, 200)
        for _ in range(20):  # Also for requests with a body: nothing was sent yet.
            self.assertEqual(fetch(self.address, "POST", "/half-dead", body=b"x" * 5000).status, 200)

    def test_circuit_breaker(self):
        with Connection(self.address) as slow:
            slow.send(b"GET /narrow?delay_ms=1500 HTTP/1.1\r\nHost: t\r\n\r\n")
            support.wait_until(lambda: self.proxy.metrics()["portico_requests_active"] == 1, "the slow request")
            refused = self.get("/narrow")
            self.assert_reason(refused, 503, "upstream_overloaded")
            self.assertEqual(slow.read_response().status, 200)

    # Policies.

    def test_api_key_and_plan(self):
        self.assert_reason(self.get("/keyed"), 401, "credentials_missing")
        self.assert_reason(self.get("/keyed", headers=[("X-Api-Key", "wrong")]), 401, "api_key_unknown")
        statuses = []
        for _ in range(5):
            response = self.get("/keyed", headers=[("X-Api-Key", KEY)])
            statuses.append(response.status)
        self.assertEqual(statuses, [200, 200, 200, 429, 429])
        self.assert_reason(response, 429, "rate_limited")
        self.assertGreaterEqual(int(response.header("retry-after")), 1)
        self.assertIn('"per-consumer"', response.header("ratelimit"))
        self.assertIn("q=3", response.header("ratelimit-policy"))

    # Bad clients.

    def test_body_limits(self):
        self.assert_reason(fetch(self.address, "POST", "/small-bodies", body=b"x" * 1001), 413, "body_too_large")
        with Connection(self.address) as connection:
            connection.send(b"POST /small-bodies HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n"
                            b"3e9\r\n" + b"x" * 1001 + b"\r\n0\r\n\r\n")
            self.assert_reason(connection.read_response(), 413, "body_too_large")

    def test_header_limits_and_timeout(self):
        self.assert_reason(self.get("/", headers=[("X-Big", "x" * 9000)]), 431, "headers_too_large")
        with Connection(self.address) as connection:
            connection.send(b"GET / HTTP/1.1\r\nHost: t\r\n")
            response = connection.read_response()
            self.assertEqual(response.status, 408)

    def test_malformed_requests_get_400_and_reach_no_upstream(self):
        upstream = CountingUpstream()
        self.addCleanup(upstream.close)
        config = self.fleet.write("strict.yaml", f"""
kind: Listener
name: http
spec: {{address: "127.0.0.1:0"}}
---
kind: Upstream
name: up
spec: {{endpoints: [{{address: "{upstream.address}"}}]}}
---
kind: Route
name: all
spec: {{match: {{path: {{prefix: /}}}}, upstreams: [{{name: up}}]}}
""")
        proxy = self.fleet.proxy("strict", config=config)
        proxy.wait_ready()
        bad = [
            b"GET / HTTP/1.1\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
            b"GET /\r\nHost: a\r\n\r\n",
            b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
            b"GET / HTTP/1.1\nHost: a\n\n",
            b"GET / HTTP/2.0\r\nHost: a\r\n\r\n",
            b"G@T / HTTP/1.1\r\nHost: a\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost : a\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: a\r\nX: 1\r\n folded\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: a\r\nX: a\x00b\r\n\r\n",
            b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
            b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +3\r\n\r\nabc",
            b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n",
            b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
            b"POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            b"GET /%zz HTTP/1.1\r\nHost: a\r\n\r\n",
            b"GET /%00 HTTP/1.1\r\nHost: a\r\n\r\n",
            b"GET http://user@a/ HTTP/1.1\r\nHost: a\r\n\r\n",
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
            b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        ]
        for data in bad:
            with self.subTest(request=data[:60]):
                with Connection(proxy.listener()) as connection:
                    connection.send(data)
                    connection.socket.shutdown(socket.SHUT_WR)
                    answer = connection.read_to_end()
                    self.assertRegex(answer.decode("latin-1"), r"^HTTP/1\.1 (400|431|501|505) ")
                    self.assertIn(b'"reason"', answer)
        self.assertEqual((upstream.connections, upstream.received), (0, b""))

    def test_client_that_leaves_mid_body_harms_nobody(self):
        for _ in range(30):
            connection = Connection(self.address)
            connection.send(b"POST /x HTTP/1.1\r\nHost: t\r\nContent-Length: 100000\r\n\r\nabc")
            connection.close()
            connection = Connection(self.address)
            connection.send(b"GET /x?bytes=100000000 HTTP/1.1\r\nHost: t\r\n\r\n")
            connection.socket.recv(1000)
            connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            connection.close()
        self.assertEqual(self.get("/after").status, 200)

    # PROXY protocol.

    def test_proxy_protocol_gives_the_client_address(self):
        v1 = b"PROXY TCP4 203.0.113.9 127.0.0.1 5555 80\r\n"
        v2 = (b"\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c" + socket.inet_aton("203.0.113.9") +
              socket.inet_aton("127.0.0.1") + struct.pack(">HH", 5555, 80))
        behind = self.proxy.listener("behind")
        for header in (v1, v2):
            seen = json.loads(fetch(behind, proxy_header=header).body)
            self.assertEqual(seen["headers"]["x-forwarded-for"], "203.0.113.9")
            self.assertEqual(seen["headers"]["x-client"], "203.0.113.9")
        with Connection(behind) as connection:
            connection.send(b"GET / HTTP/1.1\r\nHost: t\r\n\r\n")
            self.assertEqual(connection.read_to_end(), b"")

    def test_trusted_hop_passes_its_claims_on(self):
        header = b"PROXY TCP4 10.1.1.1 127.0.0.1 5555 80\r\n"
        seen = json.loads(fetch(self.proxy.listener("behind"), proxy_header=header, headers=[
            ("X-Forwarded-For", "198.51.100.3"), ("X-Request-Id", "from-the-edge")]).body)
        self.assertEqual(seen["headers"]["x-forwarded-for"], "198.51.100.3, 10.1.1.1")
        self.assertEqual(seen["headers"]["x-client"], "198.51.100.3")
        self.assertEqual(seen["headers"]["x-request-id"], "from-the-edge")

    # Seeing what it does.

    def test_access_log_tells_the_story(self):
        response = self.get("/logged?secret=1", headers=[("User-Agent", "story")])
        request_id = response.header("x-request-id")

        def line():
            return next((record for record in self.fleet.access_log() if record["request_id"] == request_id), None)
        entry = support.wait_until(line, "the log line")
        self.assertEqual((entry["status"], entry["route"], entry["upstream"]), (200, "echo", "echo"))
        self.assertEqual((entry["method"], entry["path"]), ("GET", "/logged"))
        self.assertEqual(entry["endpoint"], self.echo)
        self.assertNotIn("secret", json.dumps(entry))

    def counted(self, series):
        """The value of one series of /metrics; 0 before it appears."""
        for line in self.proxy.admin("/metrics")[1].splitlines():
            if line.startswith(series + " "):
                return float(line.rsplit(" ", 1)[1])
        return 0.0

    def test_metrics_count_requests_and_reasons(self):
        for series, target in (('portico_requests_total{route="healthz",code_class="2xx"}', "/healthz"),
                               ('portico_local_replies_total{reason="upstream_connect_failed"}', "/dead/counted")):
            before = self.counted(series)
            for _ in range(3):
                self.get(target)
            # A response is counted right after it was sent.
            support.wait_until(lambda: self.counted(series) == before + 3, f"3 more of {series}")

    def test_promtool_is_content_with_the_metrics(self):
        status, text = self.proxy.admin("/metrics")
        self.assertEqual(status, 200)
        done = subprocess.run(["promtool", "check", "metrics"], input=text, text=True, capture_output=True)
        self.assertEqual((done.returncode, done.stdout + done.stderr), (0, ""))

    def test_config_dump_has_no_secrets(self):
        status, text = self.proxy.admin("/config")
        self.assertEqual(status, 200)
        self.assertIn("half-dead", text)
        self.assertNotIn(KEY, text)


if __name__ == "__main__":
    unittest.main()
