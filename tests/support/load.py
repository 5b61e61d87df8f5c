"""Keep-alive load in which every single failure is noticed and told apart."""

import threading
import time

from tests.support.http_client import Closed, Connection


class Load:
    """`threads` clients, each one request after another, until stop().

    A request fails when the connection breaks before its response is complete, also on a reused
    connection; when the status is not `want`; or when check(response) is false. Clients obey
    "Connection: close".
    """

    def __init__(self, address, target="/", headers=(), threads=4, want=200, check=None, pause=0.0):
        self.address, self.target, self.headers = address, target, list(headers)
        self.want, self.check, self.pause = want, check, pause
        self.count, self.failures, self.latencies = 0, [], []
        self._lock, self._stop = threading.Lock(), threading.Event()
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(threads)]

    def start(self):
        for thread in self._threads:
            thread.start()
        return self

    def stop(self):
        self._stop.set()
        for thread in self._threads:
            thread.join(timeout=30)
        return self

    def _fail(self, what):
        with self._lock:
            self.failures.append((time.time(), what))

    def _run(self):
        connection, count, latencies = None, 0, []
        while not self._stop.is_set():
            started = time.monotonic()
            try:
                if connection is None:
                    connection = Connection(self.address)
                response = connection.request("GET", self.target, self.headers)
                count += 1
                latencies.append(time.monotonic() - started)
                if response.status != self.want:
                    self._fail(f"status {response.status}: {response.body[:200]!r}")
                elif self.check and not self.check(response):
                    self._fail(f"unexpected body {response.body[:200]!r}")
                if (response.header("connection") or "").lower() == "close":
                    connection.close()
                    connection = None
            except (Closed, OSError) as error:
                count += 1
                self._fail(f"{type(error).__name__}: {error}")
                if connection:
                    connection.close()
                connection = None
            if self.pause:
                time.sleep(self.pause)
        with self._lock:
            self.count += count
            self.latencies += latencies
