"""gRPC through HTTP/1.1, where only what HTTP/1.1 can carry is needed: grpc-web over HTTP/1.1 and an upstream that
sends its trailers behind a chunked body; local replies, deadlines, the access log and the counters."""

import base64
import re
import struct
import threading
import unittest

from tests.support import fleet as support
from tests.support.http_client import Connection
from tests.support.tcp_server import TcpServer, read_head

CONFIG = support.LOGGED_LISTENER + """
kind: Upstream
name: services
spec: {{endpoints: [{{address: "{endpoint}"}}], outlier_detection: {{disabled: true}}}}
---
kind: Upstream
name: failing
spec: {{endpoints: [{{address: "{endpoint}"}}, {{address: "{other}"}}], outlier_detection: {{consecutive_failures: 2, max_ejection_percent: 50}}}}
---
kind: Upstream
name: gone
spec: {{endpoints: [{{address: "127.0.0.1:1"}}]}}
---
kind: Route
name: web
spec: {{match: {{path: {{prefix: /web}}}}, upstreams: [{{name: services}}], grpc_web: true, timeout: 5s}}
---
kind: Route
name: plain
spec: {{match: {{path: {{prefix: /plain}}}}, upstreams: [{{name: services}}], timeout: 5s}}
---
kind: Route
name: failing
spec: {{match: {{path: {{prefix: /failing}}}}, upstreams: [{{name: failing}}], timeout: 5s}}
---
kind: Route
name: gone
spec: {{match: {{path: {{prefix: /gone}}}}, upstreams: [{{name: gone}}]}}
---
kind: Route
name: short
spec: {{match: {{path: {{prefix: /short}}}}, upstreams: [{{name: services}}], timeout: 300ms, grpc_web: true}}
"""


def frame(payload, flag=0):
    return struct.pack(">BI", flag, len(payload)) + payload


def frames(body):
    """[(flag, payload)] of a whole body."""
    found = []
    while body:
        flag, size = struct.unpack(">BI", body[:5])
        assert len(body) >= 5 + size, body
        found.append((flag, body[5:5 + size]))
        body = body[5 + size:]
    return found


def decode_text(body):
    """base64, with padding wherever a piece ended."""
    return b"".join(base64.b64decode(body[i:i + 4], validate=True) for i in range(0, len(body), 4))


def chunk(data):
    return b"%x\r\n%s\r\n" % (len(data), data) if data else b""


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/grpc+proto\r\nTransfer-Encoding: chunked\r\n\r\n"
OK = b"0\r\ngrpc-status: 0\r\ngrpc-message: \r\nX-Sum: abc\r\nContent-Length: 9\r\n\r\n"


class Upstream(TcpServer):
    """gRPC in HTTP/1.1's clothes; does what the end of the path says."""

    def __init__(self):
        self.requests, self.go_on = [], threading.Event()
        super().__init__()

    def body(self, connection, head, rest):
        length = re.search(rb"content-length: (\d+)", head.lower())
        if length is not None:
            while len(rest) < int(length.group(1)):
                rest += connection.recv(65536)
            return rest
        out = b""
        while True:
            while b"\r\n" not in rest:
                rest += connection.recv(65536)
            size, rest = rest.split(b"\r\n", 1)
            size = int(size, 16)
            while len(rest) < size + 2:
                rest += connection.recv(65536)
            if size == 0:
                return out
            out, rest = out + rest[:size], rest[size + 2:]

    def serve(self, connection):
        connection.settimeout(20)
        while True:
            head, rest = read_head(connection)
            if head is None:
                return
            body = self.body(connection, head, rest)
            self.requests.append((head.decode("latin-1"), body))
            if self.answer(connection, head.split(b" ")[1].split(b"/")[-1].decode(), body) is False:
                return

    def answer(self, connection, what, body):
        if what == "echo":
            connection.sendall(HEAD + chunk(body) + OK)
        elif what == "two":
            connection.sendall(HEAD + chunk(frame(b"one")))
            self.go_on.wait(10)
            connection.sendall(chunk(frame(b"two")) + OK)
        elif what == "only":  # Trailers only.
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/grpc\r\ngrpc-status: 5\r\n"
                               b"grpc-message: no such thing\r\nX-Meta: m\r\nContent-Length: 0\r\n\r\n")
        elif what == "html":
            connection.sendall(b"HTTP/1.1 502 Bad Gateway\r\nContent-Type: text/html\r\nContent-Length: 5\r\n\r\n<oops")
        elif what == "silent":  # No trailers.
            connection.sendall(HEAD + chunk(frame(b"x")) + b"0\r\n\r\n")
        elif what == "break":
            connection.sendall(HEAD + chunk(frame(b"x")))
            return False
        elif what == "stall":
            connection.sendall(HEAD + chunk(frame(b"x")))
            connection.recv(1)
            return False
        elif what == "hang":
            connection.recv(1)
            return False
        elif what == "unavailable":
            connection.sendall(HEAD + b"0\r\ngrpc-status: 14\r\n\r\n")
        return True


class GrpcWebTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.fleet = support.Fleet()
        cls.addClassCleanup(cls.fleet.stop)
        cls.upstream, cls.other = Upstream(), Upstream()
        config = cls.fleet.write("config.yaml", CONFIG.format(
            folder=cls.fleet.folder, endpoint=cls.upstream.address, other=cls.other.address))
        cls.proxy = cls.fleet.proxy("p1", config=config, workers=1)
        cls.proxy.wait_ready()

    def setUp(self):
        self.upstream.requests.clear()

    def call(self, path, body=b"", content_type="application/grpc-web+proto", **headers):
        """Status, fields (lower case), body."""
        connection = Connection(self.proxy.listener())
        self.addCleanup(connection.close)
        fields = [("Content-Type", content_type), ("Content-Length", str(len(body)))]
        fields += [(name.replace("_", "-"), value) for name, value in headers.items()]
        lines = [f"POST {path} HTTP/1.1", "Host: h", *(f"{name}: {value}" for name, value in fields), "", ""]
        connection.send("\r\n".join(lines).encode() + body)
        response = connection.read_response()
        return response.status, dict(response.headers), response.body

    def last_line(self, path):
        def found():
            lines = [r for r in self.fleet.access_log() if r["path"] == path]
            return lines[-1] if lines else None
        return support.wait_until(found, "the line in the access log")

    def test_binary(self):
        status, fields, body = self.call("/web/echo", frame(b"hello"), x_grpc_web="1")
        self.assertEqual(status, 200)
        self.assertEqual(fields["content-type"], "application/grpc-web+proto")
        self.assertEqual(frames(body), [(0, b"hello"), (0x80, b"grpc-status:0\r\ngrpc-message:\r\nx-sum:abc\r\n")])
        head, sent = self.upstream.requests[-1]
        self.assertEqual(sent, frame(b"hello"))
        self.assertIn("content-type: application/grpc+proto", head.lower())
        self.assertIn("transfer-encoding: chunked", head.lower())
        self.assertNotIn("content-length", head.lower())
        self.assertEqual(self.last_line("/web/echo")["grpc_status"], 0)

    def test_text(self):
        message = frame(b"hello")
        # In two pieces, padding in the middle, as a client flushes.
        text = base64.b64encode(message[:4]) + base64.b64encode(message[4:])
        status, fields, body = self.call("/web/echo", text, "application/grpc-web-text")
        self.assertEqual(status, 200)
        self.assertEqual(fields["content-type"], "application/grpc-web-text+proto")
        self.assertEqual(frames(decode_text(body))[0], (0, b"hello"))
        self.assertEqual(frames(decode_text(body))[1][0], 0x80)
        self.assertEqual(self.upstream.requests[-1][1], message)

    def test_text_that_is_none(self):
        for text in (b"%%%%", b"AAAA="):
            status, fields, body = self.call("/web/echo", text, "application/grpc-web-text")
            self.assertEqual(status, 200)
            (flag, trailers), = frames(decode_text(body))
            self.assertEqual(flag, 0x80)
            self.assertIn(b"grpc-status:13\r\ngrpc-message:invalid_body: ", trailers)

    def test_messages_pass_when_they_come(self):
        self.upstream.go_on.clear()
        connection = Connection(self.proxy.listener())
        self.addCleanup(connection.close)
        connection.send(b"POST /web/two HTTP/1.1\r\nHost: h\r\nContent-Type: application/grpc-web-text\r\n"
                        b"Content-Length: 0\r\n\r\n")
        connection._until(b"\r\n\r\n")
        self.assertEqual(connection._until(b"\r\n"), b"c")
        self.assertEqual(connection._until(b"\r\n"), base64.b64encode(frame(b"one")))
        self.upstream.go_on.set()
        connection._until(b"0\r\n\r\n")

    def test_trailers_only(self):
        status, fields, body = self.call("/web/only")
        self.assertEqual((status, fields["x-meta"]), (200, "m"))
        self.assertNotIn("grpc-status", fields)
        self.assertEqual(frames(body), [(0x80, b"grpc-status:5\r\ngrpc-message:no such thing\r\n")])
        self.assertEqual(self.last_line("/web/only")["grpc_status"], 5)

    def test_what_is_no_grpc_passes(self):
        status, fields, body = self.call("/web/html")
        self.assertEqual((status, fields["content-type"], body), (502, "text/html", b"<oops"))

    def test_an_upstream_that_says_no_status(self):
        _, _, body = self.call("/web/silent")
        self.assertEqual(frames(body)[0], (0, b"x"))
        self.assertTrue(frames(body)[1][1].startswith(b"grpc-status:2\r\n"))

    def test_an_upstream_that_breaks_off(self):
        _, _, body = self.call("/web/break")
        self.assertEqual(frames(body)[0], (0, b"x"))
        self.assertTrue(frames(body)[1][1].startswith(b"grpc-status:14\r\ngrpc-message:upstream_reset: "), body)
        self.assertEqual(self.last_line("/web/break")["grpc_status"], 14)

    def test_a_deadline_in_the_middle(self):
        _, _, body = self.call("/short/stall")
        self.assertTrue(frames(body)[1][1].startswith(b"grpc-status:4\r\ngrpc-message:upstream_timeout: "), body)

    def test_local_replies(self):
        for content_type, decode in (("application/grpc-web", bytes), ("application/grpc-web-text", decode_text)):
            status, fields, body = self.call("/nowhere", frame(b"x"), content_type)
            self.assertEqual((status, fields["content-type"]), (200, content_type + "+proto"))
            (flag, trailers), = frames(decode(body))
            self.assertEqual(flag, 0x80)
            self.assertTrue(trailers.startswith(b"grpc-status:12\r\ngrpc-message:no_route: "))
        status, fields, body = self.call("/nowhere", b"", "application/grpc")
        self.assertEqual((status, fields["grpc-status"], body), (200, "12", b""))
        status, fields, body = self.call("/gone", b"", "application/grpc")
        self.assertEqual((status, fields["grpc-status"]), (200, "14"))
        self.assertTrue(fields["grpc-message"].startswith("upstream_connect_failed: "))
        line = self.last_line("/gone")
        self.assertEqual((line["status"], line["grpc_status"], line["reason"]), (200, 14, "upstream_connect_failed"))

    def test_grpc_timeout(self):
        status, fields, _ = self.call("/plain/hang", b"", "application/grpc", grpc_timeout="200m")
        self.assertEqual((status, fields["grpc-status"]), (200, "4"))
        self.assertTrue(fields["grpc-message"].startswith("grpc_timeout: "))
        self.assertIn("grpc-timeout: 200m", self.upstream.requests[-1][0].lower())
        # The route's is smaller.
        status, fields, _ = self.call("/short/hang", b"", "application/grpc", grpc_timeout="1H")
        self.assertTrue(fields["grpc-message"].startswith("upstream_timeout: "))
        # For what is no gRPC it means nothing.
        status, _, _ = self.call("/plain/only", b"", "text/plain", grpc_timeout="nonsense")
        self.assertEqual(status, 200)

    def test_a_timeout_that_is_none(self):
        for bad in ("", "5", "1s", "123456789S"):
            status, fields, _ = self.call("/plain/only", b"", "application/grpc", grpc_timeout=bad)
            self.assertEqual((status, fields["grpc-status"]), (200, "13"), bad)
            self.assertTrue(fields["grpc-message"].startswith("invalid_grpc_timeout: "))

    def test_without_the_bridge_it_passes_unchanged(self):
        status, fields, body = self.call("/plain/echo", frame(b"x"))
        self.assertEqual((status, fields["content-type"], body), (200, "application/grpc+proto", frame(b"x")))
        self.assertIn("content-type: application/grpc-web+proto", self.upstream.requests[-1][0].lower())

    def test_trailers_for_who_takes_them(self):
        connection = Connection(self.proxy.listener())
        self.addCleanup(connection.close)
        connection.send(b"POST /plain/echo HTTP/1.1\r\nHost: h\r\nTE: trailers\r\nConnection: TE\r\n"
                        b"Content-Type: application/grpc\r\nContent-Length: 0\r\n\r\n")
        head = connection._until(b"\r\n\r\n")
        self.assertIn(b"transfer-encoding: chunked", head.lower())
        self.assertEqual(connection._until(b"\r\n\r\n"),
                         b"0\r\ngrpc-status: 0\r\ngrpc-message: \r\nX-Sum: abc")

    def test_unavailable_counts_against_an_endpoint(self):
        before = self.proxy.metrics().get("portico_outlier_ejections_total", 0)
        for _ in range(8):
            # The bridge takes trailers; without somebody who does they are not read.
            connection = Connection(self.proxy.listener())
            connection.send(b"POST /failing/unavailable HTTP/1.1\r\nHost: h\r\nTE: trailers\r\n"
                            b"Content-Type: application/grpc\r\nContent-Length: 0\r\n\r\n")
            self.assertIn(b"grpc-status: 14", connection._until(b"\r\n\r\n") + connection._until(b"\r\n\r\n"))
            connection.close()
        self.assertEqual(self.proxy.metrics()["portico_outlier_ejections_total"], before + 1)

    def test_counters(self):
        def count(series):
            return self.proxy.metrics().get(series, 0)
        names = ['portico_grpc_requests_total{route="web",status_class="ok"}',
                 'portico_grpc_requests_total{route="web",status_class="client_error"}',
                 'portico_grpc_requests_total{route="_none",status_class="server_error"}',
                 'portico_grpc_responses_total{grpc_status="NOT_FOUND"}']
        before = [count(n) for n in names]
        self.call("/web/echo", frame(b"x"))
        self.call("/web/only")
        self.call("/nowhere")
        support.wait_until(lambda: [count(n) for n in names] == [n + 1 for n in before], "the counters")


if __name__ == "__main__":
    unittest.main()
