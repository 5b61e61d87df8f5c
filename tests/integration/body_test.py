"""Large bodies through one proxy, on each I/O engine: every byte, in both directions, with every framing, and
beside clients that are slow.

    tests/integration/body_test.py [--seconds 20] [--readers 1] [--io-engine uring,epoll] [--json FILE]

As a program it measures what requests beside slow readers cost: rounds without and with them by turns.
Build first: bazel build --config=opt //dataplane:portico_proxy
"""

import argparse
import hashlib
import json
import os
import socket
import sys
import threading
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
from tests.support import fleet as support  # noqa: E402
from tests.support.bodies import BODY, SLICE, Peer, Slow, Upstream, digest, reset, send_body  # noqa: E402
from tests.support.http_client import fetch  # noqa: E402

CONFIG = """
kind: Listener
name: http
spec: {{address: "127.0.0.1:0", access_log: requests, limits: {{stream_idle_timeout: 2s}}}}
---
kind: AccessLog
name: requests
spec: {{path: "{folder}/{engine}-access.log"}}
---
kind: Upstream
name: up
spec: {{endpoints: [{{address: "{upstream}"}}], outlier_detection: {{disabled: true}}}}
---
kind: Route
name: all
spec: {{match: {{path: {{prefix: /}}}}, upstreams: [{{name: up}}], timeout: 300s, retry: {{attempts: 2}}}}
---
kind: Route
name: short
spec: {{match: {{path: {{prefix: /short}}}}, upstreams: [{{name: up}}], timeout: 1s, rewrite: {{prefix: /}}}}
"""

# Larger than all buffers, the kernel's too.
MANY = 16 << 20


def requests(address, seconds):
    """How long each of one small and one middle-sized response after the other took, in seconds."""
    times = []
    with socket.create_connection(address, timeout=30) as connection:
        peer, end = Peer(connection), time.monotonic() + seconds
        while time.monotonic() < end:
            begin = time.monotonic()
            size = (200, 100_000)[len(times) % 2]
            connection.sendall(b"GET /length/%d HTTP/1.1\r\nHost: test\r\n\r\n" % size)
            _, fields = peer.head()
            have, _, complete = peer.body(fields)
            if not complete or have != size:
                raise EOFError(f"{have} of {size} bytes")
            times.append(time.monotonic() - begin)
    return times


def by_turns(address, rounds, seconds, readers, rate=100_000):
    """Times of requests alone and beside slow readers, and those. They stay, but read no more, when alone."""
    alone, beside, slow = [], [], []
    try:
        for _ in range(rounds):
            alone += requests(address, seconds)
            now = [Slow(address, rate) for _ in range(readers)]
            slow += now
            for client in now:
                client.start()
            time.sleep(0.2)
            beside += requests(address, seconds)
            for client in now:
                client.stopped.set()
    finally:
        for client in slow:
            client.stop()
    return alone, beside, slow


def figures(times):
    """How many, the median, and the 99th percentile."""
    ordered = sorted(times)
    return len(ordered), ordered[len(ordered) // 2], ordered[len(ordered) * 99 // 100]


def start_proxy(fleet, engine, upstream):
    config = fleet.write(f"{engine}.yaml", CONFIG.format(folder=fleet.folder, upstream=upstream.address, engine=engine))
    # One worker: all clients share one loop.
    proxy = fleet.proxy(engine, config=config, workers=1, io_engine=engine)
    proxy.wait_ready()
    return proxy


class Cases:
    ENGINE = None

    @classmethod
    def setUpClass(cls):
        cls.fleet = support.Fleet()
        cls.addClassCleanup(cls.fleet.stop)
        cls.upstream = Upstream()
        cls.addClassCleanup(cls.upstream.close)
        cls.proxy = start_proxy(cls.fleet, cls.ENGINE, cls.upstream)
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
            return [entry for entry in self.fleet.access_log(f"{self.ENGINE}-access.log") if entry["path"] == path]
        support.wait_until(lines, f"a log line for {path}")
        return lines()

    def test_down(self):
        for kind in ("length", "chunked", "close"):
            for version in ("1.1", "1.0"):
                with self.subTest(kind=kind, version=version):
                    size = MANY + (-5 if version == "1.0" else -3)
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
                size, path = MANY - 7, f"/up{int(chunked)}"
                self.assertEqual(self.post(self.connect(), path, size, chunked), [size, digest(size), True])
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

    def get(self, connection, target):
        """What came of the body."""
        connection.sendall(f"GET {target} HTTP/1.1\r\nHost: test\r\n\r\n".encode())
        peer = Peer(connection)
        line, fields = peer.head()
        self.assertIn(" 200 ", line)
        return peer.body(fields)

    def post(self, connection, target, size, chunked):
        """What the upstream says that it got."""
        framing = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {size}"
        connection.sendall(f"POST {target} HTTP/1.1\r\nHost: test\r\n{framing}\r\n\r\n".encode())
        send_body(connection, size, chunked)
        peer = Peer(connection)
        line, fields = peer.head()
        self.assertIn(" 200 ", line)
        answer = int(fields["content-length"])
        while len(peer.buffer) < answer:
            peer._more()
        return json.loads(peer.buffer)

    def test_every_size_around_those_of_buffers_and_pipes(self):
        sizes = [edge + more for edge in (16 << 10, 64 << 10, 128 << 10, 256 << 10) for more in (-1, 0, 1)]
        connection = self.connect()
        for size in [0, 1, *sizes, (64 << 10) + (256 << 10), (64 << 10) + (256 << 10) + 1]:
            with self.subTest(size=size):
                for kind in ("length", "chunked"):
                    self.assertEqual(self.get(connection, f"/{kind}/{size}"), (size, digest(size), True), kind)
                with self.connect() as other:
                    self.assertEqual(self.get(other, f"/close/{size}"), (size, digest(size), True))
                for chunked in (False, True):
                    self.assertEqual(self.post(connection, "/up", size, chunked), [size, digest(size), True], chunked)

    def test_another_try_after_an_answer_with_a_body(self):
        for size in (10, 100_000, 5_000_000):
            with self.subTest(size=size):
                before = self.upstream.seen[f"/flaky/{size}"]
                connection = self.connect()
                # The body of the first answer is not read to its end: the connection goes with it.
                self.assertEqual(self.get(connection, f"/flaky/{size}"), (size, digest(size), True))
                self.assertEqual(self.upstream.seen[f"/flaky/{size}"], before + 2)
                self.assertEqual(self.get(connection, "/length/70000"), (70_000, digest(70_000), True))

    def test_an_upstream_that_leaves_during_an_upload(self):
        for taken in (0, 1000, 300_000, 3_000_000):
            with self.subTest(taken=taken):
                connection = self.connect()
                connection.sendall(b"POST /leave/%d HTTP/1.1\r\nHost: test\r\nContent-Length: 8000000\r\n\r\n" % taken)
                try:
                    send_body(connection, 8_000_000, chunked=False)
                except OSError:
                    pass  # It is answered, and closed, before it could send all of it.
                try:
                    line, _ = Peer(connection).head()
                    self.assertIn(" 502 ", line)
                except (ConnectionResetError, EOFError):
                    pass
                self.assertEqual(self.logged(f"/leave/{taken}")[0]["reason"], "upstream_reset")
                # It was not sent twice.
                self.assertEqual(self.upstream.seen[f"/leave/{taken}"], 1)
        response = fetch(self.address, target="/length/300000")
        self.assertEqual(hashlib.sha256(response.body).hexdigest(), digest(300_000))

    def test_a_body_that_is_cut_looks_cut(self):
        for kind, size in (("cut", 100_000), ("cut", 10_000_000), ("reset", 100_000), ("reset", 10_000_000)):
            with self.subTest(kind=kind, size=size):
                connection = self.connect()
                connection.sendall(b"GET /%s/%d HTTP/1.1\r\nHost: test\r\n\r\n" % (kind.encode(), size))
                peer = Peer(connection)
                _, fields = peer.head()
                self.assertEqual(fields["content-length"], str(2 * size))
                try:
                    have, _, complete = peer.body(fields)
                    self.assertFalse(complete)
                    self.assertLessEqual(have, size)
                except ConnectionResetError:
                    pass
                self.assertEqual(self.logged(f"/{kind}/{size}")[0]["reason"], "upstream_reset")

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
                reset(connection)
            else:
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

    def test_a_slow_reader_does_not_slow_the_others(self):
        requests(self.address, 1)
        resident = self.proxy.rss_kib()
        alone, beside, slow = by_turns(self.address, rounds=3, seconds=0.7, readers=4)
        # Those that stopped reading are still owed most of 32 MiB, which nobody may hold for them.
        # AddressSanitizer holds back up to 256 MiB of freed memory.
        self.assertLess(self.proxy.rss_kib() - resident, (400 if self.proxy.sanitized() else 48) * 1024)
        for client in slow:
            self.assertFalse(client.broken)
            self.assertGreater(client.received, 0)
        (count, p50, p99), (count_beside, p50_beside, p99_beside) = figures(alone), figures(beside)
        print(f"{self.ENGINE}: {count} requests alone, {count_beside} beside slow readers; p50 {p50 * 1e6:.0f} and "
              f"{p50_beside * 1e6:.0f} us, p99 {p99 * 1e6:.0f} and {p99_beside * 1e6:.0f} us")
        # Wide, as machines that run tests are busy; a client that waits for another one takes seconds.
        self.assertGreater(count_beside, count / 5)
        self.assertLess(p50_beside, 3 * p50 + 0.1)
        self.assertLess(p99_beside, 5 * p99 + 0.5)

    def test_a_client_that_reads_too_slowly_is_not_the_upstream_s_fault(self):
        """Cut by the timeout of the route, and by that for clients that take nothing at all."""
        for target, reason in (("/short/length/33000000", "client_too_slow"), ("/length/33000001", "client_too_slow")):
            with self.subTest(target=target):
                before = self.proxy.metrics().get("portico_outlier_ejections_total")
                with socket.socket() as connection:
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 * 1024)
                    connection.settimeout(20)
                    connection.connect(self.address)
                    connection.sendall(f"GET {target} HTTP/1.1\r\nHost: test\r\n\r\n".encode())
                    self.assertEqual([entry["reason"] for entry in self.logged(target)], [reason])
                self.assertEqual(self.proxy.metrics().get("portico_outlier_ejections_total"), before)

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


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=20, help="with slow readers, and as long without")
    parser.add_argument("--readers", type=int, default=1, help="each takes 100 kB/s of a body of 32 MiB")
    parser.add_argument("--io-engine", default="uring,epoll", help="of the proxy; one run for each")
    parser.add_argument("--json")
    options = parser.parse_args()
    rows = []
    for engine in options.io_engine.split(","):
        with support.Fleet() as fleet:
            proxy = start_proxy(fleet, engine, Upstream())
            requests(proxy.listener("http"), 1)
            alone, beside, slow = by_turns(proxy.listener("http"), max(1, int(options.seconds / 2)), 2, options.readers)
        row = {"engine": engine, "readers": options.readers, "broken": sum(client.broken for client in slow)}
        for name, times in (("alone", alone), ("beside", beside)):
            count, p50, p99 = figures(times)
            row[name] = {"requests": count, "p50_us": p50 * 1e6, "p99_us": p99 * 1e6}
            print(f"{engine} {name:6}: {count} requests, p50 {p50 * 1e6:.0f} us, p99 {p99 * 1e6:.0f} us")
        rows.append(row)
    if options.json:
        with open(options.json, "w") as f:
            json.dump(rows, f, indent=2)
    return 1 if any(row["broken"] for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
