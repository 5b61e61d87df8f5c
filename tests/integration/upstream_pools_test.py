"""How many connections the workers of one proxy open to an upstream, and to which endpoints."""

import re
import selectors
import socket
import threading
import unittest

from tests.support import fleet as support
from tests.support.http_client import Connection

WORKERS = 4
RESPONSE = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


class Endpoints:
    """Servers in one thread, which count their connections and requests."""

    def __init__(self, count):
        self.selector = selectors.DefaultSelector()
        self.open = [0] * count  # Now.
        self.requests = [0] * count
        self.listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
        self.stopping = False
        for index, listener in enumerate(self.listeners):
            listener.setblocking(False)
            self.selector.register(listener, selectors.EVENT_READ, (index, None))
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def addresses(self):
        return ["127.0.0.1:%d" % listener.getsockname()[1] for listener in self.listeners]

    def stop(self):
        self.stopping = True
        self.thread.join()
        for key in list(self.selector.get_map().values()):
            key.fileobj.close()
        self.selector.close()

    def _run(self):
        while not self.stopping:
            for key, _ in self.selector.select(0.05):
                index, buffer = key.data
                if buffer is None:
                    self._accept(key.fileobj, index)
                else:
                    self._serve(key.fileobj, index, buffer)

    def _accept(self, listener, index):
        try:
            connection, _ = listener.accept()
        except OSError:  # It was shut down.
            self.selector.unregister(listener)
            listener.close()
            return
        connection.setblocking(False)
        self.open[index] += 1
        self.selector.register(connection, selectors.EVENT_READ, (index, bytearray()))

    def _serve(self, connection, index, buffer):
        try:
            data = connection.recv(65536)
        except ConnectionError:
            data = b""
        if not data:
            self.selector.unregister(connection)
            connection.close()
            self.open[index] -= 1
            return
        buffer += data
        while b"\r\n\r\n" in buffer:
            del buffer[:buffer.index(b"\r\n\r\n") + 4]
            self.requests[index] += 1
            connection.sendall(RESPONSE)


class UpstreamPoolsTest(unittest.TestCase):
    def setUp(self):
        self.fleet = support.Fleet()
        self.addCleanup(self.fleet.stop)

    def start(self, endpoints, more="", name="proxy"):
        self.endpoints = Endpoints(endpoints)
        self.addCleanup(self.endpoints.stop)
        listed = ", ".join(f'{{address: "{address}"}}' for address in self.endpoints.addresses())
        config = self.fleet.write(f"{name}.yaml", f"""
kind: Listener
name: http
spec: {{address: "127.0.0.1:0"}}
---
kind: Upstream
name: many
spec: {{endpoints: [{listed}]{more}}}
---
kind: Route
name: all
spec: {{match: {{path: {{prefix: /}}}}, upstreams: [{{name: many}}]}}
""")
        self.proxy = self.fleet.proxy(name, "--drain-grace", "0s", config=config, workers=WORKERS)
        self.proxy.wait_ready()

    def clients(self, count):
        """As many for each worker."""
        clients = [Connection(self.proxy.listener()) for _ in range(count)]
        for client in clients:
            self.addCleanup(client.close)
        support.wait_until(lambda: sum(self.by_worker("connections_active")) == count, "accepting")
        self.assertLessEqual(max(self.by_worker("connections_active")), count // WORKERS + 2)
        return clients

    def by_worker(self, what):
        found = re.findall(r'^portico_worker_%s\{worker="\d+"\} (\d+)' % what, self.proxy.admin("/metrics")[1],
                           re.MULTILINE)
        return [int(value) for value in found]

    def send(self, clients, rounds):
        """One request after another, so that no worker needs two connections to one endpoint."""
        for _ in range(rounds):
            for client in clients:
                self.assertEqual(client.request("GET", "/").status, 200)

    def test_few_endpoints_are_all_used_by_all_workers(self):
        self.start(24)
        self.send(self.clients(16), 12)
        self.assertEqual(self.by_worker("upstream_endpoints"), [24] * WORKERS)
        self.assertEqual(self.endpoints.open, [WORKERS] * 24)

    def test_many_endpoints_are_shared_out(self):
        # 4 workers x 40 endpoints are more than half of 80; 40 are not.
        self.start(40, ", circuit_breaker: {max_connections: 80}")
        clients = self.clients(32)
        self.send(clients, 10)
        print("connections", sum(self.endpoints.open), "requests", sorted(self.endpoints.requests))
        self.assertEqual(self.by_worker("upstream_endpoints"), [10] * WORKERS)
        self.assertEqual(self.endpoints.open, [1] * 40)
        self.assertEqual(sum(self.endpoints.requests), 320)
        # Each worker has 8 clients, or one more or less.
        self.assertGreaterEqual(min(self.endpoints.requests), 5)
        self.assertLessEqual(max(self.endpoints.requests), 11)

    def test_an_endpoint_may_have_several_workers(self):
        self.start(40, ", circuit_breaker: {max_connections: 200}")
        self.send(self.clients(32), 10)
        self.assertEqual(self.by_worker("upstream_endpoints"), [20] * WORKERS)
        self.assertEqual(self.endpoints.open, [2] * 40)

    def test_another_stands_in_for_an_endpoint_that_fails(self):
        self.start(40, ", circuit_breaker: {max_connections: 80}, outlier_detection: {consecutive_failures: 1}")
        clients = self.clients(32)
        self.endpoints.listeners[0].shutdown(socket.SHUT_RDWR)  # Refuses from now on.
        self.send(clients, 20)
        self.assertEqual(self.endpoints.requests[0], 0)
        self.assertEqual(sum(self.endpoints.requests), 640)
        self.assertEqual(sorted(self.by_worker("upstream_endpoints")), [10] * (WORKERS - 1) + [11])
        self.assertEqual(self.proxy.metrics()["portico_outlier_ejections_total"], 1)

    def test_a_worker_without_a_connection_is_not_refused(self):
        self.start(2, ", circuit_breaker: {max_connections: 2}")
        clients = self.clients(16)
        self.send(clients, 5)

        # And when all come together.
        failures = []

        def load(client):
            for _ in range(30):
                status = client.request("GET", "/").status
                if status != 200:
                    failures.append(status)

        threads = [threading.Thread(target=load, args=(client,)) for client in clients]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(timeout=60)
        self.assertEqual(failures, [])
        metrics = self.proxy.metrics()
        print("given up", metrics["portico_upstream_connections_given_up_total"])
        self.assertGreater(metrics["portico_upstream_connections_given_up_total"], 0)
        self.assertLessEqual(metrics["portico_upstream_connections_active"], 2)


if __name__ == "__main__":
    unittest.main()
