"""Requests that an HTTP/2 upstream did not act on are sent again, whatever their method; those that it may have acted
on are not. The upstream is played by hand."""

import struct
import threading
import unittest

from tests.conformance import h2_raw as h2
from tests.support import fleet as support
from tests.support.http_client import Connection
from tests.support.tcp_server import TcpServer

CONFIG = support.LOGGED_LISTENER + """
kind: Upstream
name: services
spec: {{endpoints: [{{address: "{endpoint}"}}], protocol: http2, outlier_detection: {{consecutive_failures: 1, max_ejection_percent: 100}}}}
---
kind: Route
name: all
spec: {{match: {{path: {{prefix: /}}}}, upstreams: [{{name: services}}], timeout: 5s}}
"""

REFUSED, INTERNAL, CANCEL = 7, 2, 8


class Upstream(TcpServer):
    """Treats the first requests as `plan` says, and answers all others."""

    def __init__(self):
        self.plan, self.bodies, self.lock = [], [], threading.Lock()
        super().__init__()

    def serve(self, connection):
        connection.settimeout(20)
        stream = connection.makefile("rb")
        if stream.read(len(h2.PREFACE)) != h2.PREFACE:
            return
        connection.sendall(h2.settings())
        bodies = {}
        while True:
            head = stream.read(9)
            if len(head) < 9:
                return
            size = int.from_bytes(head[:3], "big")
            kind, flags, number = struct.unpack(">BBI", head[3:])
            payload = stream.read(size)
            if kind == h2.SETTINGS and not flags & h2.ACK:
                connection.sendall(h2.frame(h2.SETTINGS, h2.ACK))
            elif kind == h2.PING and not flags & h2.ACK:
                connection.sendall(h2.frame(h2.PING, h2.ACK, 0, payload))
            elif kind in (h2.HEADERS, h2.DATA):
                if kind == h2.DATA:
                    bodies[number] = bodies.get(number, b"") + payload
                if flags & h2.END_STREAM and self.end(connection, number, bodies.pop(number, b"")) is False:
                    return

    def end(self, connection, number, body):
        with self.lock:
            self.bodies.append(body)
            what = self.plan.pop(0) if self.plan else "answer"
        if what == "refuse":
            connection.sendall(h2.rst_stream(number, REFUSED))
        elif what == "break":
            connection.sendall(h2.rst_stream(number, INTERNAL))
        elif what == "goaway":
            connection.sendall(h2.frame(h2.GOAWAY, payload=struct.pack(">II", 0, 0)))
            return False
        elif what == "close":
            return False
        else:
            ok = h2.indexed(8) + h2.literal(b"content-type", b"application/grpc")
            connection.sendall(h2.headers(number, ok, end_stream=False) + h2.frame(h2.DATA, 0, number, b"\0\0\0\0\0") +
                               h2.headers(number, h2.literal(b"grpc-status", b"0"), end_stream=True))
        return True


class RefusedTest(unittest.TestCase):
    def setUp(self):
        self.fleet = support.Fleet()
        self.addCleanup(self.fleet.stop)
        self.upstream = Upstream()
        config = self.fleet.write("config.yaml", CONFIG.format(
            folder=self.fleet.folder, endpoint=self.upstream.address))
        self.proxy = self.fleet.proxy("p1", config=config, workers=1)
        self.proxy.wait_ready()

    def call(self, *plan, body=b"\0\0\0\0\5hello"):
        """grpc-status of a call, and how often it was sent."""
        self.upstream.plan, before = list(plan), len(self.upstream.bodies)
        with Connection(self.proxy.listener()) as connection:
            connection.send(b"POST /a.B/C HTTP/1.1\r\nHost: h\r\nTE: trailers\r\nContent-Type: application/grpc\r\n"
                            b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
            head = connection._until(b"\r\n\r\n")
            status = head if b"grpc-status" in head else connection._until(b"\r\n\r\n")
        sent = self.upstream.bodies[before:]
        for one in sent:
            self.assertEqual(one, body)
        return int(status.split(b"grpc-status: ")[1].split(b"\r\n")[0]), len(sent)

    def test_refused_requests_are_sent_again(self):
        self.assertEqual(self.call(), (0, 1))
        self.assertEqual(self.call("refuse"), (0, 2))
        self.assertEqual(self.call("goaway"), (0, 2))
        # More than is copied aside.
        self.assertEqual(self.call("refuse", body=b"\0\0\0\x20\0" + b"x" * 0x2000), (0, 2))
        # Twice: `attempts` is 2. The endpoint is not held to be broken for it.
        self.assertEqual(self.call("refuse", "refuse"), (14, 2))
        self.assertEqual(self.call(), (0, 1))
        self.assertEqual(self.proxy.metrics()["portico_outlier_ejections_total"], 0)

    def test_others_are_not(self):
        self.assertEqual(self.call("break"), (14, 1))

    def test_a_connection_that_just_ends_says_nothing(self):
        self.assertEqual(self.call("close"), (14, 1))


if __name__ == "__main__":
    unittest.main()
