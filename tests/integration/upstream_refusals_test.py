"""What an HTTP/2 upstream says that it did not act on is asked again, as long as all of the request's body is there to be
sent again; and an upstream that takes no tunnels is not ill."""

import socket
import struct
import unittest

from tests.conformance import h2_raw as h2
from tests.support import fleet as support
from tests.support.http_client import Connection
from tests.support.tcp_server import TcpServer

CONFIG = support.LOGGED_LISTENER + """
kind: Upstream
name: up
spec: {{endpoints: [{{address: "{endpoint}"}}], protocol: http2}}
---
kind: Upstream
name: pair
spec: {{endpoints: [{{address: "{endpoint}"}}, {{address: "{other}"}}], protocol: http2, outlier_detection: {{consecutive_failures: 1, max_ejection_percent: 50}}}}
---
kind: Route
name: all
spec: {{match: {{path: {{prefix: /}}}}, upstreams: [{{name: up}}], timeout: 60s}}
---
kind: Route
name: socket
spec: {{match: {{path: {{exact: /socket}}}}, upstreams: [{{name: pair}}]}}
"""

STATUS_200 = b"\x88"


class Serve:
    """Answers with the body, once it is complete."""


class Answer:
    """Answers at once, whatever is still to come."""


class Refuse:
    """REFUSED_STREAM once this many bytes of the body are there."""

    def __init__(self, after):
        self.after = after

    def due(self, stream, _):
        return len(stream.body) >= self.after


class GoAway(Refuse):
    """The same by a GOAWAY that leaves the stream out."""


class RefuseAtEnd(Refuse):
    """REFUSED_STREAM once all of the body is there."""

    def __init__(self):
        super().__init__(0)

    def due(self, _, flags):
        return flags & h2.END_STREAM


class Stream:
    def __init__(self, plan):
        self.plan, self.body, self.refused, self.reset = plan, b"", False, None


class Upstream(TcpServer):
    """Does with the streams what `plans` says, in the order in which they come. No SETTINGS of tunnels."""

    def __init__(self):
        self.plans, self.streams = [], []
        super().__init__()

    def expect(self, *plans):
        self.plans, self.streams = list(plans), []

    def serve(self, connection):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        file, mine = connection.makefile("rb"), {}
        file.read(len(h2.PREFACE))
        connection.sendall(h2.settings())
        while True:
            head = file.read(9)
            if len(head) < 9:
                return
            size, (kind, flags, number) = int.from_bytes(head[:3], "big"), struct.unpack(">BBI", head[3:])
            payload = file.read(size)
            if kind == h2.SETTINGS and not flags & h2.ACK:
                connection.sendall(h2.frame(h2.SETTINGS, h2.ACK))
            if kind == h2.HEADERS:
                stream = mine[number] = Stream(self.plans[len(self.streams)] if len(self.streams) < len(self.plans) else Serve())
                self.streams.append(stream)
                if isinstance(stream.plan, Answer):
                    connection.sendall(self.answer(number, b"early"))
            if kind == h2.RST_STREAM and number in mine:
                mine[number].reset = h2.code_name(struct.unpack(">I", payload)[0])
            if kind in (h2.HEADERS, h2.DATA) and number in mine:
                stream = mine[number]
                if kind == h2.DATA:
                    stream.body += payload
                if isinstance(stream.plan, Refuse) and not stream.refused and stream.plan.due(stream, flags):
                    stream.refused = True
                    connection.sendall(h2.frame(h2.GOAWAY, payload=struct.pack(">II", max(0, number - 2), 0)) if isinstance(stream.plan, GoAway)
                                       else h2.rst_stream(number, h2.CODES.index("REFUSED_STREAM")))
                if isinstance(stream.plan, Serve) and flags & h2.END_STREAM:
                    connection.sendall(self.answer(number, stream.body))

    @staticmethod
    def answer(number, body):
        return h2.headers(number, STATUS_200, end_stream=False) + h2.frame(h2.DATA, h2.END_STREAM, number, body)


class Http1Client:
    """A POST whose body comes when the test says so."""

    def __init__(self, address, path, size, more=b"", first=b""):
        self.connection = Connection(address)
        length = b"Transfer-Encoding: chunked" if size is None else b"Content-Length: %d" % size
        self.connection.send(b"POST %s HTTP/1.1\r\nHost: test\r\n%s\r\n%s\r\n%s" % (path, length, more, first))

    def send(self, data, end=False):
        self.connection.send(data)

    def response(self):
        answer = self.connection.read_response("POST")
        return answer.status, answer.body

    def close(self):
        self.connection.close()


class Http2Client:
    def __init__(self, address, path, size, more=b"", first=b""):
        self.connection = h2.Connection(address, timeout=20)
        block = h2.request(method=b"POST", path=path, more=[(b"content-length", b"%d" % size)])
        self.connection.send(h2.headers(1, block, end_stream=False) + (h2.frame(h2.DATA, stream=1, payload=first) if first else b""))

    def send(self, data, end=False):
        self.connection.send(h2.frame(h2.DATA, h2.END_STREAM if end else 0, 1, data))

    def response(self):
        ok, body = False, b""
        while True:
            kind, flags, stream, payload = self.connection.read()
            if stream == 1 and kind == h2.HEADERS:
                ok = h2.status_byte(payload) == STATUS_200[0]
            if stream == 1 and kind == h2.DATA:
                body += payload
            if stream == 1 and kind in (h2.HEADERS, h2.DATA) and flags & h2.END_STREAM:
                return 200 if ok else 502, body

    def close(self):
        self.connection.close()


CLIENTS = (Http1Client, Http2Client)


class UpstreamRefusalsTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.fleet = support.Fleet()
        cls.addClassCleanup(cls.fleet.stop)
        cls.upstream, cls.other = Upstream(), Upstream()
        config = cls.fleet.write("config.yaml", CONFIG.format(folder=cls.fleet.folder, endpoint=cls.upstream.address, other=cls.other.address))
        cls.proxy = cls.fleet.proxy("p1", "--drain-grace", "0s", config=config, workers=1)
        cls.proxy.wait_ready()
        cls.requests = 0

    def start(self, client, size=10, **more):
        """A request of that size, with a path of its own."""
        type(self).requests += 1
        self.path = "/%d" % self.requests
        made = client(self.proxy.listener(), self.path.encode(), size, **more)
        self.addCleanup(made.close)
        return made

    def reached(self, number, size=0):
        """Waits until that many bytes of the body have come on that stream."""
        streams = self.upstream.streams
        support.wait_until(lambda: len(streams) > number and len(streams[number].body) >= size, f"{size} bytes of stream {number}")

    def line(self):
        path = self.path
        return support.wait_until(lambda: next((r for r in self.fleet.access_log() if r["path"] == path), None), "the line")

    def check_retried(self, client, body=b"helloworld"):
        self.assertEqual(client.response(), (200, body))
        self.assertEqual([stream.refused for stream in self.upstream.streams], [True, False])
        self.assertEqual(self.upstream.streams[1].body, body)
        line = self.line()
        self.assertEqual((line["status"], line["attempts"], line.get("reason")), (200, 2, None))

    def test_before_anything_of_the_body_is_there(self):
        for client in CLIENTS:
            with self.subTest(client.__name__):
                for refusal in (Refuse, GoAway):
                    self.upstream.expect(refusal(0), Serve())
                    sender = self.start(client)
                    self.reached(1)
                    sender.send(b"hello")
                    self.reached(1, 5)
                    sender.send(b"world", end=True)
                    self.check_retried(sender)

    def test_with_the_first_piece_which_came_with_the_head(self):
        for client in CLIENTS:
            with self.subTest(client.__name__):
                for refusal in (Refuse, GoAway):
                    self.upstream.expect(refusal(5), Serve())
                    sender = self.start(client, first=b"hello")
                    self.reached(1, 5)
                    sender.send(b"world", end=True)
                    self.check_retried(sender)

    def test_with_the_first_piece_which_came_later(self):
        for client in CLIENTS:
            with self.subTest(client.__name__):
                self.upstream.expect(Refuse(5), Serve())
                sender = self.start(client)
                self.reached(0)
                sender.send(b"hello")
                self.reached(1, 5)
                sender.send(b"world", end=True)
                self.check_retried(sender)

    def test_with_a_first_piece_that_is_not_copied(self):
        piece = bytes(range(256)) * 16
        for client in CLIENTS:
            with self.subTest(client.__name__):
                self.upstream.expect(Refuse(1), Serve())
                sender = self.start(client, size=len(piece) + 5)
                self.reached(0)
                sender.send(piece)
                self.reached(1, 1)
                sender.send(b"world", end=True)
                self.check_retried(sender, piece + b"world")

    def test_with_a_first_piece_whose_end_came_by_itself(self):
        """END_STREAM in an empty frame; of HTTP/1.1, the last chunk."""
        self.upstream.expect(RefuseAtEnd(), Serve())
        sender = self.start(Http2Client, first=b"helloworld")
        self.reached(0, 10)
        sender.send(b"", end=True)
        self.check_retried(sender)
        self.upstream.expect(RefuseAtEnd(), Serve())
        sender = self.start(Http1Client, size=None, first=b"a\r\nhelloworld\r\n")
        self.reached(0, 10)
        sender.send(b"0\r\n\r\n")
        self.check_retried(sender)

    def test_not_with_more_than_was_kept(self):
        for client in CLIENTS:
            with self.subTest(client.__name__):
                self.upstream.expect(Refuse(5), Serve())
                sender = self.start(client)
                self.reached(0)
                sender.send(b"he")
                self.reached(0, 2)
                sender.send(b"llo")
                status, body = sender.response()
                self.assertEqual(status, 502)
                self.assertIn(b'"reason": "upstream_reset"', body)
                self.assertEqual(len(self.upstream.streams), 1)
                line = self.line()
                self.assertEqual((line["attempts"], line["reason"]), (1, "upstream_reset"))

    def test_not_more_often_than_the_route_allows(self):
        for client in CLIENTS:
            with self.subTest(client.__name__):
                self.upstream.expect(Refuse(0), Refuse(0))
                sender = self.start(client)
                status, body = sender.response()
                self.assertEqual(status, 502)
                self.assertIn(b'"reason": "upstream_reset"', body)
                line = self.line()
                self.assertEqual((line["attempts"], line["reason"]), (2, "upstream_reset"))
                self.assertEqual(len(self.upstream.streams), 2)

    def test_a_client_that_waits_for_100_continue(self):
        self.upstream.expect(Refuse(0), Serve())
        sender = self.start(Http1Client, more=b"Expect: 100-continue\r\n")
        self.reached(1)
        interim = b""
        while not interim.endswith(b"\r\n\r\n"):
            interim += sender.connection.socket.recv(1)
        self.assertTrue(interim.startswith(b"HTTP/1.1 100 "), interim)
        sender.send(b"helloworld")
        self.check_retried(sender)

    def test_a_client_that_leaves_while_it_is_asked_again(self):
        for client in CLIENTS:
            with self.subTest(client.__name__):
                self.upstream.expect(Refuse(0), Serve())
                sender = self.start(client)
                self.reached(1)
                sender.close()
                line = self.line()
                self.assertEqual((line["attempts"], line["reason"]), (2, "client_disconnected"))
                second = self.upstream.streams[1]
                support.wait_until(lambda: second.reset == "CANCEL", "the end of the second stream")

    def test_an_answer_before_the_body(self):
        for client in CLIENTS:
            with self.subTest(client.__name__):
                self.upstream.expect(Answer())
                sender = self.start(client)
                self.assertEqual(sender.response(), (200, b"early"))
                self.assertEqual(self.line()["attempts"], 1)

    def test_an_answer_before_the_body_at_the_second_try(self):
        for client in CLIENTS:
            with self.subTest(client.__name__):
                self.upstream.expect(Refuse(0), Answer())
                sender = self.start(client)
                self.assertEqual(sender.response(), (200, b"early"))
                self.assertEqual(self.line()["attempts"], 2)

    def test_no_tunnels_is_no_failure_of_the_endpoint(self):
        self.upstream.expect()
        for _ in range(5):
            with Connection(self.proxy.listener()) as client:
                client.send(b"GET /socket HTTP/1.1\r\nHost: test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
                answer = client.read_response()
                self.assertEqual(answer.status, 502)
                self.assertIn(b'"reason": "upstream_takes_no_tunnels"', answer.body)
        self.assertEqual(self.upstream.streams + self.other.streams, [])
        self.assertEqual(self.proxy.metrics()["portico_outlier_ejections_total"], 0)


if __name__ == "__main__":
    unittest.main()
