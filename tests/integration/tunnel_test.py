"""WebSocket tunnels through the real proxy: when one opens, what it carries, and how it ends."""

import os
import signal
import socket
import struct
import time
import unittest

from tests.support import fleet as support
from tests.support.http_client import Closed, Connection
from tests.support.tcp_server import TcpServer, read_head

CONFIG = """
kind: Listener
name: http
spec: {{address: "127.0.0.1:0", access_log: requests}}
---
kind: Listener
name: impatient
spec: {{address: "127.0.0.1:0", access_log: requests, limits: {{stream_idle_timeout: 1s, max_body_bytes: 10}}}}
---
kind: AccessLog
name: requests
spec: {{path: "{folder}/access.log"}}
---
kind: Upstream
name: sockets
spec: {{endpoints: [{{address: "{endpoint}"}}], outlier_detection: {{disabled: true}}}}
---
kind: Route
name: all
spec: {{match: {{path: {{prefix: /}}}}, upstreams: [{{name: sockets}}], timeout: 1s}}
---
kind: Route
name: own
spec: {{match: {{path: {{exact: /own}}}}, respond: {{status: 200, body: "own"}}}}
"""

SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
ASK = (("Connection", "Upgrade"), ("Upgrade", "websocket"))
LARGE = os.urandom(1 << 20)


def request(target, headers=ASK, method="GET"):
    lines = [f"{method} {target} HTTP/1.1", "Host: test", *(f"{n}: {v}" for n, v in headers), "", ""]
    return "\r\n".join(lines).encode()


def reset(connection):
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


class Upstream(TcpServer):
    """Does what the path says; remembers heads, and how its connections ended."""

    def __init__(self):
        self.heads, self.ends = [], []
        super().__init__()

    def serve(self, connection):
        connection.settimeout(20)
        buffer = b""
        while True:
            head, buffer = read_head(connection, buffer)
            if head is None:
                return
            self.heads.append(head.decode("latin-1"))
            path = head.split(b" ")[1]
            if path == b"/slow":
                time.sleep(0.5)
            if path in (b"/refuse", b"/other"):
                status = b"426 Upgrade Required" if path == b"/refuse" else b"200 OK"
                connection.sendall(b"HTTP/1.1 %s\r\nContent-Length: 2\r\n\r\nno" % status)
                continue
            if path == b"/h2c":
                connection.sendall(SWITCH.replace(b"websocket", b"h2c") + b"garbage")
                return
            return self.tunnel(connection, path, buffer)

    def tunnel(self, connection, path, buffer):
        connection.sendall(SWITCH + (b"early" if path == b"/early" else b""))
        if path == b"/reset":
            connection.recv(10)
            return reset(connection)
        if path == b"/leave":
            connection.sendall(b"leaving")
            connection.shutdown(socket.SHUT_WR)
        try:
            while True:
                if buffer and path != b"/leave":
                    connection.sendall(buffer)
                data = connection.recv(65536)
                if not data:
                    break
                buffer = data if path != b"/leave" else buffer + data
            if path != b"/leave":
                connection.sendall(b"bye")
            self.ends.append(("end", buffer if path == b"/leave" else b""))
        except ConnectionError:
            self.ends.append(("reset", b""))


class TunnelTest(unittest.TestCase):
    def setUp(self):
        self.fleet = support.Fleet()
        self.addCleanup(self.fleet.stop)
        self.upstream = Upstream()
        config = self.fleet.write("config.yaml", CONFIG.format(
            folder=self.fleet.folder, endpoint=self.upstream.address))
        self.proxy = self.fleet.proxy("p1", "--drain-grace=300ms", "--drain-timeout=700ms", config=config,
                                      workers=1, listeners=("http", "impatient"))
        self.proxy.wait_ready()

    def connect(self, listener="http"):
        connection = Connection(self.proxy.listener(listener))
        self.addCleanup(connection.close)
        return connection

    def open(self, target, listener="http", more=b""):
        connection = self.connect(listener)
        connection.send(request(target) + more)
        head = connection._until(b"\r\n\r\n").decode()
        self.assertTrue(head.startswith("HTTP/1.1 101 Switching Protocols\r\n"), head)
        self.assertIn("\r\nConnection: Upgrade\r\nUpgrade: websocket", head)
        return connection

    def tunnels(self):
        metrics = self.proxy.metrics()
        return metrics["portico_tunnels_open"], metrics["portico_tunnels_total"]

    def log(self, count):
        def lines():
            found = self.fleet.access_log()
            return found if len(found) >= count else None
        return support.wait_until(lines, f"{count} lines in the access log")

    def ended(self, count=1):
        support.wait_until(lambda: len(self.upstream.ends) == count, "the upstream seeing the end")
        return self.upstream.ends[-1]

    def test_bytes_pass_unchanged_until_both_sides_have_ended(self):
        tunnel = self.open("/echo")
        head = self.upstream.heads[-1]
        self.assertIn("\r\nConnection: Upgrade\r\nUpgrade: websocket", head)
        self.assertEqual(self.tunnels(), (1, 1))
        self.assertEqual(self.proxy.metrics()["portico_requests_active"], 0)
        for data in (b"GET / HTTP/1.1\r\n\r\n", bytes(range(256)), LARGE):
            tunnel.send(data)
            self.assertEqual(tunnel._exactly(len(data)), data)
        time.sleep(1.2)  # Longer than the route's timeout.
        tunnel.send(b"x")
        self.assertEqual(tunnel._exactly(1), b"x")
        tunnel.socket.shutdown(socket.SHUT_WR)
        self.assertEqual(tunnel.read_to_end(), b"bye")
        self.assertEqual(self.ended(), ("end", b""))
        support.wait_until(lambda: self.tunnels() == (0, 1), "the tunnel's end")
        line = self.log(1)[0]
        carried = 18 + 256 + len(LARGE) + 1
        self.assertEqual((line["status"], line["request_bytes"], line["response_bytes"]), (101, carried, carried + 3))
        self.assertEqual(len(self.upstream.heads), 1)

    def test_the_upstream_ends_first(self):
        tunnel = self.open("/leave")
        self.assertEqual(tunnel.read_to_end(), b"leaving")
        tunnel.send(b"still here")
        tunnel.socket.shutdown(socket.SHUT_WR)
        self.assertEqual(self.ended(), ("end", b"still here"))

    def test_what_comes_before_or_with_the_101_belongs_to_the_tunnel(self):
        tunnel = self.open("/slow", more=request("/stolen", ()))
        self.assertEqual(tunnel._exactly(len(request("/stolen", ()))), request("/stolen", ()))
        self.assertEqual(self.open("/early")._exactly(5), b"early")
        self.assertEqual([h.split(" ")[1] for h in self.upstream.heads], ["/slow", "/early"])

    def test_no_tunnel_no_bytes(self):
        for target, status in (("/refuse", 426), ("/other", 200), ("/own", 200), ("/h2c", 502)):
            connection = self.connect()
            connection.send(request(target) + request("/stolen", ()))
            self.assertEqual(connection.read_response().status, status, target)
            self.assertEqual(connection.read_to_end(), b"", target)
        self.assertNotIn("/stolen", [h.split(" ")[1] for h in self.upstream.heads])
        self.assertEqual(self.tunnels(), (0, 0))
        # Not asked for, as the proxy sees it.
        for headers in ((), (("Connection", "Upgrade"), ("Upgrade", "h2c")), (("Upgrade", "websocket"),)):
            self.assertEqual(self.connect().request("GET", "/echo", headers).status, 502, headers)
            self.assertNotIn("pgrade", self.upstream.heads[-1])

    def test_resets_pass(self):
        tunnel = self.open("/reset")
        tunnel.send(b"go")
        with self.assertRaises(ConnectionResetError):
            while tunnel.socket.recv(100):
                pass
        tunnel = self.open("/echo")
        reset(tunnel.socket)
        self.assertEqual(self.ended()[0], "reset")
        self.assertEqual({line["reason"] for line in self.log(2)}, {"upstream_reset", "client_disconnected"})

    def test_idle_ones_end_and_busy_ones_do_not(self):
        idle, busy = self.open("/echo", "impatient"), self.open("/echo", "impatient")
        began = time.monotonic()
        while time.monotonic() - began < 2.5:  # Above max_body_bytes in all.
            busy.send(b"ping")
            self.assertEqual(busy._exactly(4), b"ping")
            time.sleep(0.1)
        self.assertEqual(idle.read_to_end(), b"")
        line = self.log(1)[0]
        self.assertEqual((line["status"], line["reason"]), (101, "tunnel_idle"))
        self.assertEqual(self.tunnels(), (1, 2))

    def test_a_drain_leaves_tunnels_their_time(self):
        tunnel = self.open("/echo")
        self.proxy.kill(signal.SIGTERM)
        began, last = time.monotonic(), None
        try:
            while True:
                tunnel.send(b"ping")
                self.assertEqual(tunnel._exactly(4), b"ping")
                last = time.monotonic() - began
                time.sleep(0.05)
        except (Closed, BrokenPipeError, ConnectionResetError):
            pass
        self.assertGreater(last, 0.8)
        self.assertEqual(self.proxy.process.wait(timeout=20), 0)
        self.assertEqual(self.log(1)[0]["reason"], "tunnel_drained")


if __name__ == "__main__":
    unittest.main()
