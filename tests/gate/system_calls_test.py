"""System calls of a worker for each request, as strace sees them, against the budget."""

import collections
import json
import os
import re
import time
import unittest

from tests.support import fleet as support
from tests.support.http_client import Connection

HEADERS = [("User-Agent", "gate/1"), ("Accept", "*/*"), ("Accept-Language", "en-US,en;q=0.5")]
WARM_UP_ROUNDS = 20
ROUNDS = {1: 400, 16: 50}
RUNS = {1: 1, 16: 3}
# What is more than this above the budget is no chance.
TOLERANCE = 0.03


def budget():
    with open("tests/gate/budget.json", encoding="utf-8") as file:
        return json.load(file)["system_calls_per_request"]


def worker_thread(strace_pid):
    """The thread of the only worker of the proxy that strace runs."""
    with open("/proc/%d/task/%d/children" % (strace_pid, strace_pid), encoding="ascii") as file:
        proxy = int(file.read().split()[0])
    for thread in os.listdir("/proc/%d/task" % proxy):
        with open("/proc/%d/task/%s/comm" % (proxy, thread), encoding="ascii") as file:
            if file.read().strip() == "worker-0":
                return int(thread)
    raise RuntimeError("no thread worker-0")


def calls_between(trace, thread, begin, end):
    """Counts by name, of what `thread` called between two times."""
    counts = collections.Counter()
    with open(trace, encoding="utf-8", errors="replace") as lines:
        for line in lines:
            match = re.match(r"(\d+) +(\d+\.\d+) (\w+)\(", line)
            if match and int(match.group(1)) == thread and begin <= float(match.group(2)) <= end:
                counts[match.group(3)] += 1
    return counts


class SystemCallsTest(unittest.TestCase):
    def measure(self, engine, connections):
        """The engine that the proxy took, counts by name, requests."""
        with support.Fleet() as fleet:
            config = fleet.write("gate.yaml", support.one_route(fleet.echo("echo").addresses()["http"]))
            trace = fleet.path("trace")
            proxy = fleet.proxy("gate", config=config, workers=1, io_engine=engine,
                                launcher=["strace", "-f", "-qq", "-ttt", "-s", "0", "-o", trace])
            proxy.wait_ready()
            taken, reason = proxy.io_engine()
            if reason:
                print("there is no io_uring here: %s" % reason)
            thread = worker_thread(proxy.pid)
            clients = [Connection(proxy.listener()) for _ in range(connections)]

            def rounds(count):
                for _ in range(count):
                    for client in clients:
                        client.send(request)
                    for client in clients:
                        self.assertEqual(client.read_response().status, 200)

            lines = ["GET /v1/customers/17 HTTP/1.1", "Host: gate"] + ["%s: %s" % field for field in HEADERS]
            request = "\r\n".join(lines + ["", ""]).encode("ascii")
            rounds(WARM_UP_ROUNDS)
            begin = time.time()
            rounds(ROUNDS[connections])
            end = time.time()
            for client in clients:
                client.close()
            # strace leaves the signal to the proxy, and ends with it.
            with open("/proc/%d/task/%d/children" % (proxy.pid, proxy.pid), encoding="ascii") as file:
                os.kill(int(file.read().split()[0]), 15)
            self.assertEqual(proxy.process.wait(timeout=60), 0, proxy.log())
            return taken, calls_between(trace, thread, begin, end), connections * ROUNDS[connections]

    def check(self, engine, connections):
        # How many requests one turn of the loop finds depends on who else is busy: the best counts.
        engine, counts, requests = min((self.measure(engine, connections) for _ in range(RUNS[connections])),
                                       key=lambda run: sum(run[1].values()) / run[2])
        each = sum(counts.values()) / requests
        text = ", ".join("%s %.2f" % (name, count / requests) for name, count in counts.most_common())
        allowed = budget()[engine][str(connections)]
        print("%s, %d connections: %.2f system calls a request, budget %.2f (%s)" % (
            engine, connections, each, allowed, text))
        self.assertGreater(each, 0)
        self.assertLessEqual(
            each, allowed * (1 + TOLERANCE),
            "%s with %d connections makes %.2f system calls a request, the budget is %.2f: %s" % (
                engine, connections, each, allowed, text))

    def test_epoll_one_connection(self):
        self.check("epoll", 1)

    def test_epoll_many_connections(self):
        self.check("epoll", 16)

    # io_uring, unless the kernel forbids it.
    def test_auto_one_connection(self):
        self.check("auto", 1)

    def test_auto_many_connections(self):
        self.check("auto", 16)


if __name__ == "__main__":
    unittest.main()
