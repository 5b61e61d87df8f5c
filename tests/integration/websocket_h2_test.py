"""WebSockets of HTTP/2 clients (RFC 8441) through the real proxy to an HTTP/1.1 server: the handshake that the proxy
makes of theirs, and what must not be taken for a tunnel."""

import base64
import hashlib
import socket
import struct
import unittest

from tests.conformance import h2_raw as h2
from tests.support import fleet as support
from tests.support.tcp_server import TcpServer, read_head

CONFIG = support.LOGGED_LISTENER + """
kind: Upstream
name: sockets
spec: {{endpoints: [{{address: "{endpoint}"}}], outlier_detection: {{disabled: true}}}}
---
kind: Route
name: all
spec: {{match: {{path: {{prefix: /}}, methods: [GET]}}, upstreams: [{{name: sockets}}]}}
---
kind: Route
name: own
spec: {{match: {{path: {{exact: /own}}}}, respond: {{status: 200, body: "own"}}}}
---
kind: Route
name: gone
spec: {{match: {{path: {{exact: /gone}}}}, respond: {{status: 410, body: "gone"}}}}
"""

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
STATUS_200 = 0x88


class Upstream(TcpServer):
    def __init__(self):
        self.heads = []
        super().__init__()

    def serve(self, connection):
        connection.settimeout(20)
        head, rest = read_head(connection)
        if head is None:
            return
        self.heads.append(head.decode("latin-1"))
        fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
        key = next(line.split(b": ", 1)[1] for line in head.split(b"\r\n") if line.lower().startswith(b"sec-websocket-key"))
        self.fields = fields
        accept = base64.b64encode(hashlib.sha1(key + GUID).digest())
        path = head.split(b" ")[1]
        if path == b"/liar":
            accept = base64.b64encode(bytes(20))
        if path == b"/plain":
            return connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nno")
        if path == b"/refuse":
            return connection.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno")
        answer = b"Sec-WebSocket-Accept: %s\r\n" % accept if path != b"/mute" else b""
        connection.sendall(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                           b"Sec-WebSocket-Protocol: chat\r\n" + answer + b"\r\n")
        while True:
            data = rest or connection.recv(65536)
            rest = b""
            if not data:
                return connection.sendall(b"bye")
            connection.sendall(data)


class Client:
    """A connection, and one stream of it that asks for a tunnel."""

    def __init__(self, address, path, *more):
        self.socket = socket.create_connection(address, timeout=20)
        self.file = self.socket.makefile("rb")
        block = b"".join(h2.literal(name, value) for name, value in (
            (b":method", b"CONNECT"), (b":protocol", b"websocket"), (b":scheme", b"http"), (b":path", path),
            (b":authority", b"test"), (b"sec-websocket-version", b"13"), (b"sec-websocket-protocol", b"chat"), *more))
        self.socket.sendall(h2.PREFACE + h2.settings() + h2.headers(1, block, end_stream=False))

    def get(self, stream, path):
        """Asks for it as usual."""
        self.socket.sendall(h2.headers(stream, h2.request(path=path, authority=b"test")))

    def send(self, data, end=False):
        self.socket.sendall(h2.frame(h2.DATA, h2.END_STREAM if end else 0, 1, data))

    def answer(self, stream=1):
        """All frames up to the end of its response: the first byte of the head, and the body."""
        first, body = None, b""
        while True:
            kind, flags, payload = self.frame(stream)
            if kind == h2.RST_STREAM:
                raise AssertionError(f"stream {stream} was reset: {payload}")
            if kind == h2.HEADERS:
                first = h2.status_byte(payload)
            else:
                body += payload
            if flags & h2.END_STREAM:
                return first, body

    def frame(self, of_stream=1):
        """The next of the stream: kind, flags, payload."""
        while True:
            head = self.file.read(9)
            if not head:
                raise AssertionError("the connection has ended")
            size, (kind, flags, stream) = int.from_bytes(head[:3], "big"), struct.unpack(">BBI", head[3:])
            payload = self.file.read(size)
            if kind == h2.SETTINGS and not flags & h2.ACK:
                self.socket.sendall(h2.frame(h2.SETTINGS, h2.ACK))
            if stream == of_stream and kind in (h2.HEADERS, h2.DATA, h2.RST_STREAM):
                return kind, flags, payload

    def close(self):
        self.file.close()
        self.socket.close()


class WebSocketOverHttp2Test(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.fleet = support.Fleet()
        cls.addClassCleanup(cls.fleet.stop)
        cls.upstream = Upstream()
        config = cls.fleet.write("config.yaml", CONFIG.format(folder=cls.fleet.folder, endpoint=cls.upstream.address))
        cls.proxy = cls.fleet.proxy("p1", config=config, workers=1)
        cls.proxy.wait_ready()

    def ask(self, path, *more):
        client = Client(self.proxy.listener(), path, *more)
        self.addCleanup(client.close)
        return client

    def line(self, path):
        return support.wait_until(lambda: next((r for r in self.fleet.access_log() if r["path"] == path), None), "the line")

    def test_bytes_pass_both_ways(self):
        client = self.ask(b"/chat")
        kind, flags, block = client.frame()
        self.assertEqual((kind, flags & h2.END_STREAM, h2.status_byte(block)), (h2.HEADERS, 0, STATUS_200))
        self.assertNotIn(b"sec-websocket-accept", block)
        head = self.upstream.heads[-1]
        self.assertTrue(head.startswith("GET /chat HTTP/1.1\r\n"), head)
        for field in (b"sec-websocket-key", b"upgrade", b"connection"):
            self.assertIn(field, self.upstream.fields)
        self.assertEqual(self.upstream.fields[b"sec-websocket-version"], b"13")
        for message in (b"hello", b"x" * 10000):
            client.send(message)
            got = b""
            while len(got) < len(message):
                got += client.frame()[2]
            self.assertEqual(got, message)
        client.send(b"", end=True)
        rest = b""
        while True:
            kind, flags, payload = client.frame()
            self.assertEqual(kind, h2.DATA)
            rest += payload
            if flags & h2.END_STREAM:
                break
        self.assertEqual(rest, b"bye")
        self.assertEqual(self.line("/chat")["status"], 200)

    def test_an_upstream_that_does_not_answer_the_key(self):
        for path in (b"/liar", b"/mute"):
            kind, _, block = self.ask(path).frame()
            self.assertEqual(kind, h2.HEADERS)
            self.assertNotEqual(h2.status_byte(block), STATUS_200)
            line = self.line(path.decode())
            self.assertEqual((line["status"], line["reason"]), (502, "upstream_protocol_error"))

    def test_a_plain_200_is_no_tunnel(self):
        _, _, block = self.ask(b"/plain").frame()
        self.assertNotEqual(h2.status_byte(block), STATUS_200)
        self.assertEqual(self.line("/plain")["status"], 502)

    def test_a_refusal_passes(self):
        _, _, block = self.ask(b"/refuse").frame()
        self.assertNotEqual(h2.status_byte(block), STATUS_200)
        line = self.line("/refuse")
        self.assertEqual((line["status"], line.get("reason")), (403, None))

    def test_a_route_that_answers_by_itself_opens_no_tunnel(self):
        client = self.ask(b"/own")
        first, body = client.answer()
        self.assertNotEqual(first, STATUS_200)
        self.assertIn(b'"reason": "connect_not_supported"', body)
        line = self.line("/own")
        self.assertEqual((line["status"], line["reason"]), (501, "connect_not_supported"))
        # The connection goes on, and the route as ever.
        client.get(3, b"/own")
        self.assertEqual(client.answer(3), (STATUS_200, b"own"))

    def test_a_handshake_that_calls_itself_grpc_is_none(self):
        """As gRPC its refusal would have the status 200, which opens a tunnel."""
        client = self.ask(b"/own", (b"content-type", b"application/grpc"))
        first, body = client.answer()
        self.assertNotEqual(first, STATUS_200)
        self.assertIn(b'"reason": "connect_not_supported"', body)

    def test_a_route_whose_own_answer_is_no_2xx_gives_it(self):
        client = self.ask(b"/gone")
        first, body = client.answer()
        self.assertNotEqual(first, STATUS_200)
        self.assertEqual(body, b"gone")
        line = self.line("/gone")
        self.assertEqual((line["status"], line.get("reason")), (410, None))
        client.get(3, b"/own")
        self.assertEqual(client.answer(3), (STATUS_200, b"own"))


if __name__ == "__main__":
    unittest.main()
