"""What HTTP/1 clients may send and what of it goes on: one case for each rule, through the real proxy."""

import socket
import unittest

from tests.support import fleet as support
from tests.support.http_client import Connection
from tests.support.tcp_server import TcpServer, read_head

CONFIG = """
kind: Listener
name: http
spec: {{address: "127.0.0.1:0"}}
---
kind: Listener
name: trusting
spec: {{address: "127.0.0.1:0", trusted_hops: ["127.0.0.0/8"]}}
---
kind: Upstream
name: one
spec: {{endpoints: [{{address: "{endpoint}"}}], outlier_detection: {{disabled: true}}}}
---
kind: Route
name: all
spec: {{match: {{path: {{prefix: /}}}}, upstreams: [{{name: one}}], timeout: 5s}}
"""


class Upstream(TcpServer):
    """Remembers heads and bodies; answers as the path says."""

    def __init__(self):
        self.requests = []
        super().__init__()

    def serve(self, connection):
        buffer = b""
        while True:
            head, buffer = read_head(connection, buffer)
            if head is None:
                return
            line, *lines = head.decode("latin-1").split("\r\n")
            fields = {name.lower(): value for name, value in (field.split(": ", 1) for field in lines)}
            body = b""
            if "content-length" in fields:
                while len(buffer) < int(fields["content-length"]):
                    buffer += connection.recv(65536)
                body, buffer = buffer[:int(fields["content-length"])], buffer[int(fields["content-length"]):]
            elif "transfer-encoding" in fields:
                while not buffer.endswith(b"0\r\n\r\n"):
                    buffer += connection.recv(65536)
                body, buffer = buffer, b""
            self.requests.append((line, fields, body))
            connection.sendall(self.answer(*line.split(" ")[:2]))

    @staticmethod
    def answer(method, path):
        head = b"HTTP/1.1 200 OK\r\n"
        if path == "/chunked":
            return head + b"Transfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n2;x=y\r\nok\r\n0\r\nX-Sum: 1\r\n\r\n"
        if path == "/hop":
            head += b"Connection: keep-alive, X-Private\r\nX-Private: 1\r\nKeep-Alive: timeout=5\r\nProxy-Authenticate: Basic\r\nUpgrade: h2c\r\n"
        if path == "/early":
            head = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + head
        if path == "/nothing":
            return b"HTTP/1.1 204 No Content\r\n\r\n"
        return head + b"Content-Length: 2\r\n\r\n" + (b"" if method == "HEAD" else b"ok")


class HygieneTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.fleet = support.Fleet()
        cls.addClassCleanup(cls.fleet.stop)
        cls.upstream = Upstream()
        config = cls.fleet.write("config.yaml", CONFIG.format(endpoint=cls.upstream.address))
        cls.proxy = cls.fleet.proxy("p1", config=config, workers=1, listeners=("http", "trusting"))
        cls.proxy.wait_ready()

    def ask(self, raw, listener="http"):
        """Everything that comes back until the client's end is answered by the proxy's."""
        with Connection(self.proxy.listener(listener)) as connection:
            connection.send(raw)
            connection.socket.shutdown(socket.SHUT_WR)
            return connection.read_to_end().decode("latin-1")

    def sees(self, *fields, listener="http", method="GET", target="/", body=b""):
        """What the upstream gets of a request."""
        lines = [f"{method} {target} HTTP/1.1", "Host: test", *fields, "", ""]
        answer = self.ask("\r\n".join(lines).encode("latin-1") + body, listener)
        self.assertTrue(answer.startswith("HTTP/1.1 2"), answer)
        return self.upstream.requests[-1]

    def test_http_10(self):
        close = self.ask(b"GET / HTTP/1.0\r\nHost: test\r\n\r\n")
        self.assertIn("\r\nConnection: close\r\n", close)
        twice = self.ask(b"GET / HTTP/1.0\r\nHost: test\r\nConnection: keep-alive\r\n\r\n" * 2)
        self.assertEqual(twice.count("\r\nConnection: keep-alive\r\n"), 2, twice)
        # It knows no chunks: the body ends with the connection.
        chunks = self.ask(b"GET /chunked HTTP/1.0\r\nHost: test\r\nConnection: keep-alive\r\n\r\n")
        self.assertTrue(chunks.endswith("\r\nConnection: close\r\n\r\nok"), chunks)
        self.assertNotIn("ransfer-", chunks)
        self.assertEqual(self.upstream.requests[-1][0], "GET /chunked HTTP/1.1")

    def test_continue(self):
        with Connection(self.proxy.listener()) as connection:
            connection.send(b"POST / HTTP/1.1\r\nHost: test\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n")
            self.assertEqual(connection._until(b"\r\n\r\n"), b"HTTP/1.1 100 Continue")
            connection.send(b"hello")
            self.assertEqual(connection.read_response().status, 200)
        _, fields, body = self.upstream.requests[-1]
        self.assertEqual((fields.get("expect"), body), (None, b"hello"))
        # Who does not wait gets none.
        self.assertNotIn("100 Continue", self.ask(b"POST / HTTP/1.1\r\nHost: test\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nhello"))

    def test_head_and_no_content(self):
        head = self.ask(b"HEAD / HTTP/1.1\r\nHost: test\r\n\r\nGET / HTTP/1.1\r\nHost: test\r\n\r\n")
        self.assertEqual(head.count("HTTP/1.1 200 OK"), 2)
        self.assertEqual(head.count("\r\nContent-Length: 2\r\n"), 2)
        self.assertTrue(head.endswith("\r\n\r\nok"), head)
        nothing = self.ask(b"GET /nothing HTTP/1.1\r\nHost: test\r\n\r\n")
        self.assertNotIn("ontent-", nothing.replace("No Content", ""))

    def test_informational_responses_end_here(self):
        answer = self.ask(b"GET /early HTTP/1.1\r\nHost: test\r\n\r\n")
        self.assertTrue(answer.startswith("HTTP/1.1 200 OK\r\n"), answer)
        self.assertNotIn("Link", answer)

    def test_chunk_extensions_end_here(self):
        _, fields, body = self.sees("Transfer-Encoding: chunked", method="POST", body=b'5;a="b"\r\nhello\r\n0\r\n\r\n')
        self.assertEqual((fields["transfer-encoding"], body), ("chunked", b"5\r\nhello\r\n0\r\n\r\n"))
        answer = self.ask(b"GET /chunked HTTP/1.1\r\nHost: test\r\n\r\n")
        self.assertIn("\r\n\r\n2\r\nok\r\n0\r\n", answer)

    def test_hop_by_hop_fields_end_here(self):
        _, fields, _ = self.sees(
            "Connection: close, X-Private, x-request-id, X-Forwarded-For, x-forwarded-proto, traceparent, Host, Authorization",
            "X-Private: 1", "Authorization: kept", "Keep-Alive: timeout=5", "Proxy-Authorization: x", "Proxy-Connection: close",
            "TE: gzip", "Trailer: X", "Upgrade: h2c", "X-Public: 1")
        for name in ("connection", "x-private", "keep-alive", "proxy-authorization", "proxy-connection", "te", "trailer", "upgrade"):
            self.assertNotIn(name, fields)
        for name in ("x-request-id", "x-forwarded-for", "x-forwarded-proto", "traceparent", "host", "authorization", "x-public"):
            self.assertIn(name, fields)
        answer = self.ask(b"GET /hop HTTP/1.1\r\nHost: test\r\n\r\n")
        for name in ("X-Private", "Keep-Alive", "Proxy-Authenticate", "Upgrade"):
            self.assertNotIn(name, answer)

    def test_what_is_said_of_hops_before(self):
        said = ("X-Forwarded-For: 10.9.9.9", "X-Forwarded-Proto: https", "X-Forwarded-Host: other", "Forwarded: for=10.9.9.9", "X-Request-Id: mine")
        _, fields, _ = self.sees(*said)
        self.assertEqual((fields["x-forwarded-for"], fields["x-forwarded-proto"]), ("127.0.0.1", "http"))
        self.assertNotIn("x-forwarded-host", fields)
        self.assertNotIn("forwarded", fields)
        self.assertNotEqual(fields["x-request-id"], "mine")
        _, fields, _ = self.sees(*said, listener="trusting")
        self.assertEqual((fields["x-forwarded-for"], fields["x-forwarded-proto"], fields["x-forwarded-host"], fields["forwarded"],
                          fields["x-request-id"]), ("10.9.9.9, 127.0.0.1", "https", "other", "for=10.9.9.9", "mine"))

    def test_one_path(self):
        for target, seen in (("/a/../b", "/b"), ("/a/%2e%2E/b", "/b"), ("/%61", "/a"), ("//a", "//a"), ("/a%2fb", "/a%2Fb"), ("/a%5cb", "/a%5Cb"),
                             ("/%252e%252e/", "/%252e%252e/"), ("/\xe4", "/%E4"), ("http://test/a?b=/../c", "/a?b=/../c"), ("http://test", "/")):
            self.assertEqual(self.sees(target=target)[0], f"GET {seen} HTTP/1.1", target)
        for target in ("/a\\b", "/%00", "/%2", "/%zz", "/a#b", "http://user@test/", "http://user:pass@test/", "ftp://test/", "test"):
            answer = self.ask(f"GET {target} HTTP/1.1\r\nHost: test\r\n\r\n".encode("latin-1"))
            self.assertTrue(answer.startswith("HTTP/1.1 400 "), (target, answer))
        self.assertEqual(self.sees(target="http://Absolute:81/x")[1]["host"], "absolute:81")


if __name__ == "__main__":
    unittest.main()
