"""Large bodies through one proxy, on each I/O engine: every byte, in both directions, with every framing, and
beside clients that are slow."""

import hashlib
import json
import random
import socket
import statistics
import struct
import threading
import time
import unittest

from tests.support import fleet as support
from tests.support.http_client import fetch

CONFIG = """
kind: Listener
name: http
spec: {{address: "127.0.0.1:0", access_log: requests, limits: {{stream_idle_timeout: 2s}}}}
---
kind: AccessLog
name: requests
spec: {{path: "{folder}/{engine}.log"}}
---
kind: Upstream
name: up
spec: {{endpoints: [{{address: "{upstream}"}}], outlier_detection: {{disabled: true}}}}
---
kind: Route
name: all
spec: {{match: {{path: {{prefix: /}}}}, upstreams: [{{name: up}}], timeout: 300s}}
"""

LARGE = 64 << 20
BODY = random.Random(7).randbytes(LARGE)
SLICE = 256 * 1024


def digest(size):
    return hashlib.sha256(memoryview(BODY)[:size]).hexdigest()


def slices(size, step=SLICE):
    view = memoryview(BODY)
    for start in range(0, size, step):
        yield view[start:min(start + step, size)]


def send_body(connection, size, chunked):
    for piece in slices(size):
        if chunked:
            connection.sendall(b"%x\r\n" % len(piece))
        connection.sendall(piece)
        if chunked:
            connection.sendall(b"\r\n")
    if chunked:
        connection.sendall(b"0\r\n\r\n")


class Peer:
    """Reads heads and bodies from a socket, and keeps only what the bodies hash to."""

    def __init__(self, connection):
        self.socket, self.buffer = connection, b""

    def _more(self):
        data = self.socket.recv(SLICE)
        self.buffer += data
        return len(data)

    def line(self, end=b"\r\n"):
        while end not in self.buffer:
            if not self._more():
                raise EOFError(self.buffer)
        found, self.buffer = self.buffer.split(end, 1)
        return found

    def head(self):
        """The first line, and the fields."""
        first, *rest = self.line(b"\r\n\r\n").decode("latin-1").split("\r\n")
        return first, {name.lower(): value.strip() for name, value in (field.split(":", 1) for field in rest)}

    def take(self, count, digest, pause=None):
        """Whether `count` bytes came; None: all until the end."""
        have = 0
        while count is None or have < count:
            if not self.buffer and not self._more():
                return have, count is None
            piece = self.buffer if count is None else self.buffer[:count - have]
            self.buffer = self.buffer[len(piece):]
            digest.update(piece)
            have += len(piece)
            if pause:
                pause(len(piece))
        return have, True

    def body(self, fields, pause=None):
        """Size, hash, and whether it was complete."""
        found = hashlib.sha256()
        if "content-length" in fields:
            size, complete = self.take(int(fields["content-length"]), found, pause)
        elif fields.get("transfer-encoding") == "chunked":
            size, complete = 0, True
            try:
                while complete and (length := int(self.line(), 16)):
                    have, complete = self.take(length, found, pause)
                    size += have
                    complete = complete and self.line() == b""
                self.line()
            except EOFError:
                complete = False
        else:
            size, complete = self.take(None, found, pause)
        return size, found.hexdigest(), complete


class Upstream:
    """GET /length/N, /chunked/N, /close/N: that many bytes; /cut/N: the length of twice as many. POST: says what came."""

    def __init__(self):
        self.socket = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.address = "127.0.0.1:%d" % self.socket.getsockname()[1]
        self.ended_early = threading.Event()
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self):
        self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()

    def _accept(self):
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        with connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            peer = Peer(connection)
            try:
                while self._exchange(connection, peer):
                    pass
            except (OSError, EOFError):
                self.ended_early.set()

    @staticmethod
    def _exchange(connection, peer):
        try:
            line, fields = peer.head()
        except EOFError:
            return False
        method, target, _ = line.split(" ")
        if method == "POST":
            size, found, complete = peer.body(fields)
            answer = json.dumps([size, found, complete]).encode()
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(answer) + answer)
            return True
        _, kind, size = target.split("/")
        size = int(size)
        if kind == "chunked":
            connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        elif kind == "close":
            connection.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
        else:
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (2 * size if kind == "cut" else size))
        send_body(connection, size, kind == "chunked")
        return kind in ("length", "chunked")


class Slow(threading.Thread):
    """A client that reads a long body at a steady, low rate."""

    def __init__(self, address, rate, size=32 << 20):
        super().__init__(daemon=True)
        self.rate, self.received, self.broken = rate, 0, False
        self.stopped = threading.Event()
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 * 1024)
        self.socket.settimeout(20)
        self.socket.connect(address)
        self.socket.sendall(b"GET /length/%d HTTP/1.1\r\nHost: test\r\n\r\n" % size)

    def run(self):
        try:
            while not self.stopped.wait(0.05):
                data = self.socket.recv(int(self.rate * 0.05))
                self.received += len(data)
                if not data:
                    self.broken = True
                    return
        except OSError:
            self.broken = True

    def stop(self):
        self.stopped.set()
        self.join()
        self.socket.close()


class Cases:
    ENGINE = None

    @classmethod
    def setUpClass(cls):
        cls.fleet = support.Fleet()
        cls.addClassCleanup(cls.fleet.stop)
        cls.upstream = Upstream()
        cls.addClassCleanup(cls.upstream.close)
        config = cls.fleet.write("config.yaml", CONFIG.format(
            folder=cls.fleet.folder, upstream=cls.upstream.address, engine=cls.ENGINE))
        # One worker: all clients share one loop.
        cls.proxy = cls.fleet.proxy(cls.ENGINE, config=config, workers=1, io_engine=cls.ENGINE)
        cls.proxy.wait_ready()
        cls.address = cls.proxy.listener("http")

    def tearDown(self):
        self.assertIsNone(self.proxy.process.poll(), self.proxy.log())
        support.wait_until(lambda: self.proxy.metrics()["portico_requests_active"] == 0, "the end of all exchanges")

    def connect(self):
        connection = socket.create_connection(self.address, timeout=30)
        self.addCleanup(connection.close)
        return connection

    def logged(self, path):
        """What the access log says of the requests for `path`."""
        def lines():
            with open(self.fleet.path(f"{self.ENGINE}.log")) as f:
                return [entry for entry in map(json.loads, f) if entry["path"] == path]
        support.wait_until(lines, f"a log line for {path}")
        return lines()

    def test_down(self):
        for kind in ("length", "chunked", "close"):
            for version in ("1.1", "1.0"):
                with self.subTest(kind=kind, version=version):
                    size = LARGE + (-5 if version == "1.0" else -3)
                    connection = self.connect()
                    connection.sendall(f"GET /{kind}/{size} HTTP/{version}\r\nHost: test\r\n\r\n".encode())
                    peer = Peer(connection)
                    line, fields = peer.head()
                    self.assertIn(" 200 ", line)
                    self.assertEqual(peer.body(fields), (size, digest(size), True))
                    connection.close()
                    self.assertEqual([entry["response_bytes"] for entry in self.logged(f"/{kind}/{size}")], [size])

    def test_up(self):
        for chunked in (False, True):
            with self.subTest(chunked=chunked):
                size, path = LARGE - 7, f"/up{int(chunked)}"
                connection = self.connect()
                framing = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {size}"
                connection.sendall(f"POST {path} HTTP/1.1\r\nHost: test\r\n{framing}\r\n\r\n".encode())
                send_body(connection, size, chunked)
                peer = Peer(connection)
                _, fields = peer.head()
                answer = int(fields["content-length"])
                while len(peer.buffer) < answer:
                    peer._more()
                self.assertEqual(json.loads(peer.buffer), [size, digest(size), True])
                self.assertEqual([entry["request_bytes"] for entry in self.logged(path)], [size])

    def test_what_follows_a_body_is_not_part_of_it(self):
        for size in (65_535, 65_536, 65_537, 300_000, 1 << 20, (1 << 20) + 1):
            with self.subTest(size=size):
                connection = self.connect()
                post = b"POST /up HTTP/1.1\r\nHost: test\r\nContent-Length: %d\r\n\r\n" % size + BODY[:size]
                get = b"GET /length/%d HTTP/1.1\r\nHost: test\r\n\r\n" % size
                sender = threading.Thread(target=connection.sendall, args=((post + get) * 3,))
                sender.start()
                peer = Peer(connection)
                for _ in range(3):
                    _, fields = peer.head()
                    peer.body(fields)
                    _, fields = peer.head()
                    self.assertEqual(peer.body(fields), (size, digest(size), True))
                sender.join()

    def test_a_body_that_is_cut_looks_cut(self):
        for size in (100_000, 10_000_000):
            with self.subTest(size=size):
                connection = self.connect()
                connection.sendall(b"GET /cut/%d HTTP/1.1\r\nHost: test\r\n\r\n" % size)
                peer = Peer(connection)
                _, fields = peer.head()
                self.assertEqual(fields["content-length"], str(2 * size))
                try:
                    have, _, complete = peer.body(fields)
                    self.assertFalse(complete)
                    self.assertLessEqual(have, size)
                except ConnectionResetError:
                    pass
                self.assertEqual(self.logged(f"/cut/{size}")[0]["reason"], "upstream_reset")

    def test_clients_that_leave(self):
        fetch(self.address, target="/length/10")
        before = self.proxy.fds()
        for number in range(40):
            connection = socket.create_connection(self.address, timeout=30)
            connection.sendall(b"GET /length/%d HTTP/1.1\r\nHost: test\r\n\r\n" % (32 << 20))
            taken = 0
            while taken < number * 50_000:
                taken += len(connection.recv(SLICE))
            if number % 2:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            connection.close()
        self.assertTrue(self.upstream.ended_early.wait(20))
        support.wait_until(lambda: self.proxy.metrics()["portico_requests_active"] == 0, "the end of all exchanges")
        # Pipes that are kept for reuse are no leak: two descriptors each, and they do not become more.
        support.wait_until(lambda: self.proxy.fds() <= before + 2 * 64, "the descriptors to go")
        response = fetch(self.address, target="/length/300000")
        self.assertEqual(hashlib.sha256(response.body).hexdigest(), digest(300_000))

    def test_uploads_that_end_early(self):
        for number in range(20):
            connection = socket.create_connection(self.address, timeout=30)
            connection.sendall(b"POST /early HTTP/1.1\r\nHost: test\r\nContent-Length: %d\r\n\r\n" % (8 << 20))
            connection.sendall(BODY[:number * 100_000])
            connection.close()
        support.wait_until(lambda: self.proxy.metrics()["portico_requests_active"] == 0, "the end of all exchanges")
        response = fetch(self.address, target="/length/300000")
        self.assertEqual(hashlib.sha256(response.body).hexdigest(), digest(300_000))

    def load(self, seconds):
        """Requests that were answered, and the median and the largest time of one, in seconds."""
        times = []
        with socket.create_connection(self.address, timeout=30) as connection:
            peer, end = Peer(connection), time.monotonic() + seconds
            while time.monotonic() < end:
                begin = time.monotonic()
                size = (200, 100_000)[len(times) % 2]
                connection.sendall(b"GET /length/%d HTTP/1.1\r\nHost: test\r\n\r\n" % size)
                _, fields = peer.head()
                have, _, complete = peer.body(fields)
                self.assertTrue(complete and have == size)
                times.append(time.monotonic() - begin)
        return len(times), statistics.median(times), max(times)

    def test_slow_readers_do_not_slow_the_others(self):
        self.load(1)
        alone, beside, slow = [], [], []
        resident = self.proxy.rss_kib()
        try:
            for _ in range(3):
                alone.append(self.load(0.7))
                slow += [Slow(self.address, 100_000) for _ in range(4)]
                for client in slow[-4:]:
                    client.start()
                time.sleep(0.2)
                beside.append(self.load(0.7))
                for client in slow[-4:]:
                    client.stopped.set()
        finally:
            for client in slow:
                client.stop()
        # Those that stopped reading are still owed most of 32 MiB, which nobody may hold for them.
        self.assertLess(self.proxy.rss_kib() - resident, 48 * 1024)
        for client in slow:
            self.assertFalse(client.broken)
            self.assertGreater(client.received, 0)
        rate = [statistics.median(figures[0] for figures in each) for each in (alone, beside)]
        middle = [statistics.median(figures[1] for figures in each) for each in (alone, beside)]
        print(f"{self.ENGINE}: {rate[0]} requests alone, {rate[1]} beside slow readers; "
              f"{middle[0] * 1e6:.0f} and {middle[1] * 1e6:.0f} us each")
        # Wide, as machines that run tests are busy; a client that waits for another one takes seconds.
        self.assertGreater(rate[1], rate[0] / 3)
        self.assertLess(middle[1], 3 * middle[0] + 0.001)

    def test_slow_is_not_idle(self):
        """A client that takes a piece for longer than the idle timeout, but takes something all the time."""
        slow = Slow(self.address, 40_000)
        slow.start()
        time.sleep(7)
        self.assertFalse(slow.broken)
        self.assertGreater(slow.received, 100_000)
        slow.stop()
        # And one that takes nothing.
        idle = Slow(self.address, 1)
        self.addCleanup(idle.socket.close)
        support.wait_until(lambda: self.proxy.metrics()["portico_requests_active"] == 0, "the end of the exchange", 20)


class EpollTest(Cases, unittest.TestCase):
    ENGINE = "epoll"


class AutoTest(Cases, unittest.TestCase):
    """io_uring where the kernel has it."""
    ENGINE = "auto"


if __name__ == "__main__":
    unittest.main()
