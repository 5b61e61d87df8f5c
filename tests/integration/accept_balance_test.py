"""How evenly the workers of one proxy share its clients' connections."""

import re
import signal
import socket
import threading
import unittest

from tests.support import fleet as support
from tests.support.http_client import Connection, fetch

TRIALS = 20
MAX_RATIO = 1.3


def live_connections(proxy):
    """Of each worker, as /metrics tells."""
    text = proxy.admin("/metrics")[1]
    found = re.findall(r'^portico_worker_connections_active\{worker="(\d+)"\} (\d+)', text, re.MULTILINE)
    return [int(count) for _, count in sorted(found, key=lambda pair: int(pair[0]))]


def handed_over(proxy):
    return int(re.search(r"^portico_connections_handed_over_total (\d+)", proxy.admin("/metrics")[1],
                         re.MULTILINE).group(1))


def ratio(counts):
    return max(counts) / min(counts) if min(counts) else float("inf")


class AcceptBalanceTest(unittest.TestCase):
    def setUp(self):
        self.fleet = support.Fleet()
        self.addCleanup(self.fleet.stop)

    def proxy(self, workers, proxy_protocol="off", grace="0s"):
        config = self.fleet.write(f"config-{workers}.yaml", f"""
kind: Listener
name: http
spec: {{address: "127.0.0.1:0", proxy_protocol: {proxy_protocol}}}
---
kind: Route
name: all
spec: {{match: {{path: {{prefix: /}}}}, respond: {{status: 200, body: ok}}}}
""")
        proxy = self.fleet.proxy(f"proxy-{workers}", "--drain-grace", grace, config=config, workers=workers)
        proxy.wait_ready()
        return proxy

    def trial(self, proxy, count):
        """The counts of each worker with `count` connections open and no other."""
        support.wait_until(lambda: sum(live_connections(proxy)) == 0, "all connections being closed")
        clients = [socket.create_connection(proxy.listener(), timeout=20) for _ in range(count)]
        try:
            return support.wait_until(
                lambda: (lambda counts: counts if sum(counts) == count else None)(live_connections(proxy)),
                f"{count} connections being accepted")
        finally:
            for client in clients:
                client.close()

    def check(self, workers, count):
        proxy = self.proxy(workers)
        trials = [self.trial(proxy, count) for _ in range(TRIALS)]
        ratios = sorted(ratio(trial) for trial in trials)
        print(f"workers {workers}, connections {count}: ratio median {ratios[TRIALS // 2]:.2f}, "
              f"worst {ratios[-1]:.2f} {max(trials, key=ratio)}, "
              f"{handed_over(proxy)} of {TRIALS * count} handed over")
        self.assertLessEqual(ratios[-1], MAX_RATIO, trials)

    def test_2_workers_64_connections(self):
        self.check(2, 64)

    def test_2_workers_1000_connections(self):
        self.check(2, 1000)

    def test_4_workers_64_connections(self):
        self.check(4, 64)

    def test_4_workers_1000_connections(self):
        self.check(4, 1000)

    def test_a_listener_with_proxy_protocol(self):
        proxy = self.proxy(4, proxy_protocol="required")
        clients = [Connection(proxy.listener(), proxy_header=b"PROXY TCP4 203.0.113.9 127.0.0.1 %d 80\r\n" % (1000 + i))
                   for i in range(64)]
        for client in clients:
            self.assertEqual(client.request("GET", "/").status, 200)
        counts = live_connections(proxy)
        self.assertEqual(sum(counts), 64)
        self.assertLessEqual(ratio(counts), MAX_RATIO, counts)
        self.assertGreater(handed_over(proxy), 0)
        for client in clients:
            self.assertEqual(client.request("GET", "/").status, 200)
            client.close()

    def test_connections_that_come_and_go_until_the_drain_are_all_served(self):
        proxy = self.proxy(4, grace="2s")
        failures, served, stop = [], [], threading.Event()

        def come_and_go():
            while not stop.is_set():
                try:
                    served.append(fetch(proxy.listener()).status)
                except Exception as error:  # Whatever it is, the test must tell.
                    failures.append(repr(error))

        threads = [threading.Thread(target=come_and_go) for _ in range(4)]
        for thread in threads:
            thread.start()
        idle = [socket.create_connection(proxy.listener(), timeout=20) for _ in range(40)]
        support.wait_until(lambda: len(served) > 200, "some traffic")
        proxy.kill(signal.SIGTERM)
        support.wait_until(lambda: proxy.admin("/ready")[0] == 503, "not being ready")
        before = len(served)
        support.wait_until(lambda: len(served) > before + 100, "traffic in the grace time")
        stop.set()
        for thread in threads:
            thread.join(timeout=20)
        self.assertEqual(failures, [])
        self.assertEqual(set(served), {200})
        # Those that rest are closed, and nothing is left behind.
        self.assertEqual(proxy.process.wait(timeout=30), 0)
        for client in idle:
            self.assertEqual(client.recv(1), b"")
            client.close()


if __name__ == "__main__":
    unittest.main()
