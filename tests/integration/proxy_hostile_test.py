"""One proxy between upstreams that break every rule and clients that are no better."""

import json
import os
import random
import socket
import struct
import threading
import time
import unittest

from tests.support import fleet as support
from tests.support.http_client import Closed, Connection, fetch
from tests.support.tcp_server import TcpServer

CONFIG = """
kind: Listener
name: http
spec: {{address: "127.0.0.1:0", access_log: requests, limits: {{header_timeout: 1s}}}}
---
kind: AccessLog
name: requests
spec: {{path: "{folder}/access.log", response_headers: [x, content-length]}}
---
kind: Upstream
name: hostile
spec: {{endpoints: [{{address: "{one}"}}, {{address: "{two}"}}], outlier_detection: {{disabled: true}}}}
---
kind: Upstream
name: narrow
spec:
  endpoints: [{{address: "{one}"}}, {{address: "{two}"}}]
  circuit_breaker: {{max_connections: 4, max_pending_requests: 20}}
  outlier_detection: {{disabled: true}}
---
kind: Upstream
name: deaf
spec: {{endpoints: [{{address: "{one}"}}, {{address: "{deaf}"}}], outlier_detection: {{consecutive_failures: 2}}}}
---
kind: Upstream
name: single
spec: {{endpoints: [{{address: "{one}"}}], outlier_detection: {{disabled: true}}}}
---
kind: Upstream
name: judged
spec: {{endpoints: [{{address: "{one}"}}, {{address: "{two}"}}], outlier_detection: {{consecutive_failures: 2}}}}
---
kind: Route
name: single
spec: {{match: {{path: {{prefix: /single}}}}, upstreams: [{{name: single}}]}}
---
kind: Route
name: judged
spec: {{match: {{path: {{prefix: /judged}}}}, upstreams: [{{name: judged}}], timeout: 0.2s}}
---
kind: Route
name: hostile
spec: {{match: {{path: {{prefix: /}}}}, upstreams: [{{name: hostile}}], timeout: 3s, max_body_bytes: 3000000}}
---
kind: Route
name: narrow
spec: {{match: {{path: {{prefix: /narrow}}}}, upstreams: [{{name: narrow}}], timeout: 3s, retry: {{attempts: 3}}}}
---
kind: Route
name: deaf
spec: {{match: {{path: {{prefix: /deaf}}}}, upstreams: [{{name: deaf}}], timeout: 0.2s}}
---
kind: Route
name: hosted
spec: {{match: {{hosts: [only.test], path: {{prefix: /}}}}, respond: {{status: 200, body: "only here"}}}}
"""

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
HEAD = b"HTTP/1.1 200 OK\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"


def reset(connection):
    """Closes with RST."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


# What is answered, and whether the connection is closed after it.
SCRIPTS = {
    "ok": (OK, False),
    "close": (b"", True),
    "garbage": (bytes(range(256)), True),
    "nul": (HEAD + b"X: a\0b\r\nContent-Length: 0\r\n\r\n", False),
    "bare-lf": (b"HTTP/1.1 200 OK\nContent-Length: 0\n\n", True),
    "both-lengths": (HEAD + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", False),
    "two-lengths": (HEAD + b"Content-Length: 4\r\nContent-Length: 5\r\n\r\nabcde", False),
    "upgrade": (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\nzzz", False),
    "informational": (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n" + OK, False),
    "informational-flood": (b"HTTP/1.1 103 Early Hints\r\nX: y\r\n\r\n" * 1000 + OK, False),
    "large-head": (HEAD + b"X: " + b"a" * 200_000 + b"\r\nContent-Length: 0\r\n\r\n", False),
    "many-fields": (HEAD + b"X: y\r\n" * 2000 + b"Content-Length: 0\r\n\r\n", False),
    "until-close": (HEAD + b"\r\n" + b"u" * 70_000, True),
    "http-1.0": (b"HTTP/1.0 200 OK\r\n\r\nten", True),
    "cut": (HEAD + b"Content-Length: 100\r\n\r\n" + b"c" * 50, True),
    "chunk-cut": (CHUNKED + b"5\r\nhello\r\n3\r\nab", True),
    "chunk-bad": (CHUNKED + b"5\r\nhello\r\nzz\r\nab", False),
    "chunks": (CHUNKED + b"1\r\nx\r\n" * 5000 + b"0\r\nT: 1\r\n\r\n", False),
    "more-than-said": (OK + b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nmore", True),
    "204-with-body": (b"HTTP/1.1 204 No Content\r\nContent-Length: 4\r\n\r\nmore", True),
    "304-with-body": (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 4\r\n\r\nmore", True),
    "unavailable": (b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 2\r\n\r\nno", False),
    "large": (HEAD + b"Content-Length: 4000000\r\n\r\n" + b"l" * 4_000_000, False),
}


class HostileUpstream(TcpServer):
    """Answers as the last segment of the path says."""

    def __init__(self):
        # (method and path, how many requests its connection had brought).
        self.requests = []
        super().__init__()

    def serve(self, connection):
        connection.settimeout(20)
        buffer, count = b"", 0
        try:
            while buffer is not None:
                count += 1
                buffer = self._exchange(connection, buffer, count)
        except ValueError:
            pass

    def _exchange(self, connection, buffer, count):
        """What is left of `buffer`; None to close."""
        while b"\r\n\r\n" not in buffer:
            buffer += self._receive(connection)
        head, buffer = buffer.split(b"\r\n\r\n", 1)
        line = head.decode("latin-1").split("\r\n")[0].rsplit(" ", 1)[0]
        self.requests.append((line, count))
        script = line.split("?")[0].rsplit("/", 1)[1]
        if script == "early":  # Without reading the body.
            connection.sendall(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\nConnection: close\r\n\r\nbig")
            return None
        if script == "reset":
            reset(connection)
            return None
        lower = head.lower()
        if b"\r\ncontent-length: " in lower:
            length = int(lower.split(b"\r\ncontent-length: ")[1].split(b"\r\n")[0])
            while len(buffer) < length:
                buffer += self._receive(connection)
            buffer = buffer[length:]
        elif b"\r\ntransfer-encoding: chunked" in lower:
            while not buffer.endswith(b"0\r\n\r\n"):
                buffer += self._receive(connection)
            buffer = b""
        if script == "once":  # The second request on a connection gets no answer.
            if count > 1:
                return None
            script = "ok"
        if script == "silent":
            time.sleep(4)
            return None
        if script == "endless":
            connection.sendall(CHUNKED)
            while True:
                connection.sendall(b"8000\r\n" + b"e" * 0x8000 + b"\r\n")
        answer, close = SCRIPTS.get(script, SCRIPTS["ok"])
        if line.startswith("HEAD "):
            answer = answer.split(b"\r\n\r\n")[0] + b"\r\n\r\n"
        connection.sendall(answer)
        return None if close else buffer

    @staticmethod
    def _receive(connection):
        data = connection.recv(65536)
        if not data:
            raise OSError("closed")
        return data


class HostileTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.fleet = support.Fleet()
        cls.addClassCleanup(cls.fleet.stop)
        cls.one, cls.two = HostileUpstream(), HostileUpstream()
        # Connections to it are made by the kernel, and nobody ever answers.
        cls.deaf = socket.create_server(("127.0.0.1", 0), backlog=512)
        cls.addClassCleanup(cls.deaf.close)
        config = cls.fleet.write("config.yaml", CONFIG.format(
            folder=cls.fleet.folder, one=cls.one.address, two=cls.two.address,
            deaf="127.0.0.1:%d" % cls.deaf.getsockname()[1]))
        # One worker: which connections are reused is known.
        cls.proxy = cls.fleet.proxy("p1", config=config, workers=1)
        cls.proxy.wait_ready()
        cls.address = cls.proxy.listener("http")

    def tearDown(self):
        self.assertIsNone(self.proxy.process.poll(), self.proxy.log())

    def metrics(self, *names):
        text = self.proxy.admin("/metrics")[1]
        values = dict(line.split(" ")[:2] for line in text.splitlines() if line and line[0] != "#")
        return tuple(float(values[name]) for name in names)

    def active(self):
        """Exchanges and client connections that are open."""
        return self.metrics("portico_requests_active", "portico_downstream_connections_active")

    def wait_for_rest(self, seconds=10):
        support.wait_until(lambda: self.active() == (0, 0), "the end of all exchanges", seconds)

    def answer(self, script, method="GET", body=None):
        """Status and reason or length of the answer; None if the connection broke."""
        try:
            response = fetch(self.address, method, "/x/" + script, body=body)
        except Closed:
            return None
        if response.header("content-type") == "application/json" and response.body:
            return response.status, json.loads(response.body)["reason"]
        return response.status, len(response.body)

    def test_answers_that_break_rules(self):
        want = {
            "ok": (200, 2), "close": (502, "upstream_reset"), "reset": (502, "upstream_reset"),
            "garbage": (502, "upstream_protocol_error"), "nul": (502, "upstream_protocol_error"),
            "bare-lf": (502, "upstream_protocol_error"), "both-lengths": (502, "upstream_protocol_error"),
            "two-lengths": (502, "upstream_protocol_error"), "upgrade": (502, "upstream_protocol_error"),
            "informational": (200, 2), "informational-flood": (502, "upstream_protocol_error"),
            "large-head": (502, "upstream_headers_too_large"), "many-fields": (502, "upstream_headers_too_large"),
            "until-close": (200, 70_000), "http-1.0": (200, 3), "cut": None, "chunk-cut": None,
            "chunk-bad": None, "chunks": (200, 5000), "more-than-said": (200, 2), "204-with-body": (204, 0),
            "304-with-body": (304, 0), "unavailable": (503, 2), "large": (200, 4_000_000), "early": (413, 3),
        }
        for script, answer in want.items():
            for method, body in (("GET", None), ("POST", b""), ("POST", b"x" * 10), ("PUT", b"x" * 2_000_000)):
                with self.subTest(script=script, method=method, body=len(body or b"")):
                    self.assertEqual(self.answer(script, method, body), answer)

    def test_head_of_everything(self):
        for script in SCRIPTS:
            with self.subTest(script=script):
                self.assertEqual((self.answer("ok", "HEAD") or (0,))[0], 200)
                answer = self.answer(script, "HEAD")
                self.assertTrue(answer is not None and answer[1] == 0, answer)

    def test_a_post_that_was_sent_is_never_sent_again(self):
        for method, want, sent in (("GET", 200, 3), ("DELETE", 200, 3), ("POST", 502, 2), ("PATCH", 502, 2)):
            with self.subTest(method=method):
                target = f"/single/{method}/once"
                # The second one goes over the connection of the first, which is closed then.
                self.assertEqual(fetch(self.address, method, target).status, 200)
                self.assertEqual(fetch(self.address, method, target).status, want)
                lines = [line for line, _ in self.one.requests if line == f"{method} {target}"]
                self.assertEqual(len(lines), sent)
                # Nothing may rest for the next method.
                fetch(self.address, target="/single/close")
                fetch(self.address, target="/single/close")

    def test_a_client_that_does_not_read_is_cut_by_the_timeout_of_the_route(self):
        with Connection(self.address) as connection:
            connection.send(b"GET /x/endless HTTP/1.1\r\nHost: t\r\n\r\n")
            support.wait_until(lambda: self.active()[0] == 1, "the exchange")
            started = time.monotonic()
            self.wait_for_rest()
            self.assertLess(time.monotonic() - started, 6)

    def test_an_endpoint_that_never_answers_is_left_alone(self):
        statuses = [fetch(self.address, target="/deaf/ok").status for _ in range(12)]
        self.assertEqual(statuses.count(504), 2, statuses)
        self.assertEqual(statuses[-6:], [200] * 6)

    def test_clients_that_send_slowly_get_no_endpoint_ejected(self):
        before = self.metrics("portico_outlier_ejections_total")
        for _ in range(8):
            with Connection(self.address) as connection:
                connection.send(b"POST /judged/ok HTTP/1.1\r\nHost: t\r\nContent-Length: 10\r\n\r\nabc")
                self.assertEqual(connection.read_response().status, 408)
        self.assertEqual(self.metrics("portico_outlier_ejections_total"), before)

    def test_a_host_with_the_dot_of_the_root_is_the_same_host(self):
        for host in ("only.test", "only.test.", "ONLY.test.:80"):
            self.assertEqual(fetch(self.address, host=host).body, b"only here", host)

    def test_chaos_leaves_nothing_behind(self):
        self.assertEqual(fetch(self.address, target="/x/ok").status, 200)
        self.wait_for_rest()
        stop, seeds = time.monotonic() + 6, range(16)
        errors = []
        threads = [threading.Thread(target=self.hostile_client, args=(seed, stop, errors)) for seed in seeds]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(errors, [])
        self.wait_for_rest()
        # Connections to the upstreams may rest; nothing else holds a descriptor.
        upstreams = len(os.listdir(f"/proc/{self.proxy.pid}/fd"))
        self.assertLess(upstreams, 60)
        # AddressSanitizer holds back up to 256 MiB of freed memory, and has its own shadow.
        self.assertLess(self.proxy.rss_kib(), 1_000_000 if self.proxy.sanitized() else 300_000)
        self.assertEqual(fetch(self.address, target="/x/ok").status, 200)

    def hostile_client(self, seed, stop, errors):
        rng = random.Random(seed)
        while time.monotonic() < stop:
            try:
                self.hostile_connection(rng)
            except OSError:
                pass
            except Exception as error:  # A defect of the test itself.
                errors.append(repr(error))
                return

    def hostile_connection(self, rng):
        with socket.create_connection(self.address, timeout=1) as connection:
            if rng.random() < 0.2:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            data = b"".join(self.hostile_request(rng) for _ in range(rng.choice([1, 1, 2, 5])))
            end = len(data) if rng.random() < 0.6 else rng.randrange(len(data) + 1)
            at = 0
            while at < end:
                step = rng.choice([1, 7, 100, 5000] if end - at < 20_000 else [5000, 100_000, 10_000_000])
                connection.sendall(data[at:min(end, at + step)])
                at += step
            farewell = rng.random()
            if farewell < 0.3:
                reset(connection)
                return
            if farewell < 0.5:
                connection.shutdown(socket.SHUT_WR)
            until = time.monotonic() + rng.choice([0.05, 0.5])
            connection.settimeout(0.1)
            while time.monotonic() < until:
                try:
                    if not connection.recv(65536):
                        return
                except socket.timeout:
                    pass

    @staticmethod
    def hostile_request(rng):
        script = rng.choice([*SCRIPTS, "early", "reset", "once", "silent", "endless"])
        target = f"{rng.choice(['/x', '/narrow'])}/{script}".encode()
        size = rng.choice([0, 1, 1000, 70_000, 400_000, 3_500_000])
        kind = rng.randrange(6)
        if kind == 0:
            return b"GET %s HTTP/1.1\r\nHost: t\r\n\r\n" % target
        if kind == 1:
            return b"HEAD %s HTTP/1.1\r\nHost: t\r\n\r\n" % target
        if kind == 2:
            return b"PUT %s HTTP/1.1\r\nHost: t\r\nContent-Length: %d\r\n\r\n" % (target, size) + b"p" * size
        if kind == 3:
            return (b"POST %s HTTP/1.1\r\nHost: t\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n" % (target, size) +
                    b"e" * size)
        if kind == 4:
            pieces = [b"POST %s HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n" % target]
            while size > 0:
                piece = min(size, rng.choice([1, 100, 5000, 100_000])) if size < 100_000 else min(size, 100_000)
                size -= piece
                pieces.append(b"%x\r\n" % piece + b"c" * piece + b"\r\n")
            pieces.append(rng.choice([b"0\r\n\r\n", b"0\r\nT: v\r\n\r\n", b"zz\r\n", b""]))
            return b"".join(pieces)
        return rng.choice([
            rng.randbytes(100), b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"y" * 100_000 + b"\r\n\r\n", b"GET /%zz HTTP/1.1\r\nHost: a\r\n\r\n"])


if __name__ == "__main__":
    unittest.main()
