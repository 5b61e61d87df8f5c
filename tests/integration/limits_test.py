"""Limits of the whole process: connections, memory, descriptors; and the redirect to https."""

import os
import time
import unittest

from tests.support import fleet as support
from tests.support.http_client import Closed, Connection, fetch

CONFIG = """
kind: Listener
name: http
spec: {address: "127.0.0.1:0", trusted_hops: ["127.0.0.9/32"]}
---
kind: Listener
name: few
spec: {address: "127.0.0.1:0", limits: {max_connections_per_address: 3}}
---
kind: Listener
name: secure
spec: {address: "127.0.0.1:0", trusted_hops: ["127.0.0.1/32"], https_redirect: {}}
---
kind: Listener
name: port
spec: {address: "127.0.0.1:0", https_redirect: {port: 8443}}
---
kind: Route
name: all
spec: {match: {path: {prefix: /}}, respond: {status: 200, body: "here"}}
---
kind: Route
name: later
spec: {match: {path: {prefix: /later}}, priority: LOW, respond: {status: 200, body: "here"}}
---
kind: Route
name: first
spec: {match: {path: {prefix: /first}}, priority: HIGH, respond: {status: 200, body: "here"}}
"""
LISTENERS = ("http", "few", "secure", "port")


class LimitsTest(unittest.TestCase):
    def start(self, *flags, **options):
        fleet = support.Fleet()
        self.addCleanup(fleet.stop)
        proxy = fleet.proxy("p1", *flags, config=fleet.write("config.yaml", CONFIG), listeners=LISTENERS, **options)
        proxy.wait_ready()
        return proxy

    def connect(self, proxy, listener="http"):
        connection = Connection(proxy.listener(listener))
        self.addCleanup(connection.close)
        return connection

    def refused(self, proxy, reason):
        return proxy.metrics().get(f'portico_protocol_errors_total{{reason="{reason}"}}', 0)

    def serves(self, connection):
        try:
            return connection.request("GET", "/").body == b"here"
        except (Closed, OSError):
            return False

    def test_connections_of_an_address(self):
        proxy = self.start(workers=2)
        connections = [self.connect(proxy, "few") for _ in range(5)]
        self.assertEqual(sum(self.serves(c) for c in connections), 3)
        self.assertEqual(self.refused(proxy, "max_connections_per_address"), 2)
        self.assertTrue(self.serves(self.connect(proxy)))
        for connection in connections:
            connection.close()
        support.wait_until(lambda: self.serves(self.connect(proxy, "few")), "a place")

    def test_connections_of_the_process(self):
        proxy = self.start("--max-process-connections=3", workers=2)
        connections = [self.connect(proxy, listener) for listener in ("http", "few", "http", "few")]
        self.assertEqual(sum(self.serves(c) for c in connections), 3)
        self.assertEqual(self.refused(proxy, "max_process_connections"), 1)

    def test_memory_runs_short_and_comes_back(self):
        proxy = self.start("--memory-limit=4000000", workers=1)
        first = self.connect(proxy)
        self.assertTrue(self.serves(first))
        idle = [self.connect(proxy) for _ in range(410)]  # Of 8 KiB each: above 80 %.
        support.wait_until(lambda: proxy.metrics()["portico_downstream_connections_active"] > 400, "connections")
        response = first.request("GET", "/")
        self.assertEqual((response.status, response.header("connection")), (200, "close"))
        idle += [self.connect(proxy) for _ in range(60)]
        support.wait_until(lambda: proxy.metrics()["portico_downstream_connections_active"] > 460, "connections")
        response = idle[0].request("GET", "/")
        self.assertEqual((response.status, response.header("connection")), (503, "close"))
        self.assertIn(b'"reason": "overloaded"', response.body)
        metrics = proxy.metrics()
        self.assertEqual(metrics['portico_local_replies_total{reason="overloaded"}'], 1)
        self.assertGreaterEqual(metrics["portico_overload_closes_total"], 2)
        for connection in idle:
            connection.close()
        support.wait_until(lambda: proxy.metrics()["portico_downstream_connections_active"] < 10, "their end")
        again = self.connect(proxy)
        response = again.request("GET", "/")
        self.assertEqual((response.status, response.header("connection")), (200, None))

    def test_requests_are_shed_by_priority(self):
        proxy = self.start("--memory-limit=4000000", workers=1)
        idle = []
        # Of 8 KiB each: 87 %, 92 %, 97 %.
        for connections, served in ((425, ["/", "/first"]), (450, ["/first"]), (475, [])):
            idle += [self.connect(proxy) for _ in range(connections - len(idle))]
            support.wait_until(
                lambda: proxy.metrics()["portico_downstream_connections_active"] >= connections - 4, "connections")
            statuses = {path: idle.pop().request("GET", path).status for path in ("/later", "/", "/first")}
            self.assertEqual(statuses, {path: 200 if path in served else 503 for path in statuses})

    def test_without_descriptors_accepting_rests_and_goes_on(self):
        proxy = self.start(workers=1, launcher=("prlimit", "--nofile=96:96"))
        if proxy.sanitized():
            return  # The sanitizer looks at objects through pipes, and takes them for broken when it gets none.
        connections = [self.connect(proxy) for _ in range(120)]
        # The admin endpoint has none left, either.
        support.wait_until(lambda: proxy.fds() >= 95, "the last descriptor")

        def cpu():
            with open(f"/proc/{proxy.pid}/stat") as f:
                fields = f.read().rsplit(")", 1)[1].split()
            return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        before = cpu()
        time.sleep(1)
        self.assertLess(cpu() - before, 0.4)
        self.assertTrue(self.serves(connections[0]))
        for connection in connections[:60]:
            connection.close()
        self.assertTrue(self.serves(connections[-1]))
        support.wait_until(lambda: proxy.admin("/ready")[0] == 200, "descriptors for the admin endpoint")
        self.assertGreater(self.refused(proxy, "no_descriptors"), 0)

    def test_redirects_to_https(self):
        proxy = self.start(workers=1)
        cases = (("secure", "/a//b?x=%20", (), "https://test/a//b?x=%20"), ("port", "/a/../b", (), "https://test:8443/b"),
                 ("port", "/", (("X-Forwarded-Proto", "https"),), "https://test:8443/"), ("secure", "http://Other:80/x", (), "https://other/x"))
        for listener, target, headers, location in cases:
            response = fetch(proxy.listener(listener), target=target, headers=headers)
            self.assertEqual((response.status, response.header("location"), response.body), (308, location, b""), target)
        response = fetch(proxy.listener("secure"), headers=(("X-Forwarded-Proto", "https"),))
        self.assertEqual((response.status, response.body), (200, b"here"))
        response = fetch(proxy.listener("port"), "POST", "/x", body=b"hello")
        self.assertEqual(response.status, 308)
        with Connection(proxy.listener("port")) as connection:
            connection.send(b"GET / HTTP/1.0\r\n\r\n")
            self.assertEqual(connection.read_response().status, 400)
        self.assertEqual(proxy.metrics()['portico_local_replies_total{reason="https_redirect"}'], 5)


if __name__ == "__main__":
    unittest.main()
